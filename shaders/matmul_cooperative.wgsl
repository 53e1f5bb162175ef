// c[b, i, j] = sum over k of a[b, i, k] * b[b, k, j] of halves, by the units that GPUs have for products of small matrices, added
// up in f32
//   a, b: strided matrices of f16, whose rows or columns start on 16 bytes, batches by strides too; c: rows of stride c_row; with
//   several splits of k, c is [splits, batches, m, n], to be added up by a second pass; bias: [n]; other: as c
// m, n, k and where k is cut are multiples of SIDE. A workgroup is one subgroup, and takes 2 x 2 squares of SIDE x SIDE results.
// Iterations: at most 8,192 / SIDE for k, and 4 SIDE x SIDE / 4 / LANES to store.

@group(0) @binding(0) var<storage, read> a: array<f16>;
@group(0) @binding(1) var<storage, read> b: array<f16>;
@group(0) @binding(2) var<storage, read> bias4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> other4: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c4: array<C4>;
@group(0) @binding(5) var<uniform> p: MatMul;

// Set by the variant: SIDE of a square, and the types LEFT, RIGHT and SUM of such squares; LANES of a subgroup; A_T and B_T, whether
// the rows of a and the k of b are neighbours, not the other way round; C4, four of c, which kept_c makes; BIAS, whether there is one;
// EPILOGUE, what follows.
const ACROSS: u32 = 2u * SIDE;

var<workgroup> results: array<f32, ACROSS * ACROSS>;

// The squares of a and b whose first element is at `at`; those without T have columns one after the other.
fn left(at: u32) -> LEFT {
    if A_T { return coopLoad<LEFT>(&a[at], p.a_col); }
    return coopLoadT<LEFT>(&a[at], p.a_row);
}

fn right(at: u32) -> RIGHT {
    if B_T { return coopLoad<RIGHT>(&b[at], p.b_col); }
    return coopLoadT<RIGHT>(&b[at], p.b_row);
}

@compute @workgroup_size(LANES)
fn matmul_cooperative(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let here = tile_of(group_of(grid), ACROSS, ACROSS, p);
    // What lies past the last row or column is another square once more, and not stored.
    let rows = min(vec2<u32>(here.row, here.row + SIDE), vec2<u32>(p.m - SIDE)) * p.a_row + here.a;
    let columns = min(vec2<u32>(here.column, here.column + SIDE), vec2<u32>(p.n - SIDE)) * p.b_col + here.b;
    // The grid's spill past the last batch has no k.
    let k_end = select(here.k, here.k_end, here.batch < p.batches);
    var sum00: SUM;
    var sum01: SUM;
    var sum10: SUM;
    var sum11: SUM;
    for (var k = here.k; k < k_end; k += SIDE) {
        let a0 = left(rows.x + k * p.a_col);
        let a1 = left(rows.y + k * p.a_col);
        let b0 = right(columns.x + k * p.b_row);
        let b1 = right(columns.y + k * p.b_row);
        sum00 = coopMultiplyAdd(a0, b0, sum00);
        sum01 = coopMultiplyAdd(a0, b1, sum01);
        sum10 = coopMultiplyAdd(a1, b0, sum10);
        sum11 = coopMultiplyAdd(a1, b1, sum11);
    }
    coopStoreT(sum00, &results[0], ACROSS);
    coopStoreT(sum01, &results[SIDE], ACROSS);
    coopStoreT(sum10, &results[SIDE * ACROSS], ACROSS);
    coopStoreT(sum11, &results[SIDE * ACROSS + SIDE], ACROSS);
    workgroupBarrier();
    for (var quad = thread; quad < ACROSS * ACROSS / 4u; quad += LANES) {
        let at = quad * 4u;
        let y = vec4<f32>(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
        store_row4(here, here.row + at / ACROSS, here.column + at % ACROSS, y);
    }
}
