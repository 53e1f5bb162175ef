// g = clamp(factor g + l1 sign(x) + l2 x, -bound, bound), over a stretch of slabs
//   g, x: slabs
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read_write> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    factor: f32,
    l1: f32,
    l2: f32,
    bound: f32,
}

@compute @workgroup_size(256)
fn penalty(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n { return; }
    let i = p.first / 4u + at;
    let slope = p.factor * g[i] + p.l1 * sign4(x[i]) + p.l2 * x[i];
    g[i] = held4(slope, vec4<f32>(-p.bound), vec4<f32>(p.bound));
}
