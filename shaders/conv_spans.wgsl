// y[r, o] = sum over taps (kh, kw) and channels c of x[n, h, w, c] * w[kh, kw, c, o], where output position
// r = (n, oh, ow) sees the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside
//   x: channels last, strided rows and columns; w: [kh, kw, channels, out_channels]; bias: [out_channels];
//   y: [positions, out_channels]; with POOL strided, the largest of each 2 x 2 positions, and at its place there, a byte; x and y of
//   types IN and OUT, of which OUT is f32 with POOL
// For at most 16 output channels, without barriers: for adapters whose subgroups are a workgroup. Each lane computes all
// channels of two spans of four neighbouring positions; eight lanes hold the weights of a tap and send them round. Channels are multiples of 4.
// Iterations: kh * channels / 4 * (kw + 1) and 8 more.

@group(0) @binding(0) var<storage, read> x: array<IN>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<E_WORD>;
@group(0) @binding(3) var<storage, read_write> y: array<OUT_WORD>;
@group(0) @binding(4) var<storage, read_write> at: array<u32>;
@group(0) @binding(5) var<uniform> p: Conv;

// Set by the variant: LANES, the invocations of a subgroup (8 or more); QUADS, the output channels by fours; SLIDES; BIAS, RELU and POOL, what follows.

// A tap's weights: eight lanes read four channels of two quads, and of two more.
fn weights(start: u32, lane: u32) -> Quads {
    let own = start + (lane & 3u) * QUADS;
    let half = (lane & 7u) / 4u;
    let v = w[own + min(half, QUADS - 1u)];
    var more: vec4<f32>;
    if QUADS > 2u { more = w[own + min(2u + half, QUADS - 1u)]; }
    return quads_of(v, more);
}

fn store(r: u32, is_there: bool, e: mat4x4<f32>, c: ptr<function, Sums>) {
    if !is_there { return; }
    put(r, 1u, finish(e[0], (*c)[0]));
    if QUADS > 1u { put(r + 4u, 1u, finish(e[1], (*c)[4])); }
    if QUADS > 2u { put(r + 8u, 1u, finish(e[2], (*c)[8])); }
    if QUADS > 3u { put(r + 12u, 1u, finish(e[3], (*c)[12])); }
}

// Moves the positions up by one; the first of `after` follows.
fn up(c: ptr<function, Sums>, after: ptr<function, Sums>) {
    up_last(c);
    (*c)[3] = (*after)[0];
    if QUADS > 1u { (*c)[7] = (*after)[4]; }
    if QUADS > 2u { (*c)[11] = (*after)[8]; }
    if QUADS > 3u { (*c)[15] = (*after)[12]; }
}

@compute @workgroup_size(LANES)
fn conv_spans(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let own = group_of(grid) * LANES + lane;
    let s0 = span_of(own, 0u);
    let s1 = span_of(own, 1u);
    var c0: Sums; var c1: Sums;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        let l0 = sight(s0, kh);
        let l1 = sight(s1, kh);
        for (var c = 0u; c < p.channels / 4u; c++) {
            var k = (kh * p.kernel_w * p.channels + 4u * c) * QUADS;
            var v: Held;
            before(&v, l0, l1, c);
            for (var kw = 0u; kw < p.kernel_w; kw++) {
                let b = weights(k, lane);
                move_on(&v, l0, l1, c, kw);
                add(&c0, b, v[0], v[1], v[2], v[3]);
                add(&c1, b, v[4], v[5], v[6], v[7]);
                k += p.channels * QUADS;
            }
        }
    }
    store_spans(s0, s1, &c0, &c1);
}

fn store_spans(s0: Span, s1: Span, c0: ptr<function, Sums>, c1: ptr<function, Sums>) {
    let e = mat4x4<f32>(biases(0u), biases(4u), biases(8u), biases(12u));
    if POOL {
        // Two windows of 2 x 2.
        for (var i = 0u; i < 2u; i++) {
            let r = window_of(s0, i);
            pool(r, 0u, e[0], (*c0)[0], (*c0)[1], (*c1)[0], (*c1)[1]);
            if QUADS > 1u { pool(r, 4u, e[1], (*c0)[4], (*c0)[5], (*c1)[4], (*c1)[5]); }
            if QUADS > 2u { pool(r, 8u, e[2], (*c0)[8], (*c0)[9], (*c1)[8], (*c1)[9]); }
            if QUADS > 3u { pool(r, 12u, e[3], (*c0)[12], (*c0)[13], (*c1)[12], (*c1)[13]); }
            up_last(c0); up_last(c0); up_last(c1); up_last(c1);
        }
    } else {
        var s = s0;
        for (var i = 0u; i < 8u; i++) {
            if i == 4u { s = s1; }
            let column = s.ow + i % 4u;
            let r = ((s.n * p.out_h + s.oh) * p.out_w + column) * p.out_channels;
            store(r, s.is_there && column < p.out_w, e, c0);
            up(c0, c1); up_last(c1);
        }
    }
}
