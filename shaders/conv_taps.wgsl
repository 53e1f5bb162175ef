// dw[s, t, o] = sum over the output rows (n, oh) of split s, and ow, of x[n, h, w, c] * dy[n, oh, ow, o], where tap
// t = (kh, kw, c) saw the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside
//   x: channels last, strided rows and columns; dy: [positions, out_channels]; dw: [splits, taps, out_channels]
// Without barriers: for adapters whose subgroups are a workgroup. One subgroup computes 16 taps x 4 or 8 (WIDE)
// channels a lane; lane q holds taps 4 (q % 4) to 4 (q % 4) + 3 at positions q / 4 and q / 4 + 2 of four, and sends
// them round. Channels are multiples of 4. Iterations: p.images output rows x out_w / 4.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Conv;

// Set by the variant: LANES, the invocations of a subgroup (8 or more); WIDE, whether a lane has 8 channels.

// The four products are added up before they meet the sum: half the rounding error of one long chain.
fn multiply(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return sum + fma(vec4<f32>(a.w), b[3], fma(vec4<f32>(a.z), b[2], fma(vec4<f32>(a.y), b[1], a.x * b[0])));
}

fn store(split: u32, t: u32, j: u32, value: vec4<f32>) {
    let taps = p.kernel_h * p.kernel_w * p.channels;
    if t < taps && j < p.out_channels { dw[((split * taps + t) * p.out_channels + j) / 4u] = value; }
}

@compute @workgroup_size(LANES)
fn conv_taps(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let taps = p.kernel_h * p.kernel_w * p.channels;
    let tiles = (taps + 15u) / 16u;
    let width = select(4u, 8u, WIDE);
    let strips = (p.out_channels + LANES * width - 1u) / (LANES * width);
    let g = group_of(grid);
    let t = (g % tiles) * 16u;
    let j = ((g / tiles) % strips) * LANES * width + lane * width;
    let split = g / (tiles * strips);
    let j0 = min(j, p.out_channels - 4u) / 4u;
    let j1 = min(j + 4u, p.out_channels - 4u) / 4u;
    let step = p.out_channels / 4u;
    // This lane's four taps: one place of the kernel, four channels; taps past the last repeat the last four.
    let own = min(t + 4u * (lane & 3u), taps - 4u);
    let spot = own / p.channels;
    let kh = spot / p.kernel_w;
    let down = kh * p.dilation_h - p.padding_h;
    let right = (spot - kh * p.kernel_w) * p.dilation_w - p.padding_w;
    let channel = own - spot * p.channels;
    let ahead = (lane & 7u) / 4u;
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
    let end = min((split + 1u) * p.images, p.batch * p.out_h);
    for (var row = split * p.images; row < end; row++) {
        let n = row / p.out_h;
        // In unsigned numbers, what lies before 0 is far past the end.
        let h = (row - n * p.out_h) * p.stride_h + down;
        let start = p.x_base + n * p.x_n + h * p.x_h + channel;
        for (var ow = 0u; ow < p.out_w; ow += 4u) {
            let w0 = (ow + ahead) * p.stride_w + right;
            let w1 = (ow + ahead + 2u) * p.stride_w + right;
            let inside0 = h < p.height && w0 < p.width && ow + ahead < p.out_w;
            let inside1 = h < p.height && w1 < p.width && ow + ahead + 2u < p.out_w;
            let s0 = select(vec4<f32>(), x[select(0u, (start + w0 * p.x_w) / 4u, inside0)], inside0);
            let s1 = select(vec4<f32>(), x[select(0u, (start + w1 * p.x_w) / 4u, inside1)], inside1);
            // Positions past the row's end meet zeros of x; here they repeat the last.
            let at = row * p.out_w;
            let last = at + p.out_w - 1u;
            let k0 = (at + ow) * step;
            let k1 = min(at + ow + 1u, last) * step;
            let k2 = min(at + ow + 2u, last) * step;
            let k3 = min(at + ow + 3u, last) * step;
            let b0 = mat4x4<f32>(dy[k0 + j0], dy[k1 + j0], dy[k2 + j0], dy[k3 + j0]);
            var b1: mat4x4<f32>;
            if WIDE { b1 = mat4x4<f32>(dy[k0 + j1], dy[k1 + j1], dy[k2 + j1], dy[k3 + j1]); }
            let q0 = transpose(mat4x4<f32>(subgroupBroadcast(s0, 0u), subgroupBroadcast(s0, 4u), subgroupBroadcast(s1, 0u), subgroupBroadcast(s1, 4u)));
            let q1 = transpose(mat4x4<f32>(subgroupBroadcast(s0, 1u), subgroupBroadcast(s0, 5u), subgroupBroadcast(s1, 1u), subgroupBroadcast(s1, 5u)));
            let q2 = transpose(mat4x4<f32>(subgroupBroadcast(s0, 2u), subgroupBroadcast(s0, 6u), subgroupBroadcast(s1, 2u), subgroupBroadcast(s1, 6u)));
            let q3 = transpose(mat4x4<f32>(subgroupBroadcast(s0, 3u), subgroupBroadcast(s0, 7u), subgroupBroadcast(s1, 3u), subgroupBroadcast(s1, 7u)));
            c00 = multiply(c00, q0[0], b0); if WIDE { c01 = multiply(c01, q0[0], b1); }
            c10 = multiply(c10, q0[1], b0); if WIDE { c11 = multiply(c11, q0[1], b1); }
            c20 = multiply(c20, q0[2], b0); if WIDE { c21 = multiply(c21, q0[2], b1); }
            c30 = multiply(c30, q0[3], b0); if WIDE { c31 = multiply(c31, q0[3], b1); }
            c40 = multiply(c40, q1[0], b0); if WIDE { c41 = multiply(c41, q1[0], b1); }
            c50 = multiply(c50, q1[1], b0); if WIDE { c51 = multiply(c51, q1[1], b1); }
            c60 = multiply(c60, q1[2], b0); if WIDE { c61 = multiply(c61, q1[2], b1); }
            c70 = multiply(c70, q1[3], b0); if WIDE { c71 = multiply(c71, q1[3], b1); }
            c80 = multiply(c80, q2[0], b0); if WIDE { c81 = multiply(c81, q2[0], b1); }
            c90 = multiply(c90, q2[1], b0); if WIDE { c91 = multiply(c91, q2[1], b1); }
            ca0 = multiply(ca0, q2[2], b0); if WIDE { ca1 = multiply(ca1, q2[2], b1); }
            cb0 = multiply(cb0, q2[3], b0); if WIDE { cb1 = multiply(cb1, q2[3], b1); }
            cc0 = multiply(cc0, q3[0], b0); if WIDE { cc1 = multiply(cc1, q3[0], b1); }
            cd0 = multiply(cd0, q3[1], b0); if WIDE { cd1 = multiply(cd1, q3[1], b1); }
            ce0 = multiply(ce0, q3[2], b0); if WIDE { ce1 = multiply(ce1, q3[2], b1); }
            cf0 = multiply(cf0, q3[3], b0); if WIDE { cf1 = multiply(cf1, q3[3], b1); }
        }
    }
    store(split, t + 0u, j, c00); if WIDE { store(split, t + 0u, j + 4u, c01); }
    store(split, t + 1u, j, c10); if WIDE { store(split, t + 1u, j + 4u, c11); }
    store(split, t + 2u, j, c20); if WIDE { store(split, t + 2u, j + 4u, c21); }
    store(split, t + 3u, j, c30); if WIDE { store(split, t + 3u, j + 4u, c31); }
    store(split, t + 4u, j, c40); if WIDE { store(split, t + 4u, j + 4u, c41); }
    store(split, t + 5u, j, c50); if WIDE { store(split, t + 5u, j + 4u, c51); }
    store(split, t + 6u, j, c60); if WIDE { store(split, t + 6u, j + 4u, c61); }
    store(split, t + 7u, j, c70); if WIDE { store(split, t + 7u, j + 4u, c71); }
    store(split, t + 8u, j, c80); if WIDE { store(split, t + 8u, j + 4u, c81); }
    store(split, t + 9u, j, c90); if WIDE { store(split, t + 9u, j + 4u, c91); }
    store(split, t + 10u, j, ca0); if WIDE { store(split, t + 10u, j + 4u, ca1); }
    store(split, t + 11u, j, cb0); if WIDE { store(split, t + 11u, j + 4u, cb1); }
    store(split, t + 12u, j, cc0); if WIDE { store(split, t + 12u, j + 4u, cc1); }
    store(split, t + 13u, j, cd0); if WIDE { store(split, t + 13u, j + 4u, cd1); }
    store(split, t + 14u, j, ce0); if WIDE { store(split, t + 14u, j + 4u, ce1); }
    store(split, t + 15u, j, cf0); if WIDE { store(split, t + 15u, j + 4u, cf1); }
}
