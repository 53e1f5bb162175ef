// dx = weight[c] / sqrt(variance[c] + eps) * (dy - sums[1, c] / m - x^ * sums[0, c] / m), x^ the normalised x, m the
// elements of a channel
//   x, dy, dx: dense in one memory order, of types X, DY and DX; stats, sums: [2, channels]; weight: [channels]
// One invocation takes one element, or ROWS positions of four channels, in as many iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read> stats: array<ITEM>;
@group(0) @binding(3) var<storage, read> sums: array<ITEM>;
@group(0) @binding(4) var<storage, read> weight: array<ITEM>;
@group(0) @binding(5) var<storage, read_write> dx: array<DX>;
@group(0) @binding(6) var<uniform> p: Channels;

// Set by the variant: ITEM and WIDTH, a vec4 and 4 where the channels are neighbours, a multiple of 4, else a float and 1; ROWS, 1 where WIDTH is.

@compute @workgroup_size(256)
fn batch_norm_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    let rows = p.batch * p.positions;
    let strip = divide(i, channels);
    if strip * ROWS >= rows { return; }
    var c = i - strip * channels;
    if WIDTH == 1u { c = channel_at(i, p); }
    let mean = stats[c];
    let scale = inverseSqrt(stats[channels + c] + p.eps);
    let factor = weight[c] * scale;
    let share = 1.0 / f32(rows);
    let of_bias = share * sums[channels + c];
    let of_weight = share * sums[c];
    var at = strip * (ROWS - 1u) * channels + i;
    for (var r = strip * ROWS; r < min(strip * ROWS + ROWS, rows); r++) {
        dx[at] = narrow_DX(factor * (wide_DY(dy[at]) - of_bias - (wide_X(x[at]) - mean) * scale * of_weight));
        at += channels;
    }
}
