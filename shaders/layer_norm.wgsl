// y = (x - mean) rstd weight + bias over each row, rstd = 1 / sqrt(variance + eps); with RMS the mean is 0, no bias
//   x, y: [rows, cols], of types X and Y; weight, bias: [cols]; stats: [2, rows], the means and the rstd
// THREADS invocations share a row and add up by trees in shared memory. The mean is taken first, so that an offset of
// all values costs no digits. At most 3 (cols / (WIDTH THREADS) + 1) iterations and three trees of 8 steps.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> weight: array<ITEM>;
@group(0) @binding(2) var<storage, read> bias: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> y: array<Y>;
@group(0) @binding(4) var<storage, read_write> stats: array<f32>;
@group(0) @binding(5) var<uniform> p: Norm;

// Set by the variant: THREADS; ITEM and WIDTH, a vec4 and 4 where cols is a multiple of 4, else a float and 1; RMS.

// A group past the last row works on the last again and writes nothing, so that every barrier is met by all.
@compute @workgroup_size(THREADS)
fn layer_norm_group(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let group = group_of(grid);
    let row = min(group, p.rows - 1u);
    let items = p.cols / WIDTH;
    let start = row * items;
    let scale = 1.0 / f32(p.cols);
    var mean = 0.0;
    if !RMS {
        var sum = ITEM();
        for (var c = t; c < items; c += THREADS) { sum += wide_X(x[start + c]); }
        mean = whole(sum_of(sum), t) * scale;
    }
    // What is left of the mean, too: the first sum may have lost digits.
    var rests = ITEM();
    var squares = ITEM();
    for (var c = t; c < items; c += THREADS) {
        let off = wide_X(x[start + c]) - mean;
        rests += off;
        squares += off * off;
    }
    var rest = 0.0;
    if !RMS { rest = whole(sum_of(rests), t) * scale; }
    let variance = whole(sum_of(squares), t) * scale - rest * rest;
    let rstd = inverseSqrt(variance + p.eps);
    if group >= p.rows { return; }
    for (var c = t; c < items; c += THREADS) {
        var value = (wide_X(x[start + c]) - mean - rest) * rstd * weight[c];
        if !RMS { value += bias[c]; }
        y[start + c] = narrow_Y(value);
    }
    if t == 0u {
        stats[row] = mean + rest;
        stats[p.rows + row] = rstd;
    }
}
