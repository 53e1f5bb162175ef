// Stands before every file.

// Where an invocation is. Grids are flat: past 65,535 workgroups they spill into y.
struct Grid {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
}

// The workgroup's number in the flat grid.
fn group_of(grid: Grid) -> u32 {
    return grid.group.y * grid.groups.x + grid.group.x;
}

// The invocation's number in a flat grid of workgroups of 256.
fn index_of(grid: Grid, thread: u32) -> u32 {
    return group_of(grid) * 256u + thread;
}

// How to walk up to three strided operands in the order of one dense result.
struct Strided {
    n: u32,
    rank: u32,
    base_a: u32,
    base_b: u32,
    base_c: u32,
    // Of a walk by blocks of 4 x 4, the vec4 from a row to the next, in the operand and in the result.
    rows_x: u32,
    rows_y: u32,
    pad: u32,
    // (size, stride of each operand), the first dimension varying fastest
    dims: array<vec4<u32>, 6>,
}

// a / b for a < 2^31 and b > 0, exactly: an integer division takes many times as long on most hardware, so the quotient
// is estimated in floating point and mended twice.
fn divide(a: u32, b: u32) -> u32 {
    let inverse = 1.0 / f32(b);
    let guess = u32(f32(a) * inverse);
    let off = i32(a - guess * b);
    let mend = i32(floor(f32(off) * inverse));
    let rest = off - mend * i32(b);
    return guess + u32(mend) + select(0u, 1u, rest >= i32(b)) - select(0u, 1u, rest < 0);
}

// The operands' offsets at the result's element i. The dimensions are taken apart one by one, without a loop: an index
// that is no constant would copy them to memory.
fn offsets(i: u32, p: Strided) -> vec3<u32> {
    var at = vec3<u32>(p.base_a, p.base_b, p.base_c);
    if p.rank <= 1u { return at + i * p.dims[0].yzw; }
    var rest = i;
    var outer = divide(rest, p.dims[0].x);
    at += (rest - outer * p.dims[0].x) * p.dims[0].yzw;
    if p.rank == 2u { return at + outer * p.dims[1].yzw; }
    rest = outer;
    outer = divide(rest, p.dims[1].x);
    at += (rest - outer * p.dims[1].x) * p.dims[1].yzw;
    if p.rank == 3u { return at + outer * p.dims[2].yzw; }
    rest = outer;
    outer = divide(rest, p.dims[2].x);
    at += (rest - outer * p.dims[2].x) * p.dims[2].yzw;
    if p.rank == 4u { return at + outer * p.dims[3].yzw; }
    rest = outer;
    outer = divide(rest, p.dims[3].x);
    at += (rest - outer * p.dims[3].x) * p.dims[3].yzw;
    if p.rank == 5u { return at + outer * p.dims[4].yzw; }
    rest = outer;
    outer = divide(rest, p.dims[4].x);
    at += (rest - outer * p.dims[4].x) * p.dims[4].yzw;
    return at + outer * p.dims[5].yzw;
}

// A NaN or an infinity that the definition gives is given, though WGSL lets a compiler assume that there is none: it may
// make max(x, 0) of `select(x, 0, x < 0)`, and `false` of `x != x`. So NaN is found by its bits, and the built-ins max, min,
// clamp and sign meet floats in these functions alone, and where a NaN comes back by other terms (tests/ops/folded.rs holds it).

fn is_nan4(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

// NaN and infinity are no constants in WGSL: they are made of bits that the compiler does not see through.
fn from_bits4(bits: u32) -> vec4<f32> {
    var word = bits;
    return vec4<f32>(bitcast<f32>(word));
}

// Numbers in the order of floats, NaN last; both zeros are one.
fn order4(x: vec4<f32>) -> vec4<u32> {
    let bits = bitcast<vec4<u32>>(x);
    let size = bits & vec4<u32>(0x7fffffffu);
    let ordered = select(0x80000000u + size, 0x80000000u - size, bits >= vec4<u32>(0x80000000u));
    return select(ordered, vec4<u32>(0xffffffffu), size > vec4<u32>(0x7f800000u));
}

// The larger of two, the smaller of two: NaN where either is.
fn larger4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return select(select(b, a, a > b), a + b, is_nan4(a) | is_nan4(b));
}

fn smaller4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return select(select(b, a, a < b), a + b, is_nan4(a) | is_nan4(b));
}

// Whether a value takes the place of the largest so far: it is larger, or NaN.
fn beats4(value: vec4<f32>, best: vec4<f32>) -> vec4<bool> {
    return is_nan4(value) | ((value > best) & !is_nan4(best));
}

// What is held above `low` and then below `high`; NaN stays.
fn held4(x: vec4<f32>, low: vec4<f32>, high: vec4<f32>) -> vec4<f32> {
    let above = select(x, low, x < low);
    return select(select(above, high, above > high), x, is_nan4(x));
}

// 1, -1, or x where it is 0 or NaN.
fn sign4(x: vec4<f32>) -> vec4<f32> {
    let positive = select(x, vec4<f32>(1.0), x > vec4<f32>());
    return select(select(positive, vec4<f32>(-1.0), x < vec4<f32>()), x, is_nan4(x));
}

// The slope of |x|: 0 at 0, and of NaN.
fn slope_of_abs4(x: vec4<f32>) -> vec4<f32> {
    return select(sign4(x), vec4<f32>(), is_nan4(x));
}

// From the bits of -2^-149 to those of -infinity: 0.
fn relu4(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(), bitcast<vec4<u32>>(x) - vec4<u32>(0x80000001u) <= vec4<u32>(0x7f7fffffu));
}

// What of a gradient passes a relu that gave y: nothing where that is 0, be the gradient infinite.
fn past_relu4(dy: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    return select(dy, vec4<f32>(), y <= vec4<f32>());
}

// A gradient and what a weight decay adds to it: nothing where there is none, be the parameter infinite.
fn decayed4(g: vec4<f32>, decay: f32, x: vec4<f32>) -> vec4<f32> {
    return select(g + decay * x, g, vec4<bool>(decay == 0.0));
}

// The logarithm. The built-in may take a subnormal number for another (the integer of its bits is not subnormal), and end
// at that of the smallest normal number where infinity and NaN are due.
fn log4(x: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(x);
    let small = (bits > vec4<u32>()) & (bits < vec4<u32>(0x800000u));
    let y = select(log(x), log(vec4<f32>(bits)) - 103.27893, small);
    let ends = select(y, from_bits4(0xff800000u), (bits & vec4<u32>(0x7fffffffu)) == vec4<u32>());
    let signed = select(ends, from_bits4(0x7fc00000u), bits > vec4<u32>(0x80000000u));
    return select(signed, x, bits - vec4<u32>(0x7f800000u) <= vec4<u32>(0x7fffffu));
}

// 2^n e^x for x in -0.35..0.35 and whole n, where the result is neither subnormal nor infinite.
fn scaled_exp4(n: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
    let series = 0.16666665 + x * (0.041665796 + x * (0.008333452 + x * (0.0013982 + x * 0.00019875691)));
    let e = 1.0 + (x + x * x * (0.5 + x * series));
    return bitcast<vec4<f32>>(bitcast<vec4<i32>>(e) + vec4<i32>(n) * 0x800000);
}

// e^x. The built-in may be off by 3 + 2 |x| units in the last place. What is below the smallest normal number is 0.
fn exp4(x: vec4<f32>) -> vec4<f32> {
    let n = round(x * 1.442695);
    // ln 2 in two parts, the first with few digits.
    let e = scaled_exp4(n, (x - n * 0.6933594) + n * 0.00021219444);
    let small = select(e, vec4<f32>(), x < vec4<f32>(-87.33654));
    return select(select(small, from_bits4(0x7f800000u), x > vec4<f32>(88.72283)), x, is_nan4(x));
}

// The built-in tanh may overflow for large x and lose digits for small x: a series below 1/4, exponentials above.
fn tanh4(x: vec4<f32>) -> vec4<f32> {
    let s = x * x;
    let near = x * (1.0 + s * (-0.33333333 + s * (0.13333333 + s * (-0.053968254 + s * 0.021869489))));
    let far = sign4(x) * (1.0 - 2.0 / (exp(2.0 * abs(x)) + 1.0));
    return select(far, near, s < vec4<f32>(0.0625));
}

fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
    return select(1.0 / (1.0 + exp(-x)), x, is_nan4(x));
}

// The built-in e^x, mended where an adapter may lose a NaN.
fn exp_seen4(x: vec4<f32>) -> vec4<f32> {
    return select(exp(x), x, is_nan4(x));
}

// The built-in logarithm, likewise.
fn log_seen4(x: vec4<f32>) -> vec4<f32> {
    return select(log(x), x, is_nan4(x));
}

// The exponential, where an adapter may not reach 0 either.
fn exp_of(x: f32) -> f32 {
    let is_nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(select(exp(x), 0.0, x < -87.33654), x, is_nan);
}

// e^x - 1: a series where the difference would lose digits.
fn expm1_4(x: vec4<f32>) -> vec4<f32> {
    let near = x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666667 + x * (0.0083333333 + x * 0.0013888889)))));
    return select(select(exp(x) - 1.0, near, abs(x) < vec4<f32>(0.25)), x, is_nan4(x));
}

// log(1 + x) for x in [0, 1]: a series where the sum would lose digits.
fn log1p4(x: vec4<f32>) -> vec4<f32> {
    let near = x * (1.0 + x * (-0.5 + x * (0.33333333 + x * (-0.25 + x * 0.2))));
    return select(log(1.0 + x), near, x < vec4<f32>(0.03));
}

// log(1 + e^x)
fn softplus4(x: vec4<f32>) -> vec4<f32> {
    return relu4(x) + log1p4(exp(-abs(x)));
}

// The error function: its Taylor series below 1; above, 1 - erfc(x) by the Chebyshev fit of Press et al.,
// "Numerical Recipes", 6.2, with a relative error of 1.2e-7 in erfc.
fn erf4(x: vec4<f32>) -> vec4<f32> {
    let z = abs(x);
    let s = x * x;
    let near = 1.1283792 * x * (1.0 + s * (-0.33333333 + s * (0.1 + s * (-0.023809524 + s * (0.0046296296
        + s * (-0.00075757576 + s * (0.00010683761 + s * (-1.3227513e-5 + s * (1.4589169e-6
        + s * (-1.4503853e-7 + s * 1.3122533e-8))))))))));
    let t = 1.0 / (1.0 + 0.5 * z);
    let fit = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    let far = sign4(x) * (1.0 - t * exp(fit - z * z));
    return select(far, near, z < vec4<f32>(1.0));
}

// The distribution function of the normal distribution.
fn normal_cdf4(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * (1.0 + erf4(x * 0.70710678));
}

// The argument of tanh in the approximate GELU: sqrt(2 / pi) * (x + 0.044715 x^3).
fn gelu_inner(x: vec4<f32>) -> vec4<f32> {
    return 0.79788456 * (x + 0.044715 * x * x * x);
}

// The slopes of functions: at x, or at y = f(x) where that is cheaper.
fn tanh_slope4(y: vec4<f32>) -> vec4<f32> {
    return 1.0 - y * y;
}

fn sigmoid_slope4(y: vec4<f32>) -> vec4<f32> {
    return y * (1.0 - y);
}

fn gelu_slope4(x: vec4<f32>) -> vec4<f32> {
    return normal_cdf4(x) + x * 0.39894228 * exp(-0.5 * x * x);
}

fn gelu_tanh_slope4(x: vec4<f32>) -> vec4<f32> {
    let t = tanh4(gelu_inner(x));
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * 0.79788456 * (1.0 + 0.134145 * x * x);
}

fn silu_slope4(x: vec4<f32>) -> vec4<f32> {
    let s = sigmoid4(x);
    return s * (1.0 + x * (1.0 - s));
}

// Batched matrix products: sizes, where each operand starts, its strides, and the split of k over workgroups.
struct MatMul {
    m: u32,
    n: u32,
    k: u32,
    batches: u32,
    a_base: u32,
    b_base: u32,
    c_base: u32,
    c_row: u32,
    a_row: u32,
    a_col: u32,
    b_row: u32,
    b_col: u32,
    batch_rank: u32,
    // k of one split; splits; elements of c between splits
    k_split: u32,
    splits: u32,
    c_split: u32,
    // what follows, for the host
    bias: u32,
    epilogue: u32,
    pad_0: u32,
    pad_1: u32,
    // (size, stride in a, in b, in c), the last varying fastest
    batch: array<vec4<u32>, 4>,
}

// One workgroup's part of a product.
struct Tile {
    row: u32,
    column: u32,
    // Where this batch of each operand starts.
    a: u32,
    b: u32,
    c: u32,
    k: u32,
    k_end: u32,
    batch: u32,
}

// The part of group g, where tiles are `rows` x `columns`: down the rows, along the columns, then batches and splits.
fn tile_of(g: u32, rows: u32, columns: u32, p: MatMul) -> Tile {
    let down = (p.m + rows - 1u) / rows;
    let across = (p.n + columns - 1u) / columns;
    var rest = g;
    var tile: Tile;
    tile.row = (rest % down) * rows;
    rest /= down;
    tile.column = (rest % across) * columns;
    rest /= across;
    let split = rest % p.splits;
    tile.batch = rest / p.splits;
    tile.k = split * p.k_split;
    tile.k_end = min(tile.k + p.k_split, p.k);
    tile.a = p.a_base;
    tile.b = p.b_base;
    tile.c = p.c_base + split * p.c_split;
    rest = tile.batch;
    // Without a loop, for the same reason as in `offsets`; dimensions not in use are of size 1.
    var outer = rest / p.batch[3].x;
    var at = (rest - outer * p.batch[3].x) * p.batch[3].yzw;
    rest = outer / p.batch[2].x;
    at += (outer - rest * p.batch[2].x) * p.batch[2].yzw;
    outer = rest / p.batch[1].x;
    at += (rest - outer * p.batch[1].x) * p.batch[1].yzw + outer * p.batch[0].yzw;
    tile.a += at.x;
    tile.b += at.y;
    tile.c += at.z;
    return tile;
}

// A tensor as [batch, channels, positions] for statistics over all but the channels.
struct Channels {
    batch: u32,
    channels: u32,
    positions: u32,
    // strides of the three
    strides_batch: u32,
    strides_channel: u32,
    strides_position: u32,
    // elements of one channel that one invocation takes, and their number of parts
    chunk: u32,
    chunks: u32,
    // in a dense tensor, element i belongs to channel (i / step) % channels
    step: u32,
    eps: f32,
    // what is normalised is held between these
    low: f32,
    high: f32,
}

// The channel of element i of a dense tensor.
fn channel_at(i: u32, p: Channels) -> u32 {
    let run = divide(i, p.step);
    return run - divide(run, p.channels) * p.channels;
}

// Element r of channel c, in the order of batch and position.
fn element_at(r: u32, c: u32, p: Channels) -> u32 {
    let n = divide(r, p.positions);
    return n * p.strides_batch + c * p.strides_channel + (r - n * p.positions) * p.strides_position;
}

// A number of 64 bits and one of 32 bits, added.
fn number_at(low: u32, high: u32, offset: u32) -> vec2<u32> {
    let sum = low + offset;
    return vec2<u32>(sum, high + select(0u, 1u, sum < low));
}

// Philox 4x32-10 (Salmon et al., SC 2011), as in src/rng.rs.
fn philox(block: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var counter = block;
    var key = seed;
    // 10 iterations.
    for (var round = 0u; round < 10u; round++) {
        if round > 0u { key += vec2<u32>(0x9E3779B9u, 0xBB67AE85u); }
        let low = vec2<u32>(0xD2511F53u, 0xCD9E8D57u) * counter.xz;
        let high = vec2<u32>(high_of(0xD2511F53u, counter.x), high_of(0xCD9E8D57u, counter.z));
        counter = vec4<u32>(high.y ^ counter.y ^ key.x, low.y, high.x ^ counter.w ^ key.y, low.x);
    }
    return counter;
}

// The upper half of a 64-bit product, from 16-bit parts.
fn high_of(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let middle = a1 * b0 + ((a0 * b0) >> 16u);
    return a1 * b1 + (middle >> 16u) + (((middle & 0xffffu) + a0 * b1) >> 16u);
}
