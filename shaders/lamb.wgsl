// m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, g = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + w x, over a stretch
//   g (at last the direction of the step), x, m, v: slabs; numbers: the factor that clips g, .., and from `at`, or from the
//   slot of each 64 elements, on lr, 1 / (1 - b1^t), 1 / (1 - b2^t); w the weight decay
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read_write> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> numbers: array<f32>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    beta1: f32,
    beta2: f32,
    // 1 - beta1 and 1 - beta2 to the last bit: f32 would lose them in the difference.
    rest1: f32,
    rest2: f32,
    eps: f32,
    decay: f32,
}

@compute @workgroup_size(256)
fn lamb(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[3] == 1.0 { return; }
    let i = p.first / 4u + at;
    // Parameters that have seen different numbers of gradients have numbers of their own.
    var place = p.at;
    if numbers[2] == 1.0 { place = 4u * slots[i / 16u]; }
    let slope = numbers[0] * g[i];
    let mean = p.beta1 * m[i] + p.rest1 * slope;
    let square = p.beta2 * v[i] + p.rest2 * slope * slope;
    m[i] = mean;
    v[i] = square;
    g[i] = decayed4(numbers[place + 1u] * mean / (sqrt(numbers[place + 2u] * square) + p.eps), p.decay, x[i]);
}
