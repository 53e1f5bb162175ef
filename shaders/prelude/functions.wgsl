// Logarithms, inverse hyperbolic functions and the inverse of the error function.

// log(1 + x): near 0 the series of the inverse hyperbolic tangent, where the sum would lose digits.
fn log_of_one_and4(x: vec4<f32>) -> vec4<f32> {
    let s = x / (2.0 + x);
    let z = s * s;
    let series = 0.33333333 + z * (0.2 + z * (0.14285714 + z * (0.11111111 + z * (0.090909091 + z * 0.076923077))));
    let far = log4(1.0 + x);
    return select(far, 2.0 * (s + s * z * series), abs(x) < vec4<f32>(0.5));
}

// e^x - 1: a series where the difference would lose digits.
fn exp_less_one4(x: vec4<f32>) -> vec4<f32> {
    let near = x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666667 + x * (0.0083333333 + x * 0.0013888889)))));
    return select(exp4(x) - 1.0, near, abs(x) < vec4<f32>(0.25));
}

// The inverse hyperbolic functions by logarithms of one and something.
fn asinh4(x: vec4<f32>) -> vec4<f32> {
    let size = abs(x);
    let z = size * size;
    let near = log_of_one_and4(size + z / (1.0 + sqrt(1.0 + z)));
    let far = log4(size) + 0.6931472;
    let y = select(near, far, size > vec4<f32>(1e4));
    return select(select(y, -y, x < vec4<f32>()), x, is_nan4(x) | (x == vec4<f32>()));
}

fn acosh4(x: vec4<f32>) -> vec4<f32> {
    let above = relu4(x - 1.0);
    let near = log_of_one_and4(above + sqrt(2.0 * above + above * above));
    let y = select(near, log4(x) + 0.6931472, x > vec4<f32>(1e4));
    return select(select(y, from_bits4(0x7fc00000u), x < vec4<f32>(1.0)), x, is_nan4(x));
}

fn atanh4(x: vec4<f32>) -> vec4<f32> {
    let size = abs(x);
    let y = 0.5 * log_of_one_and4(2.0 * size / (1.0 - size));
    let signed = select(y, -y, x < vec4<f32>());
    let ends = select(signed, select(from_bits4(0x7f800000u), from_bits4(0xff800000u), x < vec4<f32>()), size == vec4<f32>(1.0));
    return select(select(ends, from_bits4(0x7fc00000u), size > vec4<f32>(1.0)), x, is_nan4(x) | (x == vec4<f32>()));
}

// The inverse of the error function (Giles, "Approximating the erfinv function", GPU Computing Gems 2, 2011).
fn erfinv4(x: vec4<f32>) -> vec4<f32> {
    let product = (1.0 - x) * (1.0 + x);
    let w = -log4(product);
    let n = w - 2.5;
    let near = 1.50140941 + n * (0.246640727 + n * (-0.00417768164 + n * (-0.00125372503 + n * (0.00021858087
        + n * (-4.39150654e-06 + n * (-3.5233877e-06 + n * (3.43273939e-07 + n * 2.81022636e-08)))))));
    let f = sqrt(relu4(w)) - 3.0;
    let far = 2.83297682 + f * (1.00167406 + f * (0.00943887047 + f * (-0.0076224613 + f * (0.00573950773
        + f * (-0.00367342844 + f * (0.00134934322 + f * (0.000100950558 + f * -0.000200214257)))))));
    let inner = x * select(far, near, w < vec4<f32>(5.0));
    let ends = select(inner, select(from_bits4(0x7f800000u), from_bits4(0xff800000u), x < vec4<f32>()), abs(x) == vec4<f32>(1.0));
    return past_one4(ends, x);
}

