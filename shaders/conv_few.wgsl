// y[r, o] = sum over channels c and taps (kh, kw) of x[n, c, h, w] * w[o, c, kh, kw], where output position
// r = (n, oh, ow) sees the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside
//   x: strided [batch, channels, height, width]; w: [out_channels, channels, kh, kw]; bias: [out_channels];
//   y: [positions, out_channels]; with POOL strided, the largest of each 2 x 2 positions, and at its place there, a byte; x, w and y of
//   types IN, W and OUT, of which OUT is f32 with POOL
// For few channels, without barriers: for adapters whose subgroups are a workgroup. One subgroup computes 32 positions x
// 4 or 8 (WIDE) channels a lane; eight lanes hold the positions and send them round. out_channels is a multiple of 4.
// Iterations: channels * (kh * kw + kh + 1), and 8.

@group(0) @binding(0) var<storage, read> x: array<IN_WORD>;
@group(0) @binding(1) var<storage, read> w: array<W_WORD>;
@group(0) @binding(2) var<storage, read> bias: array<E_WORD>;
@group(0) @binding(3) var<storage, read_write> y: array<OUT_WORD>;
@group(0) @binding(4) var<storage, read_write> at: array<u32>;
@group(0) @binding(5) var<uniform> p: Conv;

// Set by the variant: LANES, the invocations of a subgroup (8 or more); WIDE; BIAS, RELU and POOL, what follows.

// The pixel under a tap at a position; 0 outside of the image.
fn pixel(start: u32, o: vec3<u32>, kh: u32, kw: u32) -> f32 {
    // In unsigned numbers, what lies before 0 is far past the end.
    let h = o.y * p.stride_h + kh * p.dilation_h - p.padding_h;
    let v = o.z * p.stride_w + kw * p.dilation_w - p.padding_w;
    let inside = h < p.height && v < p.width;
    let i = select(0u, start + o.x * p.x_n + h * p.x_h + v * p.x_w, inside);
    return select(0.0, load_of_IN(x[i / EACH_IN], i), inside);
}

fn weight(i: u32) -> f32 { return load_of_W(w[i / EACH_W], i); }

fn weights(start: u32, taps: u32) -> vec4<f32> {
    return vec4<f32>(weight(start), weight(start + taps), weight(start + 2u * taps), weight(start + 3u * taps));
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
                spread_one(&c0, WIDE, b0, b1, pixel(start, o0, kh, kw));
                spread_one(&c1, WIDE, b0, b1, pixel(start, o1, kh, kw));
                spread_one(&c2, WIDE, b0, b1, pixel(start, o2, kh, kw));
                spread_one(&c3, WIDE, b0, b1, pixel(start, o3, kh, kw));
                k++;
            }
        }
    }
    let e0 = biases(j); let e1 = biases(j + 4u);
    let end = min(r + 32u, positions());
    for (var i = r; i < end; i += 4u) {
        store_four(i, j, e0, e1, &c0);
        up_four(&c0, WIDE, &c1); up_four(&c1, WIDE, &c2); up_four(&c2, WIDE, &c3); last_four(&c3, WIDE);
    }
}
