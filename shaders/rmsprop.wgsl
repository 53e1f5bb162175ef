// s = g + w x, v = a v + (1 - a) s^2, x = x - lr s / (sqrt(v) + eps), over a stretch of slabs
//   g, x, v: slabs; numbers: the factor that clips g, .., and from `at` on lr; w the weight decay
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> numbers: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    alpha: f32,
    // 1 - alpha to the last bit
    rest: f32,
    eps: f32,
    decay: f32,
}

@compute @workgroup_size(256)
fn rmsprop(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[3] == 1.0 { return; }
    let i = p.first / 4u + at;
    let slope = decayed4(numbers[0] * g[i], p.decay, x[i]);
    let square = p.alpha * v[i] + p.rest * slope * slope;
    v[i] = square;
    x[i] -= numbers[p.at] * slope / (sqrt(square) + p.eps);
}
