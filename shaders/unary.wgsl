// y[i] = f(x[i])
//   x, y of n elements, in any dense order
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    n: u32,
    // The function's own arguments: slope, alpha, bounds, exponent.
    a: f32,
    b: f32,
}

fn inside(i: u32) -> bool { return i * 4u < p.n; }

fn hardsigmoid4(x: vec4<f32>) -> vec4<f32> { return held4(x / 6.0 + 0.5, vec4<f32>(), vec4<f32>(1.0)); }

// NaN where a bound is.
fn clamp4(x: vec4<f32>) -> vec4<f32> {
    let bounds = vec4<f32>(p.a + p.b);
    let is_lost = is_nan4(vec4<f32>(p.a)) | is_nan4(vec4<f32>(p.b));
    return select(held4(x, vec4<f32>(p.a), vec4<f32>(p.b)), bounds, is_lost);
}

fn threshold4(x: vec4<f32>) -> vec4<f32> { return select(x, vec4<f32>(p.b), !is_nan4(x) & (x <= vec4<f32>(p.a))); }

fn hardshrink4(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(), !is_nan4(x) & (abs(x) <= vec4<f32>(p.a)));
}

fn softshrink4(x: vec4<f32>) -> vec4<f32> {
    let outside = select(x - p.a, x + p.a, x < vec4<f32>());
    return select(outside, vec4<f32>(), !is_nan4(x) & (abs(x) <= vec4<f32>(p.a)));
}

@compute @workgroup_size(256) fn affine_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = p.a * x[i] + p.b; } }
@compute @workgroup_size(256) fn exp_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = exp4(x[i]); } }
@compute @workgroup_size(256) fn log_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = log4(x[i]); } }
@compute @workgroup_size(256) fn sqrt_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = sqrt(x[i]); } }
@compute @workgroup_size(256) fn rsqrt_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = inverseSqrt(x[i]); } }
@compute @workgroup_size(256) fn reciprocal_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = 1.0 / x[i]; } }
@compute @workgroup_size(256) fn abs_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = abs(x[i]); } }
@compute @workgroup_size(256) fn sin_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = sin4(x[i]); } }
@compute @workgroup_size(256) fn cos_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = cos4(x[i]); } }
@compute @workgroup_size(256) fn tanh_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = tanh4(x[i]); } }
@compute @workgroup_size(256) fn sigmoid_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = sigmoid4(x[i]); } }
@compute @workgroup_size(256) fn relu_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = relu4(x[i]); } }
@compute @workgroup_size(256) fn leaky_relu_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = select(p.a * x[i], x[i], x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn elu_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = select(p.a * expm1_4(x[i]), x[i], x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn gelu_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = x[i] * normal_cdf4(x[i]); } }
@compute @workgroup_size(256) fn gelu_tanh_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = 0.5 * x[i] * (1.0 + tanh4(gelu_inner(x[i]))); } }
@compute @workgroup_size(256) fn silu_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = x[i] * sigmoid4(x[i]); } }
@compute @workgroup_size(256) fn softplus_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = softplus4(x[i]); } }
@compute @workgroup_size(256) fn square_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = x[i] * x[i]; } }
@compute @workgroup_size(256) fn clamp_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = clamp4(x[i]); } }
@compute @workgroup_size(256) fn erf_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = erf4(x[i]); } }
@compute @workgroup_size(256) fn pow_scalar_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = power_of4(x[i], p.a); } }
@compute @workgroup_size(256) fn hardtanh_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = clamp4(x[i]); } }
@compute @workgroup_size(256) fn hardswish_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = x[i] * hardsigmoid4(x[i]); } }
@compute @workgroup_size(256) fn hardsigmoid_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = hardsigmoid4(x[i]); } }
@compute @workgroup_size(256) fn softsign_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = x[i] / (1.0 + abs(x[i])); } }
@compute @workgroup_size(256) fn mish_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = x[i] * tanh4(softplus4(x[i])); } }
@compute @workgroup_size(256) fn selu_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = 1.050701 * select(1.6732632 * expm1_4(x[i]), x[i], x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn celu_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = select(p.a * expm1_4(x[i] / p.a), x[i], x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn logsigmoid_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = -softplus4(-x[i]); } }
@compute @workgroup_size(256) fn threshold_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = threshold4(x[i]); } }
@compute @workgroup_size(256) fn hardshrink_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = hardshrink4(x[i]); } }
@compute @workgroup_size(256) fn softshrink_forward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = softshrink4(x[i]); } }
