// dx = (weight[c] * dy - means[1, n, c] - x^ * means[0, n, c]) / sqrt(variance[n, c] + eps), x^ the normalised x
//   x, dy, dx: [batch, positions, channels], of types X, DY and DX; stats, means: [2, batch, channels]; weight: [channels]
// One invocation takes ROWS positions of one channel, or of four, in as many iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read> stats: array<ITEM>;
@group(0) @binding(3) var<storage, read> means: array<ITEM>;
@group(0) @binding(4) var<storage, read> weight: array<ITEM>;
@group(0) @binding(5) var<storage, read_write> dx: array<DX>;
@group(0) @binding(6) var<uniform> p: Groups;

@compute @workgroup_size(256)
fn group_norm_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    let strips = (p.positions + ROWS - 1u) / ROWS;
    let strip = divide(i, channels);
    if strip >= p.batch * strips { return; }
    let c = i - strip * channels;
    let n = divide(strip, strips);
    let first = (strip - n * strips) * ROWS;
    let of_channel = n * channels + c;
    let plain = p.batch * channels;
    let mean = stats[of_channel];
    let scale = inverseSqrt(stats[plain + of_channel] + p.eps);
    let factor = weight[c];
    let of_weighted = means[of_channel];
    let of_plain = means[plain + of_channel];
    var at = (n * p.positions + first) * channels + c;
    for (var r = first; r < min(first + ROWS, p.positions); r++) {
        let off = wide_X(x[at]) - mean;
        dx[at] = narrow_DX(scale * (factor * wide_DY(dy[at]) - of_plain - off * scale * of_weighted));
        at += channels;
    }
}
