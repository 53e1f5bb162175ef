// The incomplete gamma functions P(a, x) and Q(a, x) = 1 - P(a, x).

// x^a e^-x / Gamma(a + 1) of a below 3: Stirling's series at a + 5.
fn small_weight4(a: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    let far = a + 5.0;
    let r = 1.0 / far;
    let s = r * r;
    let rest = r * (0.083333333 + s * (-0.0027777778 + s * 0.00079365079));
    let product = (a + 1.0) * (a + 2.0) * (a + 3.0) * (a + 4.0);
    let factorial = (far - 0.5) * log4(far) - far + 0.9189385 + rest - log4(product);
    return exp4(a * log4(x) - x - factorial);
}

// m - 1 - log m, of m = x / a: near 1 by the series of the inverse hyperbolic tangent.
fn apart4(a: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    let d = (x - a) / a;
    let s = d / (2.0 + d);
    let z = s * s;
    let series = 0.33333333 + z * (0.2 + z * (0.14285714 + z * (0.11111111 + z * (0.090909091 + z * (0.076923077 + z * 0.066666667)))));
    return select(d - log4(x / a), s * (d - 2.0 * z * series), abs(d) < vec4<f32>(0.5));
}

// 1 + x / (a + 1) + x^2 / ((a + 1) (a + 2)) + ..; at most 80 iterations.
fn rising4(a: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    var n = a;
    var term = vec4<f32>(1.0);
    var sum = term;
    for (var i = 0u; i < 80u; i++) {
        n += 1.0;
        term *= x / n;
        sum += term;
        if all(term < 1e-8 * sum) { break; }
    }
    return sum;
}

// 1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ..)) by the rule of Lentz; at most 40 iterations.
fn fraction4(a: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    var b = x + 1.0 - a;
    var c = vec4<f32>(1e30);
    var d = 1.0 / b;
    var y = d;
    for (var i = 1u; i < 41u; i++) {
        let n = f32(i);
        let top = -n * (n - a);
        b += 2.0;
        d = 1.0 / (top * d + b);
        c = b + top / c;
        y *= c * d;
        if all(abs(c * d - 1.0) < vec4<f32>(3e-7)) { break; }
    }
    return y;
}

// erfc(z) for z from 0 up, of which the square is given; the fit of `erf4`.
fn erfc_above4(z: vec4<f32>, square: vec4<f32>) -> vec4<f32> {
    let t = 1.0 / (1.0 + 0.5 * z);
    let fit = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    return t * exp4(fit - square);
}

// Q(a, x) of a below 1/2 and x below 3/2, where it may be small: the powers of x, less 1 (DLMF 8.7.1). 12 iterations.
fn upper_near_zero4(a: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    // log Gamma(1 + a), by zeta(k) - 1
    let series = a * (0.32246703 + a * (-0.067352301 + a * (0.020580808 + a * (-0.0073855510 + a * (0.0028905103
        + a * (-0.0011927539 + a * (0.00050966953 + a * (-0.00022315476 + a * 0.000099457513))))))));
    let log_gamma = a * (0.42278434 + series) - log1p4(a);
    let w = a * log4(x) - log_gamma;
    var power = vec4<f32>(1.0);
    var sum = vec4<f32>();
    for (var i = 1u; i < 13u; i++) {
        power *= -x / f32(i);
        sum += power / (a + f32(i));
    }
    return -expm1_4(w) - exp4(w) * a * sum;
}

// P(a, x) of a above 20 and x near it, and Q(a, x), by the expansion of Temme (1979; DLMF 8.12), whose last terms are below f32.
fn uniform4(a: vec4<f32>, x: vec4<f32>, is_upper: bool) -> vec4<f32> {
    let half = apart4(a, x);
    let root = sqrt(2.0 * half);
    let e = select(root, -root, x < a);
    let c0 = -0.33333333 + e * (0.083333333 + e * (-0.014814815 + e * (0.0011574074 + e * (0.00035273369 + e * (-0.00017875514 + e * 3.9192632e-5)))));
    let c1 = -0.0018518519 + e * (-0.0034722222 + e * (0.0026455026 + e * (-0.00099022634 + e * 0.00020576132)));
    let c2 = 0.0041335979 + e * (-0.0026813272 + e * 0.00077160494);
    let square = a * half;
    let rest = exp4(-square) * 0.39894228 / sqrt(a) * (c0 + (c1 + c2 / a) / a);
    let tail = 0.5 * erfc_above4(sqrt(square), square);
    let is_far = (e < vec4<f32>()) == vec4<bool>(is_upper);
    let share = select(tail, 1.0 - tail, is_far);
    return select(share - rest, share + rest, vec4<bool>(is_upper));
}

fn incomplete4(a: vec4<f32>, x: vec4<f32>, is_upper: bool) -> vec4<f32> {
    let infinity = from_bits4(0x7f800000u);
    let zero = vec4<f32>();
    let is_plain = (a > zero) & (x > zero) & (a < infinity) & (x < infinity);
    let is_near = is_plain & (a > vec4<f32>(20.0)) & (abs(x - a) < 0.3 * a);
    let is_small = is_plain & (a < vec4<f32>(0.5)) & (x < vec4<f32>(1.5));
    let is_low = is_plain & !is_near & !is_small & (x < a + 1.0);
    let is_high = is_plain & !is_near & !is_small & !is_low;
    // Where a way is not taken it gets numbers with which it ends at once.
    let square = a * a;
    let stirling = (0.083333333 - (0.0027777778 - 0.00079365079 / square) / square) / a;
    let large = exp4(-a * apart4(a, x)) * 0.39894228 / sqrt(a) * exp4(-stirling);
    let weight = select(large, small_weight4(a, x), a < vec4<f32>(3.0));
    let low = weight * rising4(select(vec4<f32>(1.0), a, is_low), select(zero, x, is_low));
    let high = weight * a * fraction4(select(vec4<f32>(1.0), a, is_high), select(vec4<f32>(2.0), x, is_high));
    let upper = vec4<bool>(is_upper);
    let small = upper_near_zero4(select(vec4<f32>(0.25), a, is_small), select(vec4<f32>(1.0), x, is_small));
    let near = uniform4(select(vec4<f32>(30.0), a, is_near), select(vec4<f32>(30.0), x, is_near), is_upper);
    var y = select(select(1.0 - high, high, upper), select(low, 1.0 - low, upper), is_low);
    y = select(y, select(1.0 - small, small, upper), is_small);
    y = select(y, near, is_near);
    // The ends: all above 0 where a is 0, nothing where x is, and infinite ones likewise.
    let all = select(vec4<f32>(1.0), zero, upper);
    let is_all = (a == zero) | (x == infinity);
    y = select(y, select(1.0 - all, all, is_all), (x == zero) | (a == infinity) | is_all);
    let is_open = is_all & ((x == zero) | (a == infinity));
    return select(y, from_bits4(0x7fc00000u), is_open | (a < zero) | (x < zero) | is_nan4(a) | is_nan4(x));
}
