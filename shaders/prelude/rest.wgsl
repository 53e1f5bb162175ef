// Stands before the files with remainders. The built-in % of floats rounds the quotient first.

// What whole multiples of b leave of a, with the sign of a, exactly: sizes are m 2^e, and m is taken 8 bits at a time.
fn fmod1(a: f32, b: f32) -> f32 {
    let x = bitcast<u32>(a) & 0x7fffffffu;
    let y = bitcast<u32>(b) & 0x7fffffffu;
    if x >= 0x7f800000u || y > 0x7f800000u || y == 0u { return from_bits4(0x7fc00000u).x; }
    if x < y { return a; }
    // Numbers below the smallest normal one have its exponent and no leading bit.
    let exponents = vec2<u32>(max(x >> 23u, 1u), max(y >> 23u, 1u));
    let m = (vec2<u32>(x, y) & vec2<u32>(0x7fffffu)) + select(vec2<u32>(), vec2<u32>(0x800000u), vec2<u32>(x, y) >= vec2<u32>(0x800000u));
    var left = m.x % m.y;
    // At most 32 iterations.
    for (var e = exponents.x; e > exponents.y; e -= min(e - exponents.y, 8u)) { left = (left << min(e - exponents.y, 8u)) % m.y; }
    if left == 0u { return bitcast<f32>(bitcast<u32>(a) & 0x80000000u); }
    let shift = 23u - firstLeadingBit(left);
    let normal = ((left << shift) & 0x7fffffu) | ((exponents.y - shift) << 23u);
    let size = select(left << (exponents.y - 1u), normal, exponents.y > shift);
    return bitcast<f32>(size | (bitcast<u32>(a) & 0x80000000u));
}

fn fmod4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(fmod1(a.x, b.x), fmod1(a.y, b.y), fmod1(a.z, b.z), fmod1(a.w, b.w));
}

// The same with the sign of b.
fn remainder4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let left = fmod4(a, b);
    let other = (left < vec4<f32>()) != (b < vec4<f32>());
    return select(left + b, left, (left == vec4<f32>()) | !other);
}

// The next number after a on the way to b; both zeros are one.
fn next_after4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(a);
    let goes_up = order4(b) > order4(a);
    // Away from 0 the bits grow.
    let moved = select(bits - 1u, bits + 1u, (bits < vec4<u32>(0x80000000u)) == goes_up);
    let first = select(vec4<u32>(0x80000001u), vec4<u32>(1u), goes_up);
    let next = select(moved, first, (bits & vec4<u32>(0x7fffffffu)) == vec4<u32>());
    let y = select(bitcast<vec4<f32>>(next), b, order4(a) == order4(b));
    return select(y, a + b, is_nan4(a) | is_nan4(b));
}
