// dw[o, t] = the sum over the splits of parts[s, t, o]; db[o] that of the row after the last tap
//   parts: [splits, taps + 1, out_channels]; dw: [out_channels, taps]; db: [out_channels]
// One invocation adds up one element, in the order of the splits (p.images): a loop of as many iterations, at most 16,384.

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> dw: array<f32>;
@group(0) @binding(2) var<storage, read_write> db: array<f32>;
@group(0) @binding(3) var<uniform> p: Conv;

@compute @workgroup_size(64)
fn depthwise_parts(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let taps = p.kernel_h * p.kernel_w;
    let each = (taps + 1u) * p.out_channels;
    if i >= each { return; }
    var sum = 0.0;
    for (var s = 0u; s < p.images; s++) { sum += parts[s * each + i]; }
    let t = divide(i, p.out_channels);
    let o = i - t * p.out_channels;
    if t == taps { db[o] = sum; } else { dw[o * taps + t] = sum; }
}
