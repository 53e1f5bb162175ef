// dx = weight[c] / sqrt(variance[c] + eps) * (dy - sums[1, c] / m - x^ * sums[0, c] / m), x^ the normalised x, m the
// elements of a channel
//   x, dy, dx: dense in one memory order; stats, sums: [2, channels]; weight: [channels]
// One invocation takes one element, or four of four channels. No loops.

@group(0) @binding(0) var<storage, read> x: array<ITEM>;
@group(0) @binding(1) var<storage, read> dy: array<ITEM>;
@group(0) @binding(2) var<storage, read> stats: array<ITEM>;
@group(0) @binding(3) var<storage, read> sums: array<ITEM>;
@group(0) @binding(4) var<storage, read> weight: array<ITEM>;
@group(0) @binding(5) var<storage, read_write> dx: array<ITEM>;
@group(0) @binding(6) var<uniform> p: Channels;

// Set by the variant: ITEM and WIDTH, a vec4 and 4 where the channels are neighbours, a multiple of 4, else a float and 1.

@compute @workgroup_size(256)
fn batch_norm_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    if i >= p.batch * p.positions * channels { return; }
    var c = i - divide(i, channels) * channels;
    if WIDTH == 1u { c = channel_at(i, p); }
    let scale = inverseSqrt(stats[channels + c] + p.eps);
    let normalised = (x[i] - stats[c]) * scale;
    let share = 1.0 / f32(p.batch * p.positions);
    dx[i] = weight[c] * scale * (dy[i] - share * sums[channels + c] - normalised * (share * sums[c]));
}
