// dw[s, t, o] = sum over the output positions (n, oh, ow) of split s of x[n, h, w, c] * dy[n, oh, ow, o], where tap
// t = (kh, kw, c) saw the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside. After the last tap,
// the sums of dy.
//   x: channels last, strided rows and columns; dy: [positions, out_channels]; dw: [splits, taps + 1, out_channels]
//   for conv_few_taps, which takes channels in any order, x: strided [batch, channels, h, w]; x and dy of types IN and DY
// Without barriers: for adapters whose subgroups are a workgroup. One subgroup computes 32 taps x 4 or 8 (WIDE) channels
// a lane, four positions at a time; eight lanes hold four taps each, conv_few_taps: every eighth, and send them round.
// Channels are multiples of 4, but for those that conv_few_taps reads. A split has p.images positions, of conv_few_taps
// output rows. Iterations: a quarter of the positions, the rows, and 8.

@group(0) @binding(0) var<storage, read> x: array<IN>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Conv;

// Set by the variant: LANES, the invocations of a subgroup (8 or more); WIDE, whether a lane has 8 channels; COUNT, the
// taps of a group, at most 32; SUMS, whether dy is summed.

fn store(split: u32, t: u32, j: u32, value: vec4<f32>) {
    let taps = p.kernel_h * p.kernel_w * p.channels;
    let is_there = t < taps || (SUMS && t == taps);
    if is_there && j < p.out_channels { dw[((split * (taps + 1u) + t) * p.out_channels + j) / 4u] = value; }
}

// Stores the first of eight rows, and moves the others up.
fn store_first(split: u32, t: u32, j: u32, c: ptr<function, Rows>) {
    if t < p.kernel_h * p.kernel_w * p.channels {
        store(split, t, j, (*c)[0]);
        if WIDE { store(split, t, j + 4u, (*c)[8]); }
    }
    up_one(c, WIDE);
}

// A group's share: the first tap, the first channel, the split. No lane's number is in it: a compiler judges a struct as
// a whole, and what is the same for all lanes decides about loops.
struct Share {
    t: u32,
    j: u32,
    split: u32,
}

fn share_of(g: u32) -> Share {
    let tiles = (p.kernel_h * p.kernel_w * p.channels + COUNT - 1u) / COUNT;
    let width = select(4u, 8u, WIDE);
    let strips = (p.out_channels + LANES * width - 1u) / (LANES * width);
    return Share(g % tiles * COUNT, g / tiles % strips * LANES * width, g / (tiles * strips));
}

// dy at four positions from `at` on, counted from `start`; those from `end` on repeat the last.
fn slopes(start: u32, at: u32, j: u32, end: u32) -> mat4x4<f32> {
    let step = p.out_channels / 4u;
    let own = start * step + min(j, p.out_channels - 4u) / 4u;
    let last = end - 1u;
    return mat4x4<f32>(
        load_DY(dy[own + at * step]),
        load_DY(dy[own + min(at + 1u, last) * step]),
        load_DY(dy[own + min(at + 2u, last) * step]),
        load_DY(dy[own + min(at + 3u, last) * step]),
    );
}

// The sum of the positions there are.
fn sum_of(b: mat4x4<f32>, at: u32, end: u32) -> vec4<f32> {
    var sum = b[0];
    if at + 1u < end { sum += b[1]; }
    if at + 2u < end { sum += b[2]; }
    if at + 3u < end { sum += b[3]; }
    return sum;
}

// An output position.
struct Spot {
    n: u32,
    oh: u32,
    ow: u32,
}

fn after(s: Spot) -> Spot {
    let is_end = s.ow + 1u == p.out_w;
    let oh = select(s.oh, s.oh + 1u, is_end);
    let is_last = oh == p.out_h;
    return Spot(select(s.n, s.n + 1u, is_last), select(oh, 0u, is_last), select(s.ow + 1u, 0u, is_end));
}

// Four channels of the pixel that a tap sees, where the position is there.
fn pixels(base: u32, s: Spot, down: u32, right: u32, is_there: bool) -> vec4<f32> {
    // In unsigned numbers, what lies before 0 is far past the end.
    let h = s.oh * p.stride_h + down;
    let v = s.ow * p.stride_w + right;
    let inside = is_there && h < p.height && v < p.width;
    let i = select(0u, (base + s.n * p.x_n + h * p.x_h + v * p.x_w) / 4u, inside);
    return select(vec4<f32>(), load_IN(x[i]), inside);
}

@compute @workgroup_size(LANES)
fn conv_taps(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let taps = p.kernel_h * p.kernel_w * p.channels;
    let share = share_of(group_of(grid));
    // The lane's first channel.
    let j = share.j + lane * select(4u, 8u, WIDE);
    // This lane's four taps: one place of the kernel, four channels; taps past the last repeat the last four.
    let own = min(share.t + 4u * (lane & 7u), taps - 4u);
    let spot = own / p.channels;
    let kh = spot / p.kernel_w;
    let down = kh * p.dilation_h - p.padding_h;
    let right = (spot - kh * p.kernel_w) * p.dilation_w - p.padding_w;
    let base = p.x_base + own - spot * p.channels;
    var c0: Rows; var c1: Rows; var c2: Rows; var c3: Rows;
    var sum0: vec4<f32>; var sum1: vec4<f32>;
    let first = share.split * p.images;
    let all = p.batch * p.out_h * p.out_w;
    let end = min(first + p.images, all);
    let row = divide(min(first, all - 1u), p.out_w);
    let n = divide(row, p.out_h);
    var at = Spot(n, row - n * p.out_h, first - row * p.out_w);
    for (var i = first; i < end; i += 4u) {
        // The split's last four may be fewer: those past its end repeat the last, and meet zeros of x.
        let b0 = slopes(0u, i, j, all);
        var b1: mat4x4<f32>;
        if WIDE { b1 = slopes(0u, i, j + 4u, all); }
        if SUMS && share.t == 0u {
            sum0 += sum_of(b0, i, end);
            if WIDE { sum1 += sum_of(b1, i, end); }
        }
        let second = after(at);
        let third = after(second);
        let fourth = after(third);
        let m = transpose(mat4x4<f32>(pixels(base, at, down, right, true),
            pixels(base, second, down, right, i + 1u < end), pixels(base, third, down, right, i + 2u < end),
            pixels(base, fourth, down, right, i + 3u < end)));
        at = after(fourth);
        eight(&c0, WIDE, b0, b1, subgroupBroadcast(m[0], 0u), subgroupBroadcast(m[1], 0u),
            subgroupBroadcast(m[2], 0u), subgroupBroadcast(m[3], 0u), subgroupBroadcast(m[0], 1u),
            subgroupBroadcast(m[1], 1u), subgroupBroadcast(m[2], 1u), subgroupBroadcast(m[3], 1u));
        eight(&c1, WIDE, b0, b1, subgroupBroadcast(m[0], 2u), subgroupBroadcast(m[1], 2u),
            subgroupBroadcast(m[2], 2u), subgroupBroadcast(m[3], 2u), subgroupBroadcast(m[0], 3u),
            subgroupBroadcast(m[1], 3u), subgroupBroadcast(m[2], 3u), subgroupBroadcast(m[3], 3u));
        eight(&c2, WIDE, b0, b1, subgroupBroadcast(m[0], 4u), subgroupBroadcast(m[1], 4u),
            subgroupBroadcast(m[2], 4u), subgroupBroadcast(m[3], 4u), subgroupBroadcast(m[0], 5u),
            subgroupBroadcast(m[1], 5u), subgroupBroadcast(m[2], 5u), subgroupBroadcast(m[3], 5u));
        eight(&c3, WIDE, b0, b1, subgroupBroadcast(m[0], 6u), subgroupBroadcast(m[1], 6u),
            subgroupBroadcast(m[2], 6u), subgroupBroadcast(m[3], 6u), subgroupBroadcast(m[0], 7u),
            subgroupBroadcast(m[1], 7u), subgroupBroadcast(m[2], 7u), subgroupBroadcast(m[3], 7u));
    }
    let count = min(8u, taps - share.t);
    for (var r = 0u; r < count; r++) {
        let t = share.t + r;
        store_first(share.split, t, j, &c0);
        store_first(share.split, t + 8u, j, &c1);
        store_first(share.split, t + 16u, j, &c2);
        store_first(share.split, t + 24u, j, &c3);
    }
    if share.t == 0u { store_sums(share.split, j, sum0, sum1); }
}

fn store_sums(split: u32, j: u32, sum0: vec4<f32>, sum1: vec4<f32>) {
    if !SUMS { return; }
    let taps = p.kernel_h * p.kernel_w * p.channels;
    store(split, taps, j, sum0);
    if WIDE { store(split, taps, j + 4u, sum1); }
}

// What a lane's tap sees in a row: where the row starts, the shift along it, and whether there is such a row.
struct Sight {
    start: u32,
    right: u32,
    is_row: bool,
}

fn sight(t: u32, n: u32, oh: u32) -> Sight {
    let own = min(t, p.kernel_h * p.kernel_w * p.channels - 1u);
    let spot = divide(own, p.channels);
    let kh = divide(spot, p.kernel_w);
    let h = oh * p.stride_h + kh * p.dilation_h - p.padding_h;
    let start = p.x_base + (own - spot * p.channels) * p.x_c + n * p.x_n + h * p.x_h;
    return Sight(start, (spot - kh * p.kernel_w) * p.dilation_w - p.padding_w, h < p.height);
}

fn pixel(s: Sight, ow: u32) -> f32 {
    let v = ow * p.stride_w + s.right;
    let inside = s.is_row && v < p.width && ow < p.out_w;
    let i = select(0u, s.start + v * p.x_w, inside);
    return select(0.0, load_at_IN(x[i / 4u], i), inside);
}

fn four(s: Sight, ow: u32) -> vec4<f32> {
    return vec4<f32>(pixel(s, ow), pixel(s, ow + 1u), pixel(s, ow + 2u), pixel(s, ow + 3u));
}

// Sends the rows that eight lanes hold round, and adds their products to eight rows of results.
fn spread(c: ptr<function, Rows>, b0: mat4x4<f32>, b1: mat4x4<f32>, s: vec4<f32>) {
    eight(c, WIDE, b0, b1, subgroupBroadcast(s, 0u), subgroupBroadcast(s, 1u), subgroupBroadcast(s, 2u),
        subgroupBroadcast(s, 3u), subgroupBroadcast(s, 4u), subgroupBroadcast(s, 5u), subgroupBroadcast(s, 6u),
        subgroupBroadcast(s, 7u));
}

@compute @workgroup_size(LANES)
fn conv_few_taps(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let share = share_of(group_of(grid));
    // The lane's first channel.
    let j = share.j + lane * select(4u, 8u, WIDE);
    let own = share.t + (lane & 7u);
    var c0: Rows; var c1: Rows; var c2: Rows; var c3: Rows;
    var sum0: vec4<f32>; var sum1: vec4<f32>;
    let end = min((share.split + 1u) * p.images, p.batch * p.out_h);
    for (var row = share.split * p.images; row < end; row++) {
        let n = divide(row, p.out_h);
        let oh = row - n * p.out_h;
        let s0 = sight(own, n, oh);
        var s1: Sight; if COUNT > 8u { s1 = sight(own + 8u, n, oh); }
        var s2: Sight; if COUNT > 16u { s2 = sight(own + 16u, n, oh); }
        var s3: Sight; if COUNT > 24u { s3 = sight(own + 24u, n, oh); }
        for (var ow = 0u; ow < p.out_w; ow += 4u) {
            let b0 = slopes(row * p.out_w, ow, j, p.out_w);
            var b1: mat4x4<f32>;
            if WIDE { b1 = slopes(row * p.out_w, ow, j + 4u, p.out_w); }
            if SUMS && share.t == 0u {
                sum0 += sum_of(b0, ow, p.out_w);
                if WIDE { sum1 += sum_of(b1, ow, p.out_w); }
            }
            spread(&c0, b0, b1, four(s0, ow));
            if COUNT == 9u {
                c1[0] = multiply(c1[0], subgroupBroadcast(four(s1, ow), 0u), b0);
                if WIDE { c1[8] = multiply(c1[8], subgroupBroadcast(four(s1, ow), 0u), b1); }
            } else if COUNT > 8u {
                spread(&c1, b0, b1, four(s1, ow));
            }
            if COUNT > 16u {
                spread(&c2, b0, b1, four(s2, ow));
            }
            if COUNT > 24u {
                spread(&c3, b0, b1, four(s3, ow));
            }
        }
    }
    let count = min(8u, p.kernel_h * p.kernel_w * p.channels - share.t);
    for (var r = 0u; r < count; r++) {
        let t = share.t + r;
        store_first(share.split, t, j, &c0);
        if COUNT > 8u { store_first(share.split, t + 8u, j, &c1); }
        if COUNT > 16u { store_first(share.split, t + 16u, j, &c2); }
        if COUNT > 24u { store_first(share.split, t + 24u, j, &c3); }
    }
    if share.t == 0u { store_sums(share.split, j, sum0, sum1); }
}
