// Stands before the files that raise to a power.

// x^e as e^(e log x), the exponent in two parts: the built-in may be off by hundreds of units in the last place, and takes
// no negative base. There, a whole exponent decides the sign and any other gives NaN.
fn power4(x: vec4<f32>, e: vec4<f32>) -> vec4<f32> {
    let size = abs(x);
    // |x| = 2^k m, m from sqrt(1/2) to sqrt(2); log2(m) by the series of the inverse hyperbolic tangent.
    // A subnormal number has the bits of a whole one, which is no longer subnormal.
    let plain = bitcast<vec4<i32>>(x) & vec4<i32>(0x7fffffff);
    let is_zero = plain == vec4<i32>();
    let bits = select(plain, bitcast<vec4<i32>>(vec4<f32>(max(plain, vec4<i32>(1)))) - 149 * 0x800000, plain < vec4<i32>(0x800000));
    let k = (bits - 0x3f3504f3) >> vec4<u32>(23u);
    let m = bitcast<vec4<f32>>(bits - k * 0x800000);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let rest = 2.88539 * (s + s * z * (0.33333333 + z * (0.2 + z * (0.14285714 + z * 0.11111111))));
    let log = vec4<f32>(k) + rest;
    let t = e * log;
    let n = round(t);
    let below_one = (t - n) + (fma(e, log, -t) + e * (rest - (log - vec4<f32>(k))));
    let value = scaled_exp4(n, 0.6931472 * below_one);
    let infinity = from_bits4(0x7f800000u);
    let zero = vec4<f32>();
    let one = vec4<f32>(1.0);
    let overflows = (t >= vec4<f32>(128.0)) | ((size == infinity) & (e > zero)) | (is_zero & (e < zero));
    let vanishes = (t < vec4<f32>(-126.0)) | (is_zero & (e > zero)) | ((size == infinity) & (e < zero));
    var y = select(select(select(value, infinity, overflows), zero, vanishes), one, size == one);
    let half = 2.0 * floor(0.5 * e);
    y = select(y, -y, (bitcast<vec4<u32>>(x) >= vec4<u32>(0x80000000u)) & (e - half == one));
    y = select(from_bits4(0x7fc00000u), y, (bitcast<vec4<u32>>(x) <= vec4<u32>(0x80000000u)) | (floor(e) == e) | (size == infinity));
    y = select(y, x + e, is_nan4(x) | is_nan4(e));
    return select(y, one, (e == zero) | (x == one));
}


// x^e of a number e: a root where it is one half, which is NaN of -infinity, and of -0 it has a sign.
fn power_of4(x: vec4<f32>, e: f32) -> vec4<f32> {
    if e == 0.5 { return sqrt(x); }
    if e == -0.5 { return inverseSqrt(x); }
    return power4(x, vec4<f32>(e));
}

