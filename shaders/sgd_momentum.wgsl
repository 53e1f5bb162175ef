// s = g + w x, u = momentum u + rest s, x = x - lr u, or with Nesterov x = x - lr (s + momentum u), over a stretch of slabs
//   g, x, u: slabs; numbers: the factor that clips g, .., and from `at` on lr, momentum, rest; w the
//   weight decay
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> u: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> numbers: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> p: Params;

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
    if at * 4u >= p.n { return; }
    let i = p.first / 4u + at;
    // lr, momentum, rest
    let now = numbers[p.at / 4u];
    let slope = numbers[0].x * g[i] + p.decay * x[i];
    let velocity = now.y * u[i] + now.z * slope;
    u[i] = velocity;
    if p.nesterov == 1u { x[i] -= now.x * (slope + now.y * velocity); } else { x[i] -= now.x * velocity; }
}
