// y = (x - mean[n, c]) / sqrt(variance[n, c] + eps) * weight[c] + bias[c]
//   x, y: [batch, positions, channels], of types X and Y; stats: [2, batch, channels], means and variances; weight, bias: [channels]
// One invocation takes ROWS positions of one channel, or of four, in as many iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> stats: array<ITEM>;
@group(0) @binding(2) var<storage, read> weight: array<ITEM>;
@group(0) @binding(3) var<storage, read> bias: array<ITEM>;
@group(0) @binding(4) var<storage, read_write> y: array<Y>;
@group(0) @binding(5) var<uniform> p: Groups;

@compute @workgroup_size(256)
fn group_norm(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    let strips = (p.positions + ROWS - 1u) / ROWS;
    let strip = divide(i, channels);
    if strip >= p.batch * strips { return; }
    let c = i - strip * channels;
    let n = divide(strip, strips);
    let first = (strip - n * strips) * ROWS;
    let of_channel = n * channels + c;
    let mean = stats[of_channel];
    let scale = inverseSqrt(stats[p.batch * channels + of_channel] + p.eps);
    let factor = weight[c];
    let shift = bias[c];
    var at = (n * p.positions + first) * channels + c;
    for (var r = first; r < min(first + ROWS, p.positions); r++) {
        y[at] = narrow_Y((wide_X(x[at]) - mean) * scale * factor + shift);
        at += channels;
    }
}
