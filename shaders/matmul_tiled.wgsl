// c[b, i, j] = sum over k of a[b, i, k] * b[b, k, j], with tiles in shared memory: for GPUs
//   a, b: strided matrices, batches by strides too; c: rows of stride c_row; with several splits of k, c is
//   [splits, batches, m, n], to be added up by a second pass; bias: [n]; other: as c; sums: [splits, m], of a's rows
// A workgroup of 16 x 16 computes 64 x 64 results, 4 x 4 a thread, from tiles of 16 k.
// At most 512 tiles of k x 40 loop iterations, for at most 8,192 k.

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;
@group(0) @binding(6) var<uniform> p: MatMul;

// Set by the variant: A_T and B_T, whether the rows of a and the k of b are neighbours in memory, not the other way
// round; SUMS, whether the rows of a are summed too; BIAS, whether there is one; AFTER, what follows.

// 16 k x 64 rows or columns as vec4, a row of 17: the pad keeps a column's stores out of one bank. 2 x 4.25 KiB.
var<workgroup> tile_a: array<array<vec4<f32>, 17>, 16>;
var<workgroup> tile_b: array<array<vec4<f32>, 17>, 16>;

@compute @workgroup_size(256)
fn matmul_tiled(grid: Grid) {
    let tile = tile_of(group_of(grid), 64u, 64u, p);
    let t = grid.thread;
    let x = t % 16u;
    let y = t / 16u;
    // Neighbouring threads load neighbours in memory, whichever way the operand lies.
    let a_i = select(t / 16u, t % 64u, A_T);
    let a_k = select(t % 16u, t / 64u, A_T);
    let b_j = select(t % 64u, t / 16u, B_T);
    let b_k = select(t / 64u, t % 16u, B_T);
    var c0 = vec4<f32>();
    var c1 = vec4<f32>();
    var c2 = vec4<f32>();
    var c3 = vec4<f32>();
    // Of row t, in the first column of tiles.
    var of_row = 0.0;
    // The grid's spill past the last batch has no k, and meets the barriers of none.
    let tiles = select(0u, (p.k_split + 15u) / 16u, tile.batch < p.batches);
    for (var step = 0u; step < tiles; step++) {
        let k0 = tile.k + step * 16u;
        for (var r = 0u; r < 4u; r++) {
            let i = select(a_i + 16u * r, a_i, A_T);
            let k = select(a_k, a_k + 4u * r, A_T);
            var value = 0.0;
            if tile.row + i < p.m && k0 + k < tile.k_end { value = a[tile.a + (tile.row + i) * p.a_row + (k0 + k) * p.a_col]; }
            tile_a[k][i / 4u][i % 4u] = value;
        }
        for (var r = 0u; r < 4u; r++) {
            let j = select(b_j, b_j + 16u * r, B_T);
            let k = select(b_k + 4u * r, b_k, B_T);
            var value = 0.0;
            if tile.column + j < p.n && k0 + k < tile.k_end { value = b[tile.b + (k0 + k) * p.b_row + (tile.column + j) * p.b_col]; }
            tile_b[k][j / 4u][j % 4u] = value;
        }
        // Both tiles must be whole before any thread multiplies.
        workgroupBarrier();
        // A tile is added up before it meets the sum: a third of the rounding error of one long chain.
        var d0 = vec4<f32>();
        var d1 = vec4<f32>();
        var d2 = vec4<f32>();
        var d3 = vec4<f32>();
        for (var k = 0u; k < 16u; k++) {
            let left = tile_a[k][y];
            let right = tile_b[k][x];
            d0 = fma(vec4<f32>(left.x), right, d0);
            d1 = fma(vec4<f32>(left.y), right, d1);
            d2 = fma(vec4<f32>(left.z), right, d2);
            d3 = fma(vec4<f32>(left.w), right, d3);
        }
        c0 += d0;
        c1 += d1;
        c2 += d2;
        c3 += d3;
        if SUMS && tile.column == 0u && t < 64u {
            for (var k = 0u; k < 16u; k++) { of_row += tile_a[k][t / 4u][t % 4u]; }
        }
        // No thread may overwrite the tiles while another still reads them.
        workgroupBarrier();
    }
    if tile.batch >= p.batches { return; }
    if SUMS && tile.column == 0u && t < 64u && tile.row + t < p.m {
        sums[tile.k / p.k_split * p.m + tile.row + t] = of_row;
    }
    let i = tile.row + y * 4u;
    let j = tile.column + x * 4u;
    store(tile.c, i, j, c0);
    store(tile.c, i + 1u, j, c1);
    store(tile.c, i + 2u, j, c2);
    store(tile.c, i + 3u, j, c3);
}

fn store(base: u32, i: u32, j: u32, value: vec4<f32>) {
    if i >= p.m || j >= p.n { return; }
    let at = base + i * p.c_row + j;
    var y = value;
    if BIAS {
        y.x += bias[j];
        if j + 1u < p.n { y.y += bias[j + 1u]; }
        if j + 2u < p.n { y.z += bias[j + 2u]; }
        if j + 3u < p.n { y.w += bias[j + 3u]; }
    }
    if AFTER > 0u {
        var more = vec4<f32>();
        if AFTER > 1u {
            more.x = other[at];
            if j + 1u < p.n { more.y = other[at + 1u]; }
            if j + 2u < p.n { more.z = other[at + 2u]; }
            if j + 3u < p.n { more.w = other[at + 3u]; }
        }
        y = after4(AFTER, y, more);
    }
    c[at] = y.x;
    if j + 1u < p.n { c[at + 1u] = y.y; }
    if j + 2u < p.n { c[at + 2u] = y.z; }
    if j + 3u < p.n { c[at + 3u] = y.w; }
}
