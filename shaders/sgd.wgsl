// x = x - lr (g + w x), over a stretch of slabs
//   g, x: slabs; numbers: the factor that clips g, .., and from `at` on lr; w the weight decay
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> numbers: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    nesterov: u32,
    decay: f32,
}

@compute @workgroup_size(256)
fn sgd(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[3] == 1.0 { return; }
    let i = p.first / 4u + at;
    x[i] -= numbers[p.at] * decayed4(numbers[0] * g[i], p.decay, x[i]);
}
