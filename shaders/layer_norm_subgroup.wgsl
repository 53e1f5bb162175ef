// y = (x - mean) rstd weight + bias over each row, rstd = 1 / sqrt(variance + eps); with RMS the mean is 0, no bias
//   x, y: [rows, cols], of types X and Y; weight, bias: [cols]; stats: [2, rows], the means and the rstd
// For adapters whose subgroups are a workgroup: one takes a row, without barriers. The mean is taken first, so that an
// offset of all values costs no digits. At most 3 (cols / (WIDTH LANES) + 1) iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> weight: array<ITEM>;
@group(0) @binding(2) var<storage, read> bias: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> y: array<Y>;
@group(0) @binding(4) var<storage, read_write> stats: array<f32>;
@group(0) @binding(5) var<uniform> p: Norm;

// Set by the variant: LANES, the invocations of a subgroup; ITEM and WIDTH, a vec4 and 4 where cols is a multiple of 4,
// else a float and 1; RMS.

@compute @workgroup_size(LANES)
fn layer_norm_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let row = group_of(grid);
    if row >= p.rows { return; }
    let items = p.cols / WIDTH;
    let start = row * items;
    let scale = 1.0 / f32(p.cols);
    var mean = 0.0;
    if !RMS {
        var sum = ITEM();
        for (var c = lane; c < items; c += LANES) { sum += wide_X(x[start + c]); }
        mean = subgroupAdd(sum_of(sum)) * scale;
    }
    // What is left of the mean, too: the first sum may have lost digits.
    var rests = ITEM();
    var squares = ITEM();
    for (var c = lane; c < items; c += LANES) {
        let off = wide_X(x[start + c]) - mean;
        rests += off;
        squares += off * off;
    }
    var rest = 0.0;
    if !RMS { rest = subgroupAdd(sum_of(rests)) * scale; }
    let variance = subgroupAdd(sum_of(squares)) * scale - rest * rest;
    let rstd = inverseSqrt(variance + p.eps);
    for (var c = lane; c < items; c += LANES) {
        var value = (wide_X(x[start + c]) - mean - rest) * rstd * weight[c];
        if !RMS { value += bias[c]; }
        y[start + c] = narrow_Y(value);
    }
    if lane == 0u {
        stats[row] = mean + rest;
        stats[p.rows + row] = rstd;
    }
}
