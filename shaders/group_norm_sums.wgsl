// Per image and channel, over the positions: sum of dy * (x - mean) / sqrt(variance + eps), and sum of dy.
//   x, dy: [batch, positions, channels], of types X and DY; stats: [2, batch, channels]; parts: [chunks, 2, batch, channels]
// One invocation takes one chunk of one channel, or of four, at most 1,024 iterations; a second stage adds the chunks up.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read> stats: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> parts: array<ITEM>;
@group(0) @binding(4) var<uniform> p: Groups;

@compute @workgroup_size(256)
fn group_norm_sums(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    let part = divide(i, channels);
    if part >= p.batch * p.chunks { return; }
    let c = i - part * channels;
    let n = divide(part, p.chunks);
    let chunk = part - n * p.chunks;
    let of_channel = n * channels + c;
    let mean = stats[of_channel];
    let scale = inverseSqrt(stats[p.batch * channels + of_channel] + p.eps);
    var weighted = ITEM();
    var plain = ITEM();
    for (var r = chunk * p.chunk; r < min(chunk * p.chunk + p.chunk, p.positions); r++) {
        let at = (n * p.positions + r) * channels + c;
        let g = wide_DY(dy[at]);
        weighted += g * ((wide_X(x[at]) - mean) * scale);
        plain += g;
    }
    let to = (chunk * 2u * p.batch + n) * channels + c;
    parts[to] = weighted;
    parts[to + p.batch * channels] = plain;
}
