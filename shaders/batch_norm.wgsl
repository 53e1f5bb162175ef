// y = (x - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]
//   x, y: dense in one memory order; stats: [2, channels], means and variances; weight, bias: [channels]
// One invocation takes one element. No loops.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> stats: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> p: Channels;

@compute @workgroup_size(256)
fn batch_norm(grid: Grid) {
    let i = index_of(grid);
    if i >= p.batch * p.channels * p.positions { return; }
    let c = channel_at(i, p);
    y[i] = (x[i] - stats[c]) * inverseSqrt(stats[p.channels + c] + p.eps) * weight[c] + bias[c];
}
