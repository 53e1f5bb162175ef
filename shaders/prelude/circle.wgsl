// Stands before the files with sines: the built-ins may be off by 2^-11, and are of no use far from 0.

// x as so many quarters of a turn, and what is left: -pi / 4 to pi / 4.
struct Turn {
    quarters: vec4<u32>,
    rest: vec4<f32>,
}

// 2 / pi behind its point, 32 bits a word, after a word of zeros.
const TWO_OVER_PI = array<u32, 8>(
    0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu
);

// 32 bits of it from bit `at` on, which counts from the word of zeros.
fn bits_of_two_over_pi(at: u32) -> u32 {
    let word = at / 32u;
    let shift = at % 32u;
    var table = TWO_OVER_PI;
    // Shifting by 32 would shift by nothing.
    return (table[word] << shift) | ((table[word + 1u] >> 1u) >> (31u - shift));
}

// One number of 2^12 or more, after Payne and Hanek: of x * 2 / pi, whole turns are left out before they are computed.
fn far_turn(x: f32) -> vec2<f32> {
    let bits = bitcast<u32>(x);
    // |x| = m 2^(e - 150). The bits of 2 / pi that are worth 2 and less after the shift by e - 150 start here.
    let e = (bits >> 23u) & 0xffu;
    let m = (bits & 0x7fffffu) | 0x800000u;
    let at = min(max(e, 120u) - 120u, 135u);
    let w0 = bits_of_two_over_pi(at);
    let w1 = bits_of_two_over_pi(at + 32u);
    let w2 = bits_of_two_over_pi(at + 64u);
    // The upper 64 of the 96 bits of m w that are left: two bits of quarters, then the rest.
    let low = m * w1;
    let carried = low + high_of(m, w2);
    let high = m * w0 + high_of(m, w1) + select(0u, 1u, carried < low);
    let quarters = (high + 0x20000000u) >> 30u;
    let rest = f32(bitcast<i32>((high << 2u) | (carried >> 30u))) + f32(carried << 2u) * 2.3283064e-10;
    return vec2<f32>(f32(quarters), rest * 3.6572951e-10);
}

fn turn_of(x: vec4<f32>) -> Turn {
    // pi / 2 in three parts, the first two with so few digits that their products with quarters are exact.
    let n = round(x * 0.63661977);
    let rest = ((x - n * 1.5703125) - n * 0.00048375130) - n * 7.5497899e-8;
    var turn = Turn(vec4<u32>(vec4<i32>(n)), rest);
    let is_far = abs(x) >= vec4<f32>(4096.0);
    if any(is_far) {
        let x0 = far_turn(x.x);
        let x1 = far_turn(x.y);
        let x2 = far_turn(x.z);
        let x3 = far_turn(x.w);
        let count = vec4<u32>(vec4<f32>(x0.x, x1.x, x2.x, x3.x));
        let left = vec4<f32>(x0.y, x1.y, x2.y, x3.y);
        let below = x < vec4<f32>();
        turn.quarters = select(turn.quarters, select(count, 0u - count, below), is_far);
        turn.rest = select(turn.rest, select(left, -left, below), is_far);
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
