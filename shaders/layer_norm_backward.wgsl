// dx = rstd (g - mean(g) - n mean(g n)) [+ other], g = dy weight, n = (x - mean) rstd; with RMS without mean(g)
//   x, dy, other, dx: [rows, cols], of types X, DY, OTHER and DX; weight: [cols]; stats: [2, rows], the means and the rstd
// THREADS invocations share a row and add up by trees in shared memory. At most 2 (cols / (WIDTH THREADS) + 1)
// iterations and two trees of 8 steps.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read> weight: array<ITEM>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read> other: array<OTHER>;
@group(0) @binding(5) var<storage, read_write> dx: array<DX>;
@group(0) @binding(6) var<uniform> p: Norm;

// Set by the variant: THREADS; ITEM and WIDTH, a vec4 and 4 where cols is a multiple of 4, else a float and 1; RMS;
// ADD, whether there is another gradient.

// A group past the last row works on the last again and writes nothing, so that every barrier is met by all.
@compute @workgroup_size(THREADS)
fn layer_norm_backward_group(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let group = group_of(grid);
    let row = min(group, p.rows - 1u);
    let items = p.cols / WIDTH;
    let start = row * items;
    let mean = stats[row];
    let rstd = stats[p.rows + row];
    var plain = ITEM();
    var weighted = ITEM();
    for (var c = t; c < items; c += THREADS) {
        let g = wide_DY(dy[start + c]) * weight[c];
        if !RMS { plain += g; }
        weighted += g * ((wide_X(x[start + c]) - mean) * rstd);
    }
    let scale = 1.0 / f32(p.cols);
    var of_g = 0.0;
    if !RMS { of_g = whole(sum_of(plain), t) * scale; }
    let of_gn = whole(sum_of(weighted), t) * scale;
    if group >= p.rows { return; }
    for (var c = t; c < items; c += THREADS) {
        let off = wide_X(x[start + c]) - mean;
        var value = rstd * (wide_DY(dy[start + c]) * weight[c] - of_g - off * rstd * of_gn);
        if ADD { value += wide_OTHER(other[start + c]); }
        dx[start + c] = narrow_DX(value);
    }
}
