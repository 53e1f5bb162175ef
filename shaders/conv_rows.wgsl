// y[r, o] = sum over taps (kh, kw) and channels c of x[n, h, w, c] * w[kh, kw, c, o], where output position
// r = (n, oh, ow) sees the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside
//   x: channels last, strided rows and columns; w: [kh, kw, channels, out_channels]; bias: [out_channels];
//   y: [positions, out_channels]; with POOL strided, the largest of each 2 x 2 positions, and at its place
//   for conv_few, which takes few channels in any order, x: strided [batch, channels, h, w]; w: [out_channels, taps]
// The input gradient is the same sum over dy with the weight turned around. Without barriers: for adapters whose
// subgroups are a workgroup. One subgroup computes ROWS positions x 4 or 8 (WIDE) channels a lane; eight lanes hold the
// positions and send them round. Channels are multiples of 4, but for those that conv_few reads.
// Iterations: kh * kw * channels / 4 and kh * kw + kh more; conv_few: channels * (kh * kw + kh + 1).

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> at: array<i32>;
@group(0) @binding(5) var<uniform> p: Conv;

// Set by the variant: LANES, the invocations of a subgroup (8 or more); ROWS, 16, 32 or 64 (conv_few: 32); WIDE; BIAS,
// RELU and POOL, what follows.

fn store(r: u32, j: u32, sum: vec4<f32>) {
    if r >= positions() || j >= p.out_channels { return; }
    put(r * p.out_channels + j, 1u, finish(j, sum));
}

fn store_rows(r: u32, j: u32, c: ptr<function, Rows>) {
    if POOL {
        pool(r, j, (*c)[0], (*c)[1], (*c)[2], (*c)[3]);
        pool(r + 4u, j, (*c)[4], (*c)[5], (*c)[6], (*c)[7]);
        if WIDE { pool(r, j + 4u, (*c)[8], (*c)[9], (*c)[10], (*c)[11]); }
        if WIDE { pool(r + 4u, j + 4u, (*c)[12], (*c)[13], (*c)[14], (*c)[15]); }
        return;
    }
    store(r + 0u, j, (*c)[0]); if WIDE { store(r + 0u, j + 4u, (*c)[8]); }
    store(r + 1u, j, (*c)[1]); if WIDE { store(r + 1u, j + 4u, (*c)[9]); }
    store(r + 2u, j, (*c)[2]); if WIDE { store(r + 2u, j + 4u, (*c)[10]); }
    store(r + 3u, j, (*c)[3]); if WIDE { store(r + 3u, j + 4u, (*c)[11]); }
    store(r + 4u, j, (*c)[4]); if WIDE { store(r + 4u, j + 4u, (*c)[12]); }
    store(r + 5u, j, (*c)[5]); if WIDE { store(r + 5u, j + 4u, (*c)[13]); }
    store(r + 6u, j, (*c)[6]); if WIDE { store(r + 6u, j + 4u, (*c)[14]); }
    store(r + 7u, j, (*c)[7]); if WIDE { store(r + 7u, j + 4u, (*c)[15]); }
}

// Where a position's pixel under a tap starts, and whether it lies in the image.
fn look(o: vec3<u32>, kh: u32, kw: u32) -> vec2<u32> {
    // In unsigned numbers, what lies before 0 is far past the end.
    let h = o.y * p.stride_h + kh * p.dilation_h - p.padding_h;
    let v = o.z * p.stride_w + kw * p.dilation_w - p.padding_w;
    let inside = h < p.height && v < p.width;
    return vec2<u32>(select(0u, (p.x_base + o.x * p.x_n + h * p.x_h + v * p.x_w) / 4u, inside), select(0u, 1u, inside));
}

fn pixels(l: vec2<u32>, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), x[l.x + c], l.y == 1u);
}

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
    store_rows(r, j, &c0);
    store_rows(r + 8u, j, &c1);
    if ROWS > 16u { store_rows(r + 16u, j, &c2); store_rows(r + 24u, j, &c3); }
    if ROWS <= 32u { return; }
    store_rows(r + 32u, j, &c4); store_rows(r + 40u, j, &c5); store_rows(r + 48u, j, &c6); store_rows(r + 56u, j, &c7);
}

fn x_at(i: u32) -> f32 { return x[i / 4u][i % 4u]; }
fn w_at(i: u32) -> f32 { return w[i / 4u][i % 4u]; }

// The pixel under a tap at a position; 0 outside of the image.
fn pixel(start: u32, o: vec3<u32>, kh: u32, kw: u32) -> f32 {
    let h = o.y * p.stride_h + kh * p.dilation_h - p.padding_h;
    let v = o.z * p.stride_w + kw * p.dilation_w - p.padding_w;
    let inside = h < p.height && v < p.width;
    return select(0.0, x_at(select(0u, start + o.x * p.x_n + h * p.x_h + v * p.x_w, inside)), inside);
}

// The same for one tap.
fn spread_one(c: ptr<function, Rows>, b0: vec4<f32>, b1: vec4<f32>, s: f32) {
    let r0 = vec4<f32>(subgroupBroadcast(s, 0u));
    (*c)[0] = fma(r0, b0, (*c)[0]); if WIDE { (*c)[8] = fma(r0, b1, (*c)[8]); }
    let r1 = vec4<f32>(subgroupBroadcast(s, 1u));
    (*c)[1] = fma(r1, b0, (*c)[1]); if WIDE { (*c)[9] = fma(r1, b1, (*c)[9]); }
    let r2 = vec4<f32>(subgroupBroadcast(s, 2u));
    (*c)[2] = fma(r2, b0, (*c)[2]); if WIDE { (*c)[10] = fma(r2, b1, (*c)[10]); }
    let r3 = vec4<f32>(subgroupBroadcast(s, 3u));
    (*c)[3] = fma(r3, b0, (*c)[3]); if WIDE { (*c)[11] = fma(r3, b1, (*c)[11]); }
    let r4 = vec4<f32>(subgroupBroadcast(s, 4u));
    (*c)[4] = fma(r4, b0, (*c)[4]); if WIDE { (*c)[12] = fma(r4, b1, (*c)[12]); }
    let r5 = vec4<f32>(subgroupBroadcast(s, 5u));
    (*c)[5] = fma(r5, b0, (*c)[5]); if WIDE { (*c)[13] = fma(r5, b1, (*c)[13]); }
    let r6 = vec4<f32>(subgroupBroadcast(s, 6u));
    (*c)[6] = fma(r6, b0, (*c)[6]); if WIDE { (*c)[14] = fma(r6, b1, (*c)[14]); }
    let r7 = vec4<f32>(subgroupBroadcast(s, 7u));
    (*c)[7] = fma(r7, b0, (*c)[7]); if WIDE { (*c)[15] = fma(r7, b1, (*c)[15]); }
}

fn weights(start: u32, taps: u32) -> vec4<f32> {
    return vec4<f32>(w_at(start), w_at(start + taps), w_at(start + 2u * taps), w_at(start + 3u * taps));
}

@compute @workgroup_size(LANES)
fn conv_few(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let tiles = (positions() + 31u) / 32u;
    let g = group_of(grid);
    let r = (g % tiles) * 32u;
    // Strips of channels; the grid's spill past the last works on channels that do not exist and writes nothing.
    let width = select(4u, 8u, WIDE);
    let j = (g / tiles) * LANES * width + lane * width;
    let taps = p.channels * p.kernel_h * p.kernel_w;
    let j0 = min(j, p.out_channels - 4u) * taps;
    let j1 = min(j + 4u, p.out_channels - 4u) * taps;
    let o0 = place(r + (lane & 7u));
    let o1 = place(r + (lane & 7u) + 8u);
    let o2 = place(r + (lane & 7u) + 16u);
    let o3 = place(r + (lane & 7u) + 24u);
    var c0: Rows; var c1: Rows; var c2: Rows; var c3: Rows;
    var k = 0u;
    for (var c = 0u; c < p.channels; c++) {
        let start = p.x_base + c * p.x_c;
        for (var kh = 0u; kh < p.kernel_h; kh++) {
            for (var kw = 0u; kw < p.kernel_w; kw++) {
                let b0 = weights(j0 + k, taps);
                var b1: vec4<f32>;
                if WIDE { b1 = weights(j1 + k, taps); }
                spread_one(&c0, b0, b1, pixel(start, o0, kh, kw));
                spread_one(&c1, b0, b1, pixel(start, o1, kh, kw));
                spread_one(&c2, b0, b1, pixel(start, o2, kh, kw));
                spread_one(&c3, b0, b1, pixel(start, o3, kh, kw));
                k++;
            }
        }
    }
    store_rows(r, j, &c0);
    store_rows(r + 8u, j, &c1);
    store_rows(r + 16u, j, &c2);
    store_rows(r + 24u, j, &c3);
}
