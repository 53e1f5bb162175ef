// m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, x = x - step_size m / (sqrt(v) / root + eps), over a stretch of slabs
//   g, x, m, v: slabs; numbers: the factor that clips g, .., and from `at`, or from the slot of each 64 elements, on
//   lr, step_size = lr / (1 - b1^t), root = sqrt(1 - b2^t), b1, 1 - b1
//   weight decay w: coupled, g = g + w x; decoupled (AdamW), x = x - lr w x first
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> numbers: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    beta2: f32,
    // 1 - beta2 to the last bit: f32 would lose it in the difference.
    rest2: f32,
    eps: f32,
    // One of the two is the weight decay, the other 0.
    coupled: f32,
    decoupled: f32,
}

@compute @workgroup_size(256)
fn adam(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[0].w == 1.0 { return; }
    let i = p.first / 4u + at;
    // Parameters that have seen different numbers of gradients have numbers of their own.
    var place = p.at / 4u;
    if numbers[0].z == 1.0 { place = slots[i / 16u]; }
    // lr, step_size, root, b1
    let now = numbers[place];
    var value = x[i];
    let slope = decayed4(numbers[0].x * g[i], p.coupled, value);
    value = decayed4(value, -now.x * p.decoupled, value);
    let mean = now.w * m[i] + numbers[place + 1u].x * slope;
    let square = p.beta2 * v[i] + p.rest2 * slope * slope;
    m[i] = mean;
    v[i] = square;
    x[i] = value - now.y * mean / (sqrt(square) / now.z + p.eps);
}
