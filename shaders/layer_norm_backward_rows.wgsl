// dx = rstd (g - mean(g) - n mean(g n)) [+ other], g = dy weight, n = (x - mean) rstd; with RMS without mean(g); and
// of each part of the rows dw = sum of dy n, db = sum of dy
//   x, dy, other, dx: [rows, cols], of types X, DY, OTHER and DX; weight: [cols]; stats: [2, rows], the means and the rstd; dw, db: [parts, cols]
// For adapters whose subgroups are a workgroup, and rows that fit into registers: one takes a part of `chunk` rows one by
// one, ITEMS items a lane, without barriers, and reads each once. At most chunk (1 + 3 ITEMS) iterations, where the
// inner loops are not unrolled.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read> weight: array<ITEM>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read> other: array<OTHER>;
@group(0) @binding(5) var<storage, read_write> dx: array<DX>;
@group(0) @binding(6) var<storage, read_write> dw: array<ITEM>;
@group(0) @binding(7) var<storage, read_write> db: array<ITEM>;
@group(0) @binding(8) var<uniform> p: Norm;

// Set by the variant: LANES, the invocations of a subgroup; ITEM and WIDTH, a vec4 and 4 where cols is a multiple of 4,
// else a float and 1; ITEMS; EVEN, whether ITEMS are full; RMS; ADD, whether there is another gradient.

@compute @workgroup_size(LANES)
fn layer_norm_backward_rows(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    // A group past the last writes the last part once more: after a return, all that follows would be masked.
    let part = min(group_of(grid), p.parts - 1u);
    let items = p.cols / WIDTH;
    let scale = 1.0 / f32(p.cols);
    var w: array<ITEM, ITEMS>;
    var weighted: array<ITEM, ITEMS>;
    var plain: array<ITEM, ITEMS>;
    for (var i = 0u; i < ITEMS; i++) {
        w[i] = weight[min(lane + i * LANES, items - 1u)];
        weighted[i] = ITEM();
        plain[i] = ITEM();
    }
    for (var row = part * p.chunk; row < min((part + 1u) * p.chunk, p.rows); row++) {
        let mean = stats[row];
        let rstd = stats[p.rows + row];
        var n: array<ITEM, ITEMS>;
        var g: array<ITEM, ITEMS>;
        var sum = ITEM();
        var sum_n = ITEM();
        for (var i = 0u; i < ITEMS; i++) {
            let at = row * items + min(lane + i * LANES, items - 1u);
            n[i] = (wide_X(x[at]) - mean) * rstd;
            g[i] = wide_DY(dy[at]);
            if !EVEN { g[i] = select(ITEM(), g[i], lane + i * LANES < items); }
            weighted[i] += g[i] * n[i];
            if !RMS { plain[i] += g[i]; }
            g[i] *= w[i];
            if !RMS { sum += g[i]; }
            sum_n += g[i] * n[i];
        }
        var of_g = 0.0;
        if !RMS { of_g = subgroupAdd(sum_of(sum)) * scale; }
        let of_gn = subgroupAdd(sum_of(sum_n)) * scale;
        for (var i = 0u; i < ITEMS; i++) {
            let at = row * items + lane + i * LANES;
            if EVEN || lane + i * LANES < items {
                var value = rstd * (g[i] - of_g - n[i] * of_gn);
                if ADD { value += wide_OTHER(other[at]); }
                dx[at] = narrow_DX(value);
            }
        }
    }
    for (var i = 0u; i < ITEMS; i++) {
        let at = part * items + lane + i * LANES;
        if EVEN || lane + i * LANES < items {
            dw[at] = weighted[i];
            if !RMS { db[at] = plain[i]; }
        }
    }
}
