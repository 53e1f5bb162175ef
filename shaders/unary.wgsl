// y[i] = f(x[i])
//   x, y of n elements of types X and Y, in any dense order
// One invocation takes four neighbours. No loops. The function, f4, is set by the variant.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read_write> y: array<Y>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    n: u32,
    // The function's own arguments: slope, alpha, bounds, exponent.
    a: f32,
    b: f32,
}

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

@compute @workgroup_size(256)
fn unary(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u < p.n { y[i] = narrow_Y(f4(wide_X(x[i]))); }
}
