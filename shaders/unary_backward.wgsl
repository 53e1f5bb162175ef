// dx[i] = dy[i] * f'(x[i]), or from the saved y = f(x) where that is cheaper
//   x (the saved x or y), dy, dx of n elements
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
    // The function's own arguments: slope, alpha, bounds, exponent.
    a: f32,
    b: f32,
}

fn inside(i: u32) -> bool { return i * 4u < p.n; }

// Nothing of the gradient where the function is flat, be it infinite.
fn unless4(flat: vec4<bool>, dy: vec4<f32>) -> vec4<f32> { return select(dy, vec4<f32>(), flat); }

fn hardswish_gradient4(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    let inside = select(dy * (x / 3.0 + 0.5), dy, x >= vec4<f32>(3.0));
    return unless4(x <= vec4<f32>(-3.0), inside);
}

fn mish_slope4(x: vec4<f32>) -> vec4<f32> {
    let t = tanh4(softplus4(x));
    return t + x * sigmoid4(x) * (1.0 - t * t);
}

// NaN of infinity, as the quotient is.
fn softsign_gradient4(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    let size = 1.0 + abs(x);
    return select(dy / (size * size), from_bits4(0x7fc00000u), abs(x) == from_bits4(0x7f800000u));
}

// At a bound or past it, or NaN; an infinite bound is none.
fn outside4(x: vec4<f32>) -> vec4<bool> {
    let below = (x <= vec4<f32>(p.a)) & vec4<bool>(p.a >= -3.4028234e38);
    return is_nan4(x) | below | ((x >= vec4<f32>(p.b)) & vec4<bool>(p.b <= 3.4028234e38));
}

// Where the exponent is 0, nothing depends on the base.
fn power_gradient4(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return unless4(vec4<bool>(p.a == 0.0), dy * (p.a * power_of4(x, p.a - 1.0)));
}

@compute @workgroup_size(256) fn exp_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * x[i]; } }
@compute @workgroup_size(256) fn log_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] / x[i]; } }
@compute @workgroup_size(256) fn sqrt_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * 0.5 / x[i]; } }
@compute @workgroup_size(256) fn rsqrt_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * -0.5 * x[i] * x[i] * x[i]; } }
@compute @workgroup_size(256) fn reciprocal_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * -x[i] * x[i]; } }
@compute @workgroup_size(256) fn abs_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * slope_of_abs4(x[i]); } }
@compute @workgroup_size(256) fn sin_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * cos4(x[i]); } }
@compute @workgroup_size(256) fn cos_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * -sin4(x[i]); } }
@compute @workgroup_size(256) fn tanh_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * tanh_slope4(x[i]); } }
@compute @workgroup_size(256) fn sigmoid_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * sigmoid_slope4(x[i]); } }
@compute @workgroup_size(256) fn relu_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = past_relu4(dy[i], x[i]); } }
@compute @workgroup_size(256) fn leaky_relu_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * select(vec4<f32>(p.a), vec4<f32>(1.0), x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn elu_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * select(p.a * exp(x[i]), vec4<f32>(1.0), x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn gelu_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * gelu_slope4(x[i]); } }
@compute @workgroup_size(256) fn gelu_tanh_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * gelu_tanh_slope4(x[i]); } }
@compute @workgroup_size(256) fn silu_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * silu_slope4(x[i]); } }
@compute @workgroup_size(256) fn softplus_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * sigmoid4(x[i]); } }
@compute @workgroup_size(256) fn square_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * 2.0 * x[i]; } }
@compute @workgroup_size(256) fn clamp_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = unless4(outside4(x[i]), dy[i]); } }
@compute @workgroup_size(256) fn erf_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * 1.1283792 * exp(-x[i] * x[i]); } }
@compute @workgroup_size(256) fn pow_scalar_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = power_gradient4(x[i], dy[i]); } }
@compute @workgroup_size(256) fn hardtanh_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = unless4(outside4(x[i]), dy[i]); } }
@compute @workgroup_size(256) fn hardswish_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = hardswish_gradient4(x[i], dy[i]); } }
@compute @workgroup_size(256) fn hardsigmoid_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = unless4(is_nan4(x[i]) | (abs(x[i]) >= vec4<f32>(3.0)), dy[i] / 6.0); } }
@compute @workgroup_size(256) fn softsign_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = softsign_gradient4(x[i], dy[i]); } }
@compute @workgroup_size(256) fn mish_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * mish_slope4(x[i]); } }
@compute @workgroup_size(256) fn selu_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * 1.050701 * select(1.6732632 * exp(x[i]), vec4<f32>(1.0), x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn celu_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * select(exp(x[i] / p.a), vec4<f32>(1.0), x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn logsigmoid_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = dy[i] * sigmoid4(-x[i]); } }
@compute @workgroup_size(256) fn threshold_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = unless4(x[i] <= vec4<f32>(p.a), dy[i]); } }
@compute @workgroup_size(256) fn hardshrink_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = unless4(abs(x[i]) <= vec4<f32>(p.a), dy[i]); } }
@compute @workgroup_size(256) fn softshrink_backward(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = unless4(abs(x[i]) <= vec4<f32>(p.a), dy[i]); } }
