// dw[o, c, kh, kw] = the sum over the splits of parts[s, t, o], where tap t = (kh, kw, c); db[o] that of the row after
// the last tap
//   parts: [splits, taps + 1, out_channels]; dw: [out_channels, channels, kh, kw]; db: [out_channels]
// One invocation adds up one result, in the order of the splits (p.images): a loop of as many iterations.

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> dw: array<f32>;
@group(0) @binding(2) var<storage, read_write> db: array<f32>;
@group(0) @binding(3) var<uniform> p: Conv;

// Set by the lowering: SUMS, whether db is wanted.

@compute @workgroup_size(64)
fn conv_parts(grid: Grid) {
    let i = group_of(grid) * 64u + grid.thread;
    let area = p.kernel_h * p.kernel_w;
    let rows = area * p.channels + select(0u, 1u, SUMS);
    if i >= rows * p.out_channels { return; }
    let step = (area * p.channels + 1u) * p.out_channels;
    var sum = 0.0;
    for (var s = 0u; s < p.images; s++) { sum += parts[s * step + i]; }
    let t = divide(i, p.out_channels);
    let o = i - t * p.out_channels;
    if t == area * p.channels {
        if SUMS { db[o] = sum; }
        return;
    }
    let spot = divide(t, p.channels);
    dw[(o * p.channels + t - spot * p.channels) * area + spot] = sum;
}
