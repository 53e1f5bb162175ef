// Per channel c, over the batch and the positions: sum of dy * (x - mean) / sqrt(variance + eps), and sum of dy: the
// gradients of weight and bias.
//   x, dy: strided alike [batch, channels, positions]; stats: [2, channels]; parts: [chunks, 2, channels]
// One invocation takes one chunk of one channel, at most 1,024 iterations; a second stage adds the chunks up.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> parts: array<f32>;
@group(0) @binding(4) var<uniform> p: Channels;

@compute @workgroup_size(256)
fn batch_norm_sums(grid: Grid) {
    let i = index_of(grid);
    if i >= p.channels * p.chunks { return; }
    let c = i % p.channels;
    let first = (i / p.channels) * p.chunk;
    let end = min(first + p.chunk, p.batch * p.positions);
    let mean = stats[c];
    let scale = inverseSqrt(stats[p.channels + c] + p.eps);
    var weighted = 0.0;
    var plain = 0.0;
    for (var r = first; r < end; r++) {
        let at = element_at(r, c, p);
        weighted += dy[at] * ((x[at] - mean) * scale);
        plain += dy[at];
    }
    let at = (i / p.channels) * 2u * p.channels + c;
    parts[at] = weighted;
    parts[at + p.channels] = plain;
}
