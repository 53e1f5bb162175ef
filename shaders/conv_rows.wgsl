// y[r, o] = sum over taps (kh, kw) and channels c of x[n, h, w, c] * w[kh, kw, c, o], where output position
// r = (n, oh, ow) sees the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside
//   x: channels last, strided rows and columns; w: [kh, kw, channels, out_channels]; bias: [out_channels];
//   y: [positions, out_channels]; with POOL strided, the largest of each 2 x 2 positions, and at its place there, a byte; x and y of
//   types IN and OUT, of which OUT is f32 with POOL
// The input gradient is the same sum over dy with the weight turned around. Without barriers: for adapters whose
// subgroups are a workgroup. One subgroup computes ROWS positions x 4 or 8 (WIDE) channels a lane; eight lanes hold the
// positions and send them round. Channels are multiples of 4.
// Iterations: kh * kw * channels / 4 and kh * kw + kh + 16 more.

@group(0) @binding(0) var<storage, read> x: array<IN>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<E_WORD>;
@group(0) @binding(3) var<storage, read_write> y: array<OUT_WORD>;
@group(0) @binding(4) var<storage, read_write> at: array<u32>;
@group(0) @binding(5) var<uniform> p: Conv;

// Set by the variant: LANES, the invocations of a subgroup (8 or more); ROWS, 16, 32 or 64; WIDE; BIAS, RELU and POOL,
// what follows.

// Sends the rows that eight lanes hold round, and adds their products to eight rows of results.
fn spread(c: ptr<function, Rows>, b0: mat4x4<f32>, b1: mat4x4<f32>, s: vec4<f32>) {
    eight(c, WIDE, b0, b1, subgroupBroadcast(s, 0u), subgroupBroadcast(s, 1u), subgroupBroadcast(s, 2u),
        subgroupBroadcast(s, 3u), subgroupBroadcast(s, 4u), subgroupBroadcast(s, 5u), subgroupBroadcast(s, 6u),
        subgroupBroadcast(s, 7u));
}

@compute @workgroup_size(LANES)
fn conv_rows(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let tiles = (positions() + ROWS - 1u) / ROWS;
    let g = group_of(grid);
    let r = (g % tiles) * ROWS;
    // Strips of channels; the grid's spill past the last works on channels that do not exist and writes nothing.
    let width = select(4u, 8u, WIDE);
    let j = (g / tiles) * LANES * width + lane * width;
    let j0 = min(j, p.out_channels - 4u) / 4u;
    let j1 = min(j + 4u, p.out_channels - 4u) / 4u;
    let mine = r + (lane & 7u);
    let step = p.out_channels / 4u;
    let o0 = place(mine + 0u);
    let o1 = place(mine + 8u);
    var o2: vec3<u32>; var o3: vec3<u32>;
    if ROWS > 16u { o2 = place(mine + 16u); o3 = place(mine + 24u); }
    var o4: vec3<u32>; var o5: vec3<u32>; var o6: vec3<u32>; var o7: vec3<u32>;
    if ROWS > 32u { o4 = place(mine + 32u); o5 = place(mine + 40u); o6 = place(mine + 48u); o7 = place(mine + 56u); }
    var c0: Rows; var c1: Rows; var c2: Rows; var c3: Rows; var c4: Rows; var c5: Rows; var c6: Rows; var c7: Rows;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let l0 = look(o0, kh, kw);
            let l1 = look(o1, kh, kw);
            var l2: vec2<u32>; var l3: vec2<u32>;
            if ROWS > 16u { l2 = look(o2, kh, kw); l3 = look(o3, kh, kw); }
            var l4: vec2<u32>; var l5: vec2<u32>; var l6: vec2<u32>; var l7: vec2<u32>;
            if ROWS > 32u { l4 = look(o4, kh, kw); l5 = look(o5, kh, kw); l6 = look(o6, kh, kw); l7 = look(o7, kh, kw); }
            var k = (kh * p.kernel_w + kw) * p.channels * step;
            for (var c = 0u; c < p.channels / 4u; c++) {
                let a = k + j0;
                let b0 = mat4x4<f32>(w[a], w[a + step], w[a + 2u * step], w[a + 3u * step]);
                var b1: mat4x4<f32>;
                if WIDE { let b = k + j1; b1 = mat4x4<f32>(w[b], w[b + step], w[b + 2u * step], w[b + 3u * step]); }
                spread(&c0, b0, b1, pixels(l0, c));
                spread(&c1, b0, b1, pixels(l1, c));
                if ROWS > 16u {
                    spread(&c2, b0, b1, pixels(l2, c));
                    spread(&c3, b0, b1, pixels(l3, c));
                }
                if ROWS > 32u {
                    spread(&c4, b0, b1, pixels(l4, c));
                    spread(&c5, b0, b1, pixels(l5, c));
                    spread(&c6, b0, b1, pixels(l6, c));
                    spread(&c7, b0, b1, pixels(l7, c));
                }
                k += 4u * step;
            }
        }
    }
    let e0 = biases(j); let e1 = biases(j + 4u);
    let end = min(r + ROWS, positions());
    for (var i = r; i < end; i += 4u) {
        store_four(i, j, e0, e1, &c0);
        up_four(&c0, WIDE, &c1); up_four(&c1, WIDE, &c2);
        if ROWS > 16u { up_four(&c2, WIDE, &c3); up_four(&c3, WIDE, &c4); }
        if ROWS > 32u { up_four(&c4, WIDE, &c5); up_four(&c5, WIDE, &c6); }
        if ROWS > 32u { up_four(&c6, WIDE, &c7); last_four(&c7, WIDE); }
    }
}
