// y[i] = f(x[i]), functions that are flat between their steps
//   x, y of n elements, in any dense order
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    n: u32,
}

fn inside(i: u32) -> bool { return i * 4u < p.n; }

@compute @workgroup_size(256) fn sign(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = slope_of_abs4(x[i]); } }
@compute @workgroup_size(256) fn round_to_even(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = round(x[i]); } }
@compute @workgroup_size(256) fn round_down(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = floor(x[i]); } }
@compute @workgroup_size(256) fn round_up(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = ceil(x[i]); } }
@compute @workgroup_size(256) fn round_to_zero(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = trunc(x[i]); } }
