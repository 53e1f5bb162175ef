// dw = sum of dy n, db = sum of dy over the rows of each of several parts; n = (x - mean) rstd; and the parts' sums
//   x, dy: [rows, cols], of types X and DY; stats: [2, rows], the means and the rstd; dw, db: [parts, cols], or [cols] of a single part
// columns: one invocation takes WIDTH columns of a part of `chunk` rows, at most 8,192 iterations. join: one adds up
// WIDTH columns of the parts in order, x and dy being their sums; at most 8,192 iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<ITEM>;
@group(0) @binding(4) var<storage, read_write> db: array<ITEM>;
@group(0) @binding(5) var<uniform> p: Norm;

// Set by the variant: THREADS; ITEM and WIDTH, a vec4 and 4 where cols is a multiple of 4, else a float and 1; RMS,
// which has no db.

@compute @workgroup_size(THREADS)
fn layer_norm_columns(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * THREADS + thread;
    let items = p.cols / WIDTH;
    let part = divide(i, items);
    if part >= p.parts { return; }
    let c = i - part * items;
    let end = min((part + 1u) * p.chunk, p.rows);
    var weighted = ITEM();
    var plain = ITEM();
    for (var row = part * p.chunk; row < end; row++) {
        let g = wide_DY(dy[row * items + c]);
        weighted += g * ((wide_X(x[row * items + c]) - stats[row]) * stats[p.rows + row]);
        if !RMS { plain += g; }
    }
    dw[i] = weighted;
    if !RMS { db[i] = plain; }
}

@compute @workgroup_size(THREADS)
fn layer_norm_join(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let c = group_of(grid) * THREADS + thread;
    let items = p.cols / WIDTH;
    if c >= items { return; }
    var weighted = ITEM();
    var plain = ITEM();
    for (var part = 0u; part < p.parts; part++) {
        weighted += wide_X(x[part * items + c]);
        if !RMS { plain += wide_DY(dy[part * items + c]); }
    }
    dw[c] = weighted;
    if !RMS { db[c] = plain; }
}
