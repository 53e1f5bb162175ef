// Per channel c, over the batch and the positions: sum of dy * (x - mean) / sqrt(variance + eps), and sum of dy: the
// gradients of weight and bias.
//   x, dy: strided alike [batch, channels, positions], of types X and DY; stats: [2, channels]; parts: [chunks, 2, channels]
// One invocation takes one chunk of one channel, or of four, at most 1,024 iterations; a second stage adds the chunks up.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read> stats: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> parts: array<ITEM>;
@group(0) @binding(4) var<uniform> p: Channels;

// Set by the variant: ITEM and WIDTH, a vec4 and 4 where the channels are neighbours, a multiple of 4, else a float and 1.

@compute @workgroup_size(256)
fn batch_norm_sums(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    if i >= channels * p.chunks { return; }
    let chunk = divide(i, channels);
    let c = i - chunk * channels;
    let first = chunk * p.chunk;
    let end = min(first + p.chunk, p.batch * p.positions);
    let mean = stats[c];
    let scale = inverseSqrt(stats[channels + c] + p.eps);
    var weighted = ITEM();
    var plain = ITEM();
    for (var r = first; r < end; r++) {
        var at = r * channels + c;
        if WIDTH == 1u { at = element_at(r, c, p); }
        let g = wide_DY(dy[at]);
        weighted += g * ((wide_X(x[at]) - mean) * scale);
        plain += g;
    }
    let at = chunk * 2u * channels + c;
    parts[at] = weighted;
    parts[at + channels] = plain;
}
