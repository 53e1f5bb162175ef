// dx[i] = dy[i] * f'(x[i]), or from the saved y = f(x) where that is cheaper
//   x (the saved x or y), dy, dx of n elements
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
    // The function's own arguments, of which these have none.
    a: f32,
    b: f32,
}

fn inside(i: u32) -> bool { return i * 4u < p.n; }

// sqrt(x), NaN below 0.
fn root4(x: vec4<f32>) -> vec4<f32> {
    return select(sqrt(abs(x)), from_bits4(0x7fc00000u), x < vec4<f32>());
}

@compute @workgroup_size(256) fn log1p_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] / (1.0 + x[i]); } }
@compute @workgroup_size(256) fn expm1_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * (x[i] + 1.0); } }
@compute @workgroup_size(256) fn log2_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] / (0.6931472 * x[i]); } }
@compute @workgroup_size(256) fn log10_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] / (2.3025851 * x[i]); } }
@compute @workgroup_size(256) fn tan_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * (1.0 + x[i] * x[i]); } }
@compute @workgroup_size(256) fn asin_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] / root4((1.0 - x[i]) * (1.0 + x[i])); } }
@compute @workgroup_size(256) fn acos_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = -dy[i] / root4((1.0 - x[i]) * (1.0 + x[i])); } }
@compute @workgroup_size(256) fn atan_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] / (1.0 + x[i] * x[i]); } }
@compute @workgroup_size(256) fn sinh_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * cosh4(x[i]); } }
@compute @workgroup_size(256) fn cosh_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * sinh4(x[i]); } }
@compute @workgroup_size(256) fn asinh_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] / sqrt(1.0 + x[i] * x[i]); } }
@compute @workgroup_size(256) fn acosh_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] / root4((x[i] - 1.0) * (x[i] + 1.0)); } }
@compute @workgroup_size(256) fn atanh_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] / ((1.0 - x[i]) * (1.0 + x[i])); } }
@compute @workgroup_size(256) fn erfinv_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * 0.88622693 * exp4(x[i] * x[i]); } }
