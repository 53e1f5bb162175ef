// s = g + w x, u = momentum u + rest s, x = x - lr u, or with Nesterov x = x - lr (s + momentum u), over a stretch of slabs
//   g, x, u: slabs; numbers: the factor that clips g, .., and from `at`, or from the slot of each 64
//   elements, on lr, momentum, rest; w the weight decay
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> u: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> numbers: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    nesterov: u32,
    decay: f32,
}

@compute @workgroup_size(256)
fn sgd_momentum(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[0].w == 1.0 { return; }
    let i = p.first / 4u + at;
    // Parameters that have seen different numbers of gradients have numbers of their own.
    var place = p.at / 4u;
    if numbers[0].z == 1.0 { place = slots[i / 16u]; }
    // lr, momentum, rest
    let now = numbers[place];
    let slope = decayed4(numbers[0].x * g[i], p.decay, x[i]);
    let velocity = now.y * u[i] + now.z * slope;
    u[i] = velocity;
    if p.nesterov == 1u { x[i] -= now.x * (slope + now.y * velocity); } else { x[i] -= now.x * velocity; }
}
