// Floats of half size, packed in words, the first in the lower half. By bits: what WGSL's own conversions do is left open where a
// number does not fit, and subnormal ones may be lost.

// The bits of an f32 from those of an f16.
fn from_f16(half: u32) -> u32 {
    let sign = (half & 0x8000u) << 16u;
    let size = half & 0x7fffu;
    if size >= 0x7c00u { return sign | 0x7f800000u | ((size & 0x3ffu) << 13u) | select(0u, 0x400000u, size > 0x7c00u); }
    if size < 0x400u { return sign | bitcast<u32>(f32(size) * 5.9604645e-8); }
    return sign | ((size << 13u) + 0x38000000u);
}

// The bits of the nearest f16 from those of an f32, the even one of two.
fn to_f16(bits: u32) -> u32 {
    let sign = (bits >> 16u) & 0x8000u;
    let size = bits & 0x7fffffffu;
    if size > 0x7f800000u { return sign | 0x7e00u | ((size >> 13u) & 0x3ffu); }
    if size >= 0x477ff000u { return sign | 0x7c00u; }
    if size >= 0x38800000u { return sign | ((size + 0xfffu + ((size >> 13u) & 1u) - 0x38000000u) >> 13u); }
    if size < 0x33000000u { return sign; }
    // A subnormal one, in steps of 2^-24.
    let digits = (size & 0x7fffffu) | 0x800000u;
    let shift = 126u - (size >> 23u);
    let kept = digits >> shift;
    let rest = digits - (kept << shift);
    let tie = 1u << (shift - 1u);
    return sign | (kept + select(0u, 1u, rest > tie || (rest == tie && (kept & 1u) == 1u)));
}

fn to_bf16(bits: u32) -> u32 {
    if (bits & 0x7fffffffu) > 0x7f800000u { return (bits >> 16u) | 0x40u; }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn f16_wide4(v: vec2<u32>) -> vec4<f32> {
    let halves = vec4<u32>(v.x & 0xffffu, v.x >> 16u, v.y & 0xffffu, v.y >> 16u);
    return bitcast<vec4<f32>>(vec4<u32>(from_f16(halves.x), from_f16(halves.y), from_f16(halves.z), from_f16(halves.w)));
}

fn f16_narrow4(v: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(v);
    return vec2<u32>(to_f16(bits.x) | (to_f16(bits.y) << 16u), to_f16(bits.z) | (to_f16(bits.w) << 16u));
}

fn bf16_wide4(v: vec2<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(v.x << 16u, v.x & 0xffff0000u, v.y << 16u, v.y & 0xffff0000u));
}

fn bf16_narrow4(v: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(v);
    return vec2<u32>(to_bf16(bits.x) | (to_bf16(bits.y) << 16u), to_bf16(bits.z) | (to_bf16(bits.w) << 16u));
}

// As f16_wide4, by the built-in, which products take: a number below the smallest normal one may be 0.
fn f16_load4(v: vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn f16_load(word: u32, i: u32) -> f32 { return unpack2x16float(word)[i % 2u]; }

// One element of four.
fn f16_load_of4(v: vec2<u32>, i: u32) -> f32 { return f16_load(select(v.x, v.y, (i & 2u) == 2u), i); }
fn bf16_pick_of4(v: vec2<u32>, i: u32) -> f32 { return bf16_pick(select(v.x, v.y, (i & 2u) == 2u), i); }

// One element of a word that holds two.
fn f16_pick(word: u32, i: u32) -> f32 { return bitcast<f32>(from_f16((word >> (i % 2u * 16u)) & 0xffffu)); }
fn bf16_pick(word: u32, i: u32) -> f32 { return bitcast<f32>((word >> (i % 2u * 16u)) << 16u); }

