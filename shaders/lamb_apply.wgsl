// x = x - lr |x| / |u| u for each parameter, where both lengths are above 0, else x = x - lr u, over a stretch
//   u, x: slabs; owners: the parameter of each 64 elements; xs, us: the sums of their squares, from `entry` on
//   numbers: from `at` on lr
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> u: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> owners: array<i32>;
@group(0) @binding(3) var<storage, read> xs: array<f32>;
@group(0) @binding(4) var<storage, read> us: array<f32>;
@group(0) @binding(5) var<storage, read> numbers: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    entry: u32,
}

@compute @workgroup_size(256)
fn lamb_apply(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[3] == 1.0 { return; }
    let i = p.first / 4u + at;
    let owner = p.entry + u32(owners[i / 16u]);
    let own = sqrt(xs[owner]);
    let step = sqrt(us[owner]);
    var ratio = 1.0;
    if own > 0.0 && step > 0.0 { ratio = own / step; }
    x[i] -= numbers[p.at] * ratio * u[i];
}
