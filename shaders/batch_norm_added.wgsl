// y = (x - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c] + other, held between low and high
//   x, other, y: dense in one memory order, of types X, OTHER and Y; stats: [2, channels], means and variances; weight, bias: [channels]
// One invocation takes one element, or ROWS positions of four channels, in as many iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> stats: array<ITEM>;
@group(0) @binding(2) var<storage, read> weight: array<ITEM>;
@group(0) @binding(3) var<storage, read> bias: array<ITEM>;
@group(0) @binding(4) var<storage, read> other: array<OTHER>;
@group(0) @binding(5) var<storage, read_write> y: array<Y>;
@group(0) @binding(6) var<uniform> p: Channels;

// Set by the variant: ITEM and WIDTH, a vec4 and 4 where the channels are neighbours, a multiple of 4, else a float and 1; ROWS, 1 where WIDTH is.

@compute @workgroup_size(256)
fn batch_norm_added(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    let rows = p.batch * p.positions;
    let strip = divide(i, channels);
    if strip * ROWS >= rows { return; }
    var c = i - strip * channels;
    if WIDTH == 1u { c = channel_at(i, p); }
    let mean = stats[c];
    let scale = inverseSqrt(stats[channels + c] + p.eps);
    let factor = weight[c];
    let shift = bias[c];
    var at = strip * (ROWS - 1u) * channels + i;
    for (var r = strip * ROWS; r < min(strip * ROWS + ROWS, rows); r++) {
        let normal = (wide_X(x[at]) - mean) * scale * factor + shift;
        y[at] = narrow_Y(held(normal + wide_OTHER(other[at]), p));
        at += channels;
    }
}
