// y = (x - mean) rstd weight + bias over each row, rstd = 1 / sqrt(variance + eps); with RMS the mean is 0, no bias
//   x, y: [rows, cols], of types X and Y; weight, bias: [cols]; stats: [2, rows], the means and the rstd
// For adapters whose subgroups are a workgroup, and rows that fit into registers: one takes `chunk` rows one by one,
// ITEMS items a lane, without barriers, and reads weight and bias once. At most chunk (1 + 4 ITEMS) iterations, where
// the inner loops are not unrolled.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> weight: array<ITEM>;
@group(0) @binding(2) var<storage, read> bias: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> y: array<Y>;
@group(0) @binding(4) var<storage, read_write> stats: array<f32>;
@group(0) @binding(5) var<uniform> p: Norm;

// Set by the variant: LANES, the invocations of a subgroup; ITEM and WIDTH, a vec4 and 4 where cols is a multiple of 4,
// else a float and 1; ITEMS; EVEN, whether ITEMS are full; RMS.

@compute @workgroup_size(LANES)
fn layer_norm_rows(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let first = group_of(grid) * p.chunk;
    let items = p.cols / WIDTH;
    let scale = 1.0 / f32(p.cols);
    var w: array<ITEM, ITEMS>;
    var b: array<ITEM, ITEMS>;
    for (var i = 0u; i < ITEMS; i++) {
        let c = min(lane + i * LANES, items - 1u);
        w[i] = weight[c];
        if !RMS { b[i] = bias[c]; }
    }
    for (var row = first; row < min(first + p.chunk, p.rows); row++) {
        var v: array<ITEM, ITEMS>;
        var sum = ITEM();
        for (var i = 0u; i < ITEMS; i++) {
            v[i] = wide_X(x[row * items + min(lane + i * LANES, items - 1u)]);
            if !EVEN { v[i] = select(ITEM(), v[i], lane + i * LANES < items); }
            sum += v[i];
        }
        var mean = 0.0;
        if !RMS { mean = subgroupAdd(sum_of(sum)) * scale; }
        // What is left of the mean, too: the first sum may have lost digits.
        var rests = ITEM();
        var squares = ITEM();
        for (var i = 0u; i < ITEMS; i++) {
            v[i] -= mean;
            if !EVEN { v[i] = select(ITEM(), v[i], lane + i * LANES < items); }
            rests += v[i];
            squares += v[i] * v[i];
        }
        var rest = 0.0;
        if !RMS { rest = subgroupAdd(sum_of(rests)) * scale; }
        let variance = subgroupAdd(sum_of(squares)) * scale - rest * rest;
        let rstd = inverseSqrt(variance + p.eps);
        for (var i = 0u; i < ITEMS; i++) {
            var value = (v[i] - rest) * rstd * w[i];
            if !RMS { value += b[i]; }
            if EVEN || lane + i * LANES < items { y[row * items + lane + i * LANES] = narrow_Y(value); }
        }
        if lane == 0u {
            stats[row] = mean + rest;
            stats[p.rows + row] = rstd;
        }
    }
}
