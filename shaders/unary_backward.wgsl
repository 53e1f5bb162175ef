// dx[i] = dy[i] * f'(x[i]), or from the saved y = f(x) where that is cheaper
//   x (the saved x or y), dy, dx of n elements of types X, DY and DX
// One invocation takes four neighbours. No loops. The gradient, f4, is set by the variant.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read_write> dx: array<DX>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
    // The function's own arguments: slope, alpha, bounds, exponent.
    a: f32,
    b: f32,
}

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

// sqrt(x), NaN below 0.
fn root4(x: vec4<f32>) -> vec4<f32> {
    return select(sqrt(abs(x)), from_bits4(0x7fc00000u), x < vec4<f32>());
}

@compute @workgroup_size(256)
fn unary_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u < p.n { dx[i] = narrow_DX(f4(wide_X(x[i]), wide_DY(dy[i]))); }
}
