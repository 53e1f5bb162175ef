// y[r, o] = sum over taps (kh, kw) and channels c of x[n, h, w, c] * w[kh, kw, c, o], where output position
// r = (n, oh, ow) sees the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside
//   x: channels last, strided rows and columns; w: [kh, kw, channels, out_channels]; y: [positions, out_channels]
// The input gradient is the same sum over dy with the weight turned around. Without barriers: for adapters whose
// subgroups are a workgroup. One subgroup computes 16 positions x 4 or 8 (WIDE) channels a lane; lanes hold two
// positions each and send them round. Channels are multiples of 4.
// Iterations: kh * kw * channels / 4 and kh * kw + kh more.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Conv;

// Set by the variant: LANES, the invocations of a subgroup (8 or more); WIDE, whether a lane has 8 channels.

// The four products are added up before they meet the sum: half the rounding error of one long chain.
fn multiply(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return sum + fma(vec4<f32>(a.w), b[3], fma(vec4<f32>(a.z), b[2], fma(vec4<f32>(a.y), b[1], a.x * b[0])));
}

// Image, row and column of an output position; positions past the last repeat it.
fn place(r: u32) -> vec3<u32> {
    let at = min(r, p.batch * p.out_h * p.out_w - 1u);
    let row = divide(at, p.out_w);
    let n = divide(row, p.out_h);
    return vec3<u32>(n, row - n * p.out_h, at - row * p.out_w);
}

fn store(r: u32, j: u32, value: vec4<f32>) {
    if r < p.batch * p.out_h * p.out_w && j < p.out_channels { y[(r * p.out_channels + j) / 4u] = value; }
}

@compute @workgroup_size(LANES)
fn conv_rows(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let tiles = (p.batch * p.out_h * p.out_w + 15u) / 16u;
    let g = group_of(grid);
    let r = (g % tiles) * 16u;
    // Strips of channels; the grid's spill past the last works on channels that do not exist and writes nothing.
    let width = select(4u, 8u, WIDE);
    let j = (g / tiles) * LANES * width + lane * width;
    let j0 = min(j, p.out_channels - 4u);
    let j1 = min(j + 4u, p.out_channels - 4u);
    let mine = place(r + (lane & 7u));
    let other = place(r + (lane & 7u) + 8u);
    let step = p.out_channels / 4u;
    var c00 = vec4<f32>(); var c01 = vec4<f32>();
    var c10 = vec4<f32>(); var c11 = vec4<f32>();
    var c20 = vec4<f32>(); var c21 = vec4<f32>();
    var c30 = vec4<f32>(); var c31 = vec4<f32>();
    var c40 = vec4<f32>(); var c41 = vec4<f32>();
    var c50 = vec4<f32>(); var c51 = vec4<f32>();
    var c60 = vec4<f32>(); var c61 = vec4<f32>();
    var c70 = vec4<f32>(); var c71 = vec4<f32>();
    var c80 = vec4<f32>(); var c81 = vec4<f32>();
    var c90 = vec4<f32>(); var c91 = vec4<f32>();
    var ca0 = vec4<f32>(); var ca1 = vec4<f32>();
    var cb0 = vec4<f32>(); var cb1 = vec4<f32>();
    var cc0 = vec4<f32>(); var cc1 = vec4<f32>();
    var cd0 = vec4<f32>(); var cd1 = vec4<f32>();
    var ce0 = vec4<f32>(); var ce1 = vec4<f32>();
    var cf0 = vec4<f32>(); var cf1 = vec4<f32>();
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        // In unsigned numbers, what lies before 0 is far past the end.
        let h0 = mine.y * p.stride_h + kh * p.dilation_h - p.padding_h;
        let h1 = other.y * p.stride_h + kh * p.dilation_h - p.padding_h;
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let w0 = mine.z * p.stride_w + kw * p.dilation_w - p.padding_w;
            let w1 = other.z * p.stride_w + kw * p.dilation_w - p.padding_w;
            let inside0 = h0 < p.height && w0 < p.width;
            let inside1 = h1 < p.height && w1 < p.width;
            let from0 = select(0u, (p.x_base + mine.x * p.x_n + h0 * p.x_h + w0 * p.x_w) / 4u, inside0);
            let from1 = select(0u, (p.x_base + other.x * p.x_n + h1 * p.x_h + w1 * p.x_w) / 4u, inside1);
            var at = (kh * p.kernel_w + kw) * p.channels * step;
            for (var c = 0u; c < p.channels / 4u; c++) {
                let s0 = select(vec4<f32>(), x[from0 + c], inside0);
                let s1 = select(vec4<f32>(), x[from1 + c], inside1);
                let a = at + j0 / 4u;
                let b = at + j1 / 4u;
                let b0 = mat4x4<f32>(w[a], w[a + step], w[a + 2u * step], w[a + 3u * step]);
                var b1: mat4x4<f32>;
                if WIDE { b1 = mat4x4<f32>(w[b], w[b + step], w[b + 2u * step], w[b + 3u * step]); }
                let r0 = subgroupBroadcast(s0, 0u);
                c00 = multiply(c00, r0, b0); if WIDE { c01 = multiply(c01, r0, b1); }
                let r1 = subgroupBroadcast(s0, 1u);
                c10 = multiply(c10, r1, b0); if WIDE { c11 = multiply(c11, r1, b1); }
                let r2 = subgroupBroadcast(s0, 2u);
                c20 = multiply(c20, r2, b0); if WIDE { c21 = multiply(c21, r2, b1); }
                let r3 = subgroupBroadcast(s0, 3u);
                c30 = multiply(c30, r3, b0); if WIDE { c31 = multiply(c31, r3, b1); }
                let r4 = subgroupBroadcast(s0, 4u);
                c40 = multiply(c40, r4, b0); if WIDE { c41 = multiply(c41, r4, b1); }
                let r5 = subgroupBroadcast(s0, 5u);
                c50 = multiply(c50, r5, b0); if WIDE { c51 = multiply(c51, r5, b1); }
                let r6 = subgroupBroadcast(s0, 6u);
                c60 = multiply(c60, r6, b0); if WIDE { c61 = multiply(c61, r6, b1); }
                let r7 = subgroupBroadcast(s0, 7u);
                c70 = multiply(c70, r7, b0); if WIDE { c71 = multiply(c71, r7, b1); }
                let r8 = subgroupBroadcast(s1, 0u);
                c80 = multiply(c80, r8, b0); if WIDE { c81 = multiply(c81, r8, b1); }
                let r9 = subgroupBroadcast(s1, 1u);
                c90 = multiply(c90, r9, b0); if WIDE { c91 = multiply(c91, r9, b1); }
                let ra = subgroupBroadcast(s1, 2u);
                ca0 = multiply(ca0, ra, b0); if WIDE { ca1 = multiply(ca1, ra, b1); }
                let rb = subgroupBroadcast(s1, 3u);
                cb0 = multiply(cb0, rb, b0); if WIDE { cb1 = multiply(cb1, rb, b1); }
                let rc = subgroupBroadcast(s1, 4u);
                cc0 = multiply(cc0, rc, b0); if WIDE { cc1 = multiply(cc1, rc, b1); }
                let rd = subgroupBroadcast(s1, 5u);
                cd0 = multiply(cd0, rd, b0); if WIDE { cd1 = multiply(cd1, rd, b1); }
                let re = subgroupBroadcast(s1, 6u);
                ce0 = multiply(ce0, re, b0); if WIDE { ce1 = multiply(ce1, re, b1); }
                let rf = subgroupBroadcast(s1, 7u);
                cf0 = multiply(cf0, rf, b0); if WIDE { cf1 = multiply(cf1, rf, b1); }
                at += 4u * step;
            }
        }
    }
    store(r + 0u, j, c00); if WIDE { store(r + 0u, j + 4u, c01); }
    store(r + 1u, j, c10); if WIDE { store(r + 1u, j + 4u, c11); }
    store(r + 2u, j, c20); if WIDE { store(r + 2u, j + 4u, c21); }
    store(r + 3u, j, c30); if WIDE { store(r + 3u, j + 4u, c31); }
    store(r + 4u, j, c40); if WIDE { store(r + 4u, j + 4u, c41); }
    store(r + 5u, j, c50); if WIDE { store(r + 5u, j + 4u, c51); }
    store(r + 6u, j, c60); if WIDE { store(r + 6u, j + 4u, c61); }
    store(r + 7u, j, c70); if WIDE { store(r + 7u, j + 4u, c71); }
    store(r + 8u, j, c80); if WIDE { store(r + 8u, j + 4u, c81); }
    store(r + 9u, j, c90); if WIDE { store(r + 9u, j + 4u, c91); }
    store(r + 10u, j, ca0); if WIDE { store(r + 10u, j + 4u, ca1); }
    store(r + 11u, j, cb0); if WIDE { store(r + 11u, j + 4u, cb1); }
    store(r + 12u, j, cc0); if WIDE { store(r + 12u, j + 4u, cc1); }
    store(r + 13u, j, cd0); if WIDE { store(r + 13u, j + 4u, cd1); }
    store(r + 14u, j, ce0); if WIDE { store(r + 14u, j + 4u, ce1); }
    store(r + 15u, j, cf0); if WIDE { store(r + 15u, j + 4u, cf1); }
}
