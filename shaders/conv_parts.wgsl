// dw[o, c, kh, kw] = the sum over the splits of parts[s, t, o], where tap t = (kh, kw, c); db[o] that of the row after
// the last tap
//   parts: [splits, taps + 1, out_channels]; dw: [out_channels, channels, kh, kw]; db: [out_channels]
// One invocation adds up four output channels, in the order of the splits (p.images): a loop of as many iterations.
// out_channels is a multiple of 4.

@group(0) @binding(0) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> dw: array<f32>;
@group(0) @binding(2) var<storage, read_write> db: array<f32>;
@group(0) @binding(3) var<uniform> p: Conv;

// Set by the lowering: SUMS, whether db is wanted.

@compute @workgroup_size(64)
fn conv_parts(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let area = p.kernel_h * p.kernel_w;
    let rows = area * p.channels + select(0u, 1u, SUMS);
    let quads = p.out_channels / 4u;
    if i >= rows * quads { return; }
    let taps = area * p.channels;
    var sum = vec4<f32>();
    for (var s = 0u; s < p.images; s++) { sum += parts[s * (taps + 1u) * quads + i]; }
    let t = divide(i, quads);
    let o = (i - t * quads) * 4u;
    if t == taps {
        if SUMS { put_db(o, sum); }
        return;
    }
    let spot = divide(t, p.channels);
    let at = (o * p.channels + t - spot * p.channels) * area + spot;
    dw[at] = sum.x;
    dw[at + taps] = sum.y;
    dw[at + 2u * taps] = sum.z;
    dw[at + 3u * taps] = sum.w;
}

fn put_db(o: u32, sum: vec4<f32>) {
    db[o] = sum.x;
    db[o + 1u] = sum.y;
    db[o + 2u] = sum.z;
    db[o + 3u] = sum.w;
}
