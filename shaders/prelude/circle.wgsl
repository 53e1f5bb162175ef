// Stands before the files with sines: the built-ins may be off by 2^-11, and are of no use far from 0.

// x as so many quarters of a turn, and what is left: -pi / 4 to pi / 4.
struct Turn {
    quarters: vec4<u32>,
    rest: vec4<f32>,
}

// One of five words.
fn word4(at: vec4<u32>, w0: u32, w1: u32, w2: u32, w3: u32, w4: u32) -> vec4<u32> {
    let low = select(select(vec4<u32>(w0), vec4<u32>(w1), at >= vec4<u32>(1u)), vec4<u32>(w2), at >= vec4<u32>(2u));
    return select(select(low, vec4<u32>(w3), at >= vec4<u32>(3u)), vec4<u32>(w4), at >= vec4<u32>(4u));
}

// The upper half of a 64-bit product of numbers of 24 and 32 bits.
fn high_of4(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    let shift = vec4<u32>(16u);
    let low = a & vec4<u32>(0xffffu);
    let high = a >> shift;
    let middle = high * (b & vec4<u32>(0xffffu)) + ((low * (b & vec4<u32>(0xffffu))) >> shift);
    let other = low * (b >> shift) + (middle & vec4<u32>(0xffffu));
    return high * (b >> shift) + (middle >> shift) + (other >> shift);
}

// |x| of 2^12 or more, after Payne and Hanek: whole turns are left out of x * 2 / pi before they are computed, by
// beginning with those bits of 2 / pi that are worth less than a turn. What is left is off by less than 2^-25.
fn far_turn(x: vec4<f32>) -> Turn {
    let bits = bitcast<vec4<u32>>(x);
    // |x| = m 2^(e - 150); the bits of 2 / pi, 32 a word behind a word of zeros, begin to count at e - 120.
    let e = (bits >> vec4<u32>(23u)) & vec4<u32>(0xffu);
    let m = (bits & vec4<u32>(0x7fffffu)) | vec4<u32>(0x800000u);
    let at = max(e, vec4<u32>(139u)) - 120u;
    let word = at >> vec4<u32>(5u);
    let shift = at & vec4<u32>(31u);
    let a = word4(word, 0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u);
    let b = word4(word, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u);
    let c = word4(word, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u);
    // Shifting by 32 would shift by nothing.
    let w0 = (a << shift) | ((b >> vec4<u32>(1u)) >> (31u - shift));
    let w1 = (b << shift) | ((c >> vec4<u32>(1u)) >> (31u - shift));
    // Two bits of quarters, then the rest, as a number from -1/2 to 1/2.
    let product = m * w0 + high_of4(m, w1);
    let quarters = (product + 0x20000000u) >> vec4<u32>(30u);
    let rest = 3.6572951e-10 * vec4<f32>(bitcast<vec4<i32>>(product << vec4<u32>(2u)));
    let below = x < vec4<f32>();
    return Turn(select(quarters, 0u - quarters, below), select(rest, -rest, below));
}

fn turn_of(x: vec4<f32>) -> Turn {
    // pi / 2 in three parts, the first two with so few digits that their products with quarters are exact.
    let n = round(x * 0.63661977);
    let rest = ((x - n * 1.5703125) - n * 0.00048375130) - n * 7.5497899e-8;
    var turn = Turn(vec4<u32>(vec4<i32>(n)), rest);
    let is_far = abs(x) >= vec4<f32>(4096.0);
    if any(is_far) {
        let far = far_turn(x);
        turn.quarters = select(turn.quarters, far.quarters, is_far);
        turn.rest = select(turn.rest, far.rest, is_far);
    }
    return turn;
}

// The sine after so many quarters more. Infinity and NaN give NaN.
fn sine4(turn: Turn, more: u32, x: vec4<f32>) -> vec4<f32> {
    let r = turn.rest;
    let z = r * r;
    let odd = r + r * z * (-0.16666667 + z * (0.0083333310 + z * (-0.00019840874 + z * 2.7525562e-6)));
    let even = 1.0 + z * (-0.5 + z * (0.041666646 + z * (-0.0013887316 + z * 2.4433157e-5)));
    let quarters = turn.quarters + more;
    let y = select(odd, even, (quarters & vec4<u32>(1u)) == vec4<u32>(1u));
    let signed = select(y, -y, (quarters & vec4<u32>(2u)) == vec4<u32>(2u));
    return select(signed, from_bits4(0x7fc00000u), (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) >= vec4<u32>(0x7f800000u));
}

fn sin4(x: vec4<f32>) -> vec4<f32> { return sine4(turn_of(x), 0u, x); }

fn cos4(x: vec4<f32>) -> vec4<f32> { return sine4(turn_of(x), 1u, x); }
