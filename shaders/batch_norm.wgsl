// y = (x - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]
//   x, y: dense in one memory order; stats: [2, channels], means and variances; weight, bias: [channels]
// One invocation takes one element, or four of four channels. No loops.

@group(0) @binding(0) var<storage, read> x: array<ITEM>;
@group(0) @binding(1) var<storage, read> stats: array<ITEM>;
@group(0) @binding(2) var<storage, read> weight: array<ITEM>;
@group(0) @binding(3) var<storage, read> bias: array<ITEM>;
@group(0) @binding(4) var<storage, read_write> y: array<ITEM>;
@group(0) @binding(5) var<uniform> p: Channels;

// Set by the variant: ITEM and WIDTH, a vec4 and 4 where the channels are neighbours, a multiple of 4, else a float and 1.

@compute @workgroup_size(256)
fn batch_norm(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    if i >= p.batch * p.positions * channels { return; }
    var c = i - divide(i, channels) * channels;
    if WIDTH == 1u { c = channel_at(i, p); }
    y[i] = (x[i] - stats[c]) * inverseSqrt(stats[channels + c] + p.eps) * weight[c] + bias[c];
}
