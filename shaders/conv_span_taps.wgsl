// dw[s, t, o] = sum over the output positions (n, oh, ow) of split s of x[n, h, w, c] * dy[n, oh, ow, o], where tap
// t = (kh, kw, c) saw the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside. After the last tap,
// the sums of dy.
//   x: channels last, strided rows and columns; dy: [positions, out_channels]; dw: [splits, taps + 1, out_channels]; x and dy of
//   types IN and DY
// For at most 16 output channels, without barriers: for adapters whose subgroups are a workgroup. Each lane computes all of
// these for four channels of up to four neighbours in a row of the kernel, four positions at a time; eight lanes hold dy there
// and send it round. Pixels stay where they move by one tap from position to position. Channels are multiples of 4.
// A split has p.images rows of positions. Iterations: a quarter of its positions, the rows, and 4.

@group(0) @binding(0) var<storage, read> x: array<IN>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Conv;

// Set by the variant: LANES, the invocations of a subgroup (8 or more); QUADS, the output channels by fours; TAPS, the
// neighbours that a lane takes; SLIDES, whether taps are as far apart as positions; TAIL, whether positions of a row are left over
// from fours; SUMS, whether dy is summed.

// A row of pixels: its start, the column that the first position's first tap sees, and the columns that there are.
struct Line {
    start: u32,
    first: u32,
    width: u32,
}

fn pixel(l: Line, right: u32) -> vec4<f32> {
    // In unsigned numbers, what lies before 0 is far past the end.
    let v = l.first + right;
    let inside = v < l.width;
    return select(vec4<f32>(), load_IN(x[select(0u, l.start + v * (p.x_w / 4u), inside)]), inside);
}

// dy at four positions: eight lanes read two quads of each, and two more. 0 past the row's end.
fn slopes(row: u32, ow: u32, lane: u32) -> Quads {
    let own = ow + (lane & 3u);
    let is_there = !TAIL || own < p.out_w;
    let start = select(0u, (row * p.out_w + own) * QUADS, is_there);
    let half = (lane & 7u) / 4u;
    let v = select(vec4<f32>(), load_DY(dy[start + min(half, QUADS - 1u)]), is_there);
    var more: vec4<f32>;
    if QUADS > 2u { more = select(vec4<f32>(), load_DY(dy[start + min(2u + half, QUADS - 1u)]), is_there); }
    return quads_of(v, more);
}

// Adds what one tap saw at four positions.
fn add_tap(c: ptr<function, Sums>, b: Quads, ow: u32, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) {
    var m = mat4x4<f32>(v0, v1, v2, v3);
    if TAIL {
        // Not infinite, where dy is 0.
        m[1] = select(vec4<f32>(), m[1], ow + 1u < p.out_w);
        m[2] = select(vec4<f32>(), m[2], ow + 2u < p.out_w);
        m[3] = select(vec4<f32>(), m[3], ow + 3u < p.out_w);
    }
    let t = transpose(m);
    add(c, b, t[0], t[1], t[2], t[3]);
}

fn total(m: mat4x4<f32>) -> vec4<f32> { return m[0] + m[1] + m[2] + m[3]; }

// Stores the first row of each quad, and moves the others up.
fn store_first(to: u32, is_there: bool, c: ptr<function, Sums>) {
    if is_there {
        dw[to] = (*c)[0];
        if QUADS > 1u { dw[to + 1u] = (*c)[4]; }
        if QUADS > 2u { dw[to + 2u] = (*c)[8]; }
        if QUADS > 3u { dw[to + 3u] = (*c)[12]; }
    }
    up_last(c);
}

@compute @workgroup_size(LANES)
fn conv_span_taps(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let quads = p.channels / 4u;
    let blocks = (p.kernel_w + TAPS - 1u) / TAPS;
    let items = p.kernel_h * blocks * quads;
    let tiles = (items + LANES - 1u) / LANES;
    let g = group_of(grid);
    let split = g / tiles;
    let item = (g - split * tiles) * LANES + lane;
    // Lanes past the last see no pixels.
    let is_there = item < items;
    let block = divide(item, quads);
    let c = item - block * quads;
    let kh = divide(block, blocks);
    let kw = (block - kh * blocks) * TAPS;
    var c0: Sums; var c1: Sums; var c2: Sums; var c3: Sums;
    var sums: mat4x4<f32>;
    let step = p.stride_w;
    let end = min((split + 1u) * p.images, p.batch * p.out_h);
    for (var row = split * p.images; row < end; row++) {
        let n = divide(row, p.out_h);
        let h = (row - n * p.out_h) * p.stride_h + kh * p.dilation_h - p.padding_h;
        let width = select(0u, p.width, is_there && h < p.height);
        let l = Line((p.x_base + n * p.x_n + h * p.x_h) / 4u + c, kw * p.dilation_w - p.padding_w, width);
        // The pixels of four positions and of the neighbours behind.
        var v: array<vec4<f32>, 7>;
        if SLIDES {
            if TAPS > 1u { v[4] = pixel(l, 0u); }
            if TAPS > 2u { v[5] = pixel(l, step); }
            if TAPS > 3u { v[6] = pixel(l, 2u * step); }
        }
        for (var ow = 0u; ow < p.out_w; ow += 4u) {
            let b = slopes(row, ow, lane);
            if SUMS {
                sums[0] += total(b.q0);
                if QUADS > 1u { sums[1] += total(b.q1); }
                if QUADS > 2u { sums[2] += total(b.q2); }
                if QUADS > 3u { sums[3] += total(b.q3); }
            }
            let right = ow * step;
            if SLIDES {
                if TAPS > 1u { v[0] = v[4]; }
                if TAPS > 2u { v[1] = v[5]; }
                if TAPS > 3u { v[2] = v[6]; }
                let next = right + (TAPS - 1u) * step;
                v[TAPS - 1u] = pixel(l, next);
                v[TAPS] = pixel(l, next + step);
                v[TAPS + 1u] = pixel(l, next + 2u * step);
                v[TAPS + 2u] = pixel(l, next + 3u * step);
                add_tap(&c0, b, ow, v[0], v[1], v[2], v[3]);
                if TAPS > 1u { add_tap(&c1, b, ow, v[1], v[2], v[3], v[4]); }
                if TAPS > 2u { add_tap(&c2, b, ow, v[2], v[3], v[4], v[5]); }
                if TAPS > 3u { add_tap(&c3, b, ow, v[3], v[4], v[5], v[6]); }
            } else {
                add_apart(&c0, b, l, ow, 0u);
                if TAPS > 1u { add_apart(&c1, b, l, ow, 1u); }
                if TAPS > 2u { add_apart(&c2, b, l, ow, 2u); }
                if TAPS > 3u { add_apart(&c3, b, l, ow, 3u); }
            }
        }
    }
    let taps = p.kernel_h * p.kernel_w * p.channels;
    let whole = split * (taps + 1u);
    let t = (kh * p.kernel_w + kw) * p.channels + 4u * c;
    for (var i = 0u; i < 4u; i++) {
        let to = (whole + t + i) * QUADS;
        let next = p.channels * QUADS;
        store_first(to, is_there, &c0);
        if TAPS > 1u { store_first(to + next, is_there && kw + 1u < p.kernel_w, &c1); }
        if TAPS > 2u { store_first(to + 2u * next, is_there && kw + 2u < p.kernel_w, &c2); }
        if TAPS > 3u { store_first(to + 3u * next, is_there && kw + 3u < p.kernel_w, &c3); }
    }
    if SUMS && item == 0u {
        let to = (whole + taps) * QUADS;
        dw[to] = sums[0];
        if QUADS > 1u { dw[to + 1u] = sums[1]; }
        if QUADS > 2u { dw[to + 2u] = sums[2]; }
        if QUADS > 3u { dw[to + 3u] = sums[3]; }
    }
}

// Adds what a tap saw, where its neighbour sees other pixels.
fn add_apart(c: ptr<function, Sums>, b: Quads, l: Line, ow: u32, tap: u32) {
    let right = ow * p.stride_w + tap * p.dilation_w;
    add_tap(c, b, ow, pixel(l, right), pixel(l, right + p.stride_w), pixel(l, right + 2u * p.stride_w),
        pixel(l, right + 3u * p.stride_w));
}
