// s = g + w x, v = r v + (1 - r) s^2, d = s sqrt(moved + eps) / sqrt(v + eps),
// moved = r moved + (1 - r) d^2, x = x - lr d, over a stretch of slabs
//   g, x, v, moved: slabs; numbers: the factor that clips g, .., and from `at` on lr; w the weight decay
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> moved: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> numbers: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    rho: f32,
    // 1 - rho to the last bit
    rest: f32,
    eps: f32,
    decay: f32,
}

@compute @workgroup_size(256)
fn adadelta(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[3] == 1.0 { return; }
    let i = p.first / 4u + at;
    let slope = decayed4(numbers[0] * g[i], p.decay, x[i]);
    let square = p.rho * v[i] + p.rest * slope * slope;
    let by = sqrt(moved[i] + p.eps) / sqrt(square + p.eps) * slope;
    v[i] = square;
    moved[i] = p.rho * moved[i] + p.rest * by * by;
    x[i] -= numbers[p.at] * by;
}
