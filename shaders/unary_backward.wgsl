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

@compute @workgroup_size(256) fn exp_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * x[i]; } }
@compute @workgroup_size(256) fn log_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * 1.0 / x[i]; } }
@compute @workgroup_size(256) fn sqrt_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * 0.5 / x[i]; } }
@compute @workgroup_size(256) fn rsqrt_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * -0.5 * x[i] * x[i] * x[i]; } }
@compute @workgroup_size(256) fn reciprocal_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * -x[i] * x[i]; } }
@compute @workgroup_size(256) fn abs_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * sign(x[i]); } }
@compute @workgroup_size(256) fn sin_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * cos(x[i]); } }
@compute @workgroup_size(256) fn cos_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * -sin(x[i]); } }
@compute @workgroup_size(256) fn tanh_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * tanh_slope4(x[i]); } }
@compute @workgroup_size(256) fn sigmoid_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * sigmoid_slope4(x[i]); } }
@compute @workgroup_size(256) fn relu_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * relu_slope4(x[i]); } }
@compute @workgroup_size(256) fn leaky_relu_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * select(vec4<f32>(p.a), vec4<f32>(1.0), x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn elu_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * select(p.a * exp(x[i]), vec4<f32>(1.0), x[i] > vec4<f32>()); } }
@compute @workgroup_size(256) fn gelu_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * gelu_slope4(x[i]); } }
@compute @workgroup_size(256) fn gelu_tanh_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * gelu_tanh_slope4(x[i]); } }
@compute @workgroup_size(256) fn silu_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * silu_slope4(x[i]); } }
@compute @workgroup_size(256) fn softplus_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * sigmoid4(x[i]); } }
@compute @workgroup_size(256) fn square_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * 2.0 * x[i]; } }
@compute @workgroup_size(256) fn clamp_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * select(vec4<f32>(), vec4<f32>(1.0), (x[i] >= vec4<f32>(p.a)) & (x[i] <= vec4<f32>(p.b))); } }
@compute @workgroup_size(256) fn erf_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * 1.1283792 * exp(-x[i] * x[i]); } }
@compute @workgroup_size(256) fn pow_scalar_backward(g: Grid) { let i = index_of(g); if inside(i) { dx[i] = dy[i] * p.a * power4(x[i], vec4<f32>(p.a - 1.0)); } }
