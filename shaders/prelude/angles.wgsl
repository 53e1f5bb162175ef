// Stands before the files with inverse functions of angles: the built-in atan may be off by 4,096 units in the last place.

// The angle whose tangent is a, from 0 to 1 (Moshier's Cephes, atanf).
fn angle_of4(a: vec4<f32>) -> vec4<f32> {
    let is_far = a > vec4<f32>(0.41421357);
    let t = select(a, (a - 1.0) / (a + 1.0), is_far);
    let z = t * t;
    let near = t + t * z * (-0.333329491539 + z * (0.199777106478 + z * (-0.138776856032 + z * 0.0805374449538)));
    return select(near, 0.78539816 + near, is_far);
}

// The angle of the point (x, y), from -pi to pi, by the signs of both, of zeros too.
fn atan2_4(y: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    let is_steep = abs(y) > abs(x);
    let small = select(abs(y), abs(x), is_steep);
    let large = select(abs(x), abs(y), is_steep);
    let share = select(select(small / large, vec4<f32>(), large == vec4<f32>()), vec4<f32>(1.0), small == from_bits4(0x7f800000u));
    let first = angle_of4(share);
    let upper = select(first, 1.5707964 - first, is_steep);
    let around = select(upper, 3.1415927 - upper, bitcast<vec4<u32>>(x) >= vec4<u32>(0x80000000u));
    let signed = select(around, -around, bitcast<vec4<u32>>(y) >= vec4<u32>(0x80000000u));
    return select(signed, x + y, is_nan4(x) | is_nan4(y));
}

fn atan4(x: vec4<f32>) -> vec4<f32> {
    return atan2_4(x, vec4<f32>(1.0));
}

// The angle whose sine is s, of at most 1/2 (Cephes, asinf).
fn small_asin4(s: vec4<f32>, z: vec4<f32>) -> vec4<f32> {
    return s + s * z * (0.16666752422 + z * (0.074953002686 + z * (0.045470025998 + z * (0.024181311049 + z * 0.042163199048))));
}

// NaN past 1.
fn past_one4(angle: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    return select(select(angle, from_bits4(0x7fc00000u), abs(x) > vec4<f32>(1.0)), x, is_nan4(x));
}

// The angle whose sine is |x|; near 1 by half of the other angle.
fn asin_of_size4(x: vec4<f32>) -> vec4<f32> {
    let size = abs(x);
    let half = 0.5 * (1.0 - size);
    let root = sqrt(relu4(half));
    return select(small_asin4(size, size * size), 1.5707964 - 2.0 * small_asin4(root, half), size > vec4<f32>(0.5));
}

fn asin4(x: vec4<f32>) -> vec4<f32> {
    let angle = asin_of_size4(x);
    return past_one4(select(angle, -angle, x < vec4<f32>()), x);
}

fn acos4(x: vec4<f32>) -> vec4<f32> {
    let half = 0.5 * (1.0 - abs(x));
    let root = sqrt(relu4(half));
    let near = 2.0 * small_asin4(root, half);
    let far = select(near, 3.1415927 - near, x < vec4<f32>());
    let angle = small_asin4(abs(x), x * x);
    let middle = select(1.5707964 - angle, 1.5707964 + angle, x < vec4<f32>());
    return past_one4(select(middle, far, abs(x) > vec4<f32>(0.5)), x);
}
