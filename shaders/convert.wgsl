// y[i] = x[i] as an element of another type
//   x: n elements of type FROM; y: n elements of type TO; both packed in words, the first in the lowest bits, i64 in two words
// One invocation makes four neighbours, which are whole words in every type, so that no word has two writers; what lies in the
// last word behind the last element keeps its value. No loops.
// Conversions go by bits: what WGSL's own do is left open where a number does not fit, and subnormal ones may be lost. Set by
// the variant are FROM and TO, types by their numbers below, and HELD: then i64 that are no i32 become the nearest.

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    n: u32,
}

const F32 = 0u;
const F16 = 1u;
const BF16 = 2u;
const I64 = 3u;
const I32 = 4u;
const U8 = 5u;
const BOOL = 6u;

// The bits of an element; an integer as 64 of them, the lower half first.
fn element(i: u32) -> vec2<u32> {
    if FROM == I64 { return vec2<u32>(x[2u * i], x[2u * i + 1u]); }
    if FROM == F16 || FROM == BF16 { return vec2<u32>((x[i / 2u] >> (i % 2u * 16u)) & 0xffffu, 0u); }
    if FROM == U8 || FROM == BOOL { return vec2<u32>((x[i / 4u] >> (i % 4u * 8u)) & 0xffu, 0u); }
    let word = x[i];
    return vec2<u32>(word, select(0u, 0xffffffffu, FROM == I32 && word >= 0x80000000u));
}

fn negated(v: vec2<u32>) -> vec2<u32> {
    let low = ~v.x + 1u;
    return vec2<u32>(low, ~v.y + select(0u, 1u, low == 0u));
}

// The bits of an f32 as a float of type TO.
fn rounded(bits: u32) -> vec2<u32> {
    if TO == F16 { return vec2<u32>(to_f16(bits), 0u); }
    if TO == BF16 { return vec2<u32>(to_bf16(bits), 0u); }
    return vec2<u32>(bits, 0u);
}

// An f32 as an integer of 64 bits, towards zero; the nearest there is, and 0 of NaN.
fn whole(bits: u32) -> vec2<u32> {
    let size = bits & 0x7fffffffu;
    let is_negative = bits >= 0x80000000u;
    if size < 0x3f800000u || size > 0x7f800000u { return vec2<u32>(); }
    if size >= 0x5f000000u { return select(vec2<u32>(0xffffffffu, 0x7fffffffu), vec2<u32>(0u, 0x80000000u), is_negative); }
    let digits = (size & 0x7fffffu) | 0x800000u;
    let exponent = size >> 23u;
    var v = vec2<u32>();
    if exponent <= 150u {
        v.x = digits >> (150u - exponent);
    } else if exponent < 182u {
        v = vec2<u32>(digits << (exponent - 150u), digits >> (182u - exponent));
    } else {
        v.y = digits << (exponent - 182u);
    }
    return select(v, negated(v), is_negative);
}

// An integer of 64 bits as the nearest of type TO.
fn held(v: vec2<u32>) -> vec2<u32> {
    let is_negative = v.y >= 0x80000000u;
    if TO == I32 && v.y != select(0u, 0xffffffffu, v.x >= 0x80000000u) {
        return vec2<u32>(select(0x7fffffffu, 0x80000000u, is_negative), 0u);
    }
    if TO == U8 && is_negative { return vec2<u32>(); }
    if TO == U8 && (v.y > 0u || v.x > 255u) { return vec2<u32>(255u, 0u); }
    return v;
}

// The bits of the f32 nearest to an integer of 64 bits, the even one of two.
fn float(v: vec2<u32>) -> u32 {
    let is_negative = v.y >= 0x80000000u;
    let size = select(v, negated(v), is_negative);
    if size.x == 0u && size.y == 0u { return 0u; }
    let lead = select(firstLeadingBit(size.x), 32u + firstLeadingBit(size.y), size.y > 0u);
    // With the leading bit in the highest place.
    var digits = size;
    if lead < 32u {
        digits = vec2<u32>(0u, size.x << (31u - lead));
    } else if lead < 63u {
        digits = vec2<u32>(size.x << (63u - lead), (size.y << (63u - lead)) | (size.x >> (lead - 31u)));
    }
    let kept = digits.y >> 8u;
    let is_above = (digits.y & 0x7fu) > 0u || digits.x > 0u || (kept & 1u) == 1u;
    let step = select(0u, 1u, (digits.y & 0x80u) > 0u && is_above);
    return select(0u, 0x80000000u, is_negative) | (((lead + 126u) << 23u) + kept + step);
}

fn converted(i: u32) -> vec2<u32> {
    let v = element(min(i, p.n - 1u));
    if FROM <= BF16 {
        var bits = v.x;
        if FROM == F16 { bits = from_f16(bits); }
        if FROM == BF16 { bits <<= 16u; }
        if TO <= BF16 { return rounded(bits); }
        if TO == BOOL { return vec2<u32>(select(0u, 1u, (bits & 0x7fffffffu) > 0u), 0u); }
        return held(whole(bits));
    }
    let is_true = select(0u, 1u, v.x > 0u || v.y > 0u);
    if TO == BOOL { return vec2<u32>(is_true, 0u); }
    var number = v;
    if FROM == BOOL { number = vec2<u32>(is_true, 0u); }
    if TO <= BF16 { return rounded(float(number)); }
    if HELD { return held(number); }
    return number;
}

// Sets the bits of a word that the mask has.
fn put(at: u32, word: u32, mask: u32) {
    if mask == 0xffffffffu { y[at] = word; } else { y[at] = (y[at] & ~mask) | (word & mask); }
}

fn put_whole(i: u32, v: vec2<u32>) {
    if i >= p.n { return; }
    if TO == I64 {
        y[2u * i] = v.x;
        y[2u * i + 1u] = v.y;
    } else {
        y[i] = v.x;
    }
}

@compute @workgroup_size(256)
fn convert(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread) * 4u;
    if i >= p.n { return; }
    let a = converted(i);
    let b = converted(i + 1u);
    let c = converted(i + 2u);
    let d = converted(i + 3u);
    let left = min(p.n - i, 4u);
    if TO == F16 || TO == BF16 {
        put(i / 2u, a.x | (b.x << 16u), select(0xffffffffu, 0xffffu, left == 1u));
        if left > 2u { put(i / 2u + 1u, c.x | (d.x << 16u), select(0xffffffffu, 0xffffu, left == 3u)); }
    } else if TO == U8 || TO == BOOL {
        let bytes = vec4<u32>(a.x, b.x, c.x, d.x) & vec4<u32>(0xffu);
        put(i / 4u, bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u), 0xffffffffu >> (32u - left * 8u));
    } else {
        put_whole(i, a);
        put_whole(i + 1u, b);
        put_whole(i + 2u, c);
        put_whole(i + 3u, d);
    }
}
