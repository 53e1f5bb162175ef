// dx = rstd (g - mean(g) - n mean(g n)) [+ other], g = dy weight, n = (x - mean) rstd; with RMS without mean(g)
//   x, dy, other, dx: [rows, cols], of types X, DY, OTHER and DX; weight: [cols]; stats: [2, rows], the means and the rstd
// For adapters whose subgroups are a workgroup: one takes a row, without barriers. At most 2 (cols / (WIDTH LANES) + 1)
// iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read> weight: array<ITEM>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read> other: array<OTHER>;
@group(0) @binding(5) var<storage, read_write> dx: array<DX>;
@group(0) @binding(6) var<uniform> p: Norm;

// Set by the variant: LANES, the invocations of a subgroup; ITEM and WIDTH, a vec4 and 4 where cols is a multiple of 4,
// else a float and 1; RMS; ADD, whether there is another gradient.

@compute @workgroup_size(LANES)
fn layer_norm_backward_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let row = group_of(grid);
    if row >= p.rows { return; }
    let items = p.cols / WIDTH;
    let start = row * items;
    let mean = stats[row];
    let rstd = stats[p.rows + row];
    var plain = ITEM();
    var weighted = ITEM();
    for (var c = lane; c < items; c += LANES) {
        let g = wide_DY(dy[start + c]) * weight[c];
        if !RMS { plain += g; }
        weighted += g * ((wide_X(x[start + c]) - mean) * rstd);
    }
    let scale = 1.0 / f32(p.cols);
    var of_g = 0.0;
    if !RMS { of_g = subgroupAdd(sum_of(plain)) * scale; }
    let of_gn = subgroupAdd(sum_of(weighted)) * scale;
    for (var c = lane; c < items; c += LANES) {
        let off = wide_X(x[start + c]) - mean;
        var value = rstd * (wide_DY(dy[start + c]) * weight[c] - of_g - off * rstd * of_gn);
        if ADD { value += wide_OTHER(other[start + c]); }
        dx[start + c] = narrow_DX(value);
    }
}
