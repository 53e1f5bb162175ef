// x = x - lr (sign(b1 m + (1 - b1) g) + w x), m = b2 m + (1 - b2) g, over a stretch of slabs
//   g, x, m: slabs; numbers: the factor that clips g, .., and from `at` on lr; w the weight decay
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> numbers: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    beta1: f32,
    beta2: f32,
    // 1 - beta1 and 1 - beta2 to the last bit
    rest1: f32,
    rest2: f32,
    decay: f32,
}

@compute @workgroup_size(256)
fn lion(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[3] == 1.0 { return; }
    let i = p.first / 4u + at;
    let slope = numbers[0] * g[i];
    let mean = m[i];
    x[i] -= numbers[p.at] * decayed4(sign4(p.beta1 * mean + p.rest1 * slope), p.decay, x[i]);
    m[i] = p.beta2 * mean + p.rest2 * slope;
}
