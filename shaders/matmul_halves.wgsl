// c[b, i, j] = sum over k of a[b, i, k] * b[b, k, j] of halves, multiplied and at first added up as halves: for GPUs that compute
// in f16, twice as fast as in f32
//   a, b: strided matrices of f16 by whole vec4, batches by strides too; c: rows of stride c_row; with several splits of k, c is
//   [splits, batches, m, n], to be added up by a second pass; bias: [n]; other: as c
// The sum of a tile of 32 k is of f16, and meets one of f32: src/ops/matmul/halves.rs says why of 32. k is a multiple of 4.
// A workgroup takes 64 x 64 (LARGE) or 32 x 32 results, 8 or 4 rows of 4 a thread.
// Iterations: one for 32 of at most 8,192 k, and where tiles are ROLLED, 32 in each; 32 for the last, and 8 rows to store.

@group(0) @binding(0) var<storage, read> a: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> bias4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> other4: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c4: array<C4>;
@group(0) @binding(5) var<uniform> p: MatMul;

// Set by the variant: C4, four of c, which kept_c makes; BIAS, whether there is one; EPILOGUE, what follows.

// How a thread reads its four vec4 of each tile of an operand: those of four rows along k, to be turned, or of four k.
struct Reader {
    start: vec4<u32>, past: u32, step: u32,
    // The first of its k, and the way to the next.
    k: u32, k_step: u32,
    quad: u32,
}

// Of rows (or columns) from `first` on, of `size`, `stride` apart if k are neighbours (`along_k`), else neighbours with k
// `stride` apart. Rows past the last repeat others; nothing of them is stored.
fn reader(t: u32, base: u32, k: u32, first: u32, size: u32, stride: u32, along_k: bool) -> Reader {
    var r: Reader;
    let four = vec4<u32>(0u, 1u, 2u, 3u);
    if along_k {
        r.k = t % 8u * 4u; r.quad = t / 8u;
        let row = min(first + r.quad * 4u + four, vec4<u32>(size - 1u));
        r.start = (base + row * stride + k + r.k) / 4u;
        r.step = 8u;
    } else {
        r.k = t / X; r.quad = t % X; r.k_step = 8u;
        r.start = (base + (k + r.k + 8u * four) * stride + min(first + r.quad * 4u, size - 4u)) / 4u;
        r.step = 8u * stride;
    }
    return r;
}

fn read_a(r: Reader) -> Four {
    let at = r.start + r.past;
    return Four(a[at.x], a[at.y], a[at.z], a[at.w]);
}

fn read_b(r: Reader) -> Four {
    let at = r.start + r.past;
    return Four(b[at.x], b[at.y], b[at.z], b[at.w]);
}

// With zeros from the `left`-th k of the tile on.
fn rest_of_a(r: Reader, left: u32) -> Four {
    let at = r.start + r.past;
    let k = r.k + r.k_step * vec4<u32>(0u, 1u, 2u, 3u);
    var f: Four;
    if k.x < left { f.x = a[at.x]; }
    if k.y < left { f.y = a[at.y]; }
    if k.z < left { f.z = a[at.z]; }
    if k.w < left { f.w = a[at.w]; }
    return f;
}

fn rest_of_b(r: Reader, left: u32) -> Four {
    let at = r.start + r.past;
    let k = r.k + r.k_step * vec4<u32>(0u, 1u, 2u, 3u);
    var f: Four;
    if k.x < left { f.x = b[at.x]; }
    if k.y < left { f.y = b[at.y]; }
    if k.z < left { f.z = b[at.z]; }
    if k.w < left { f.w = b[at.w]; }
    return f;
}

fn put(of_a: Reader, fa: Four, of_b: Reader, fb: Four) {
    // No thread may overwrite the tiles while another still reads them.
    workgroupBarrier();
    let to_a = spot(of_a.k, of_a.quad, !A_T);
    let to_b = spot(of_b.k, of_b.quad, B_T);
    if A_T { put_four_a(to_a, 8u * NEXT_A, fa); } else { put_four_a(to_a, NEXT_A, turned(fa)); }
    if B_T { put_four_b(to_b, NEXT_B, turned(fb)); } else { put_four_b(to_b, 8u * NEXT_B, fb); }
    // Both tiles must be whole before any thread multiplies.
    workgroupBarrier();
}

fn product(here: Tile, t: u32) -> Sums {
    var of_a = reader(t, here.a, here.k, here.row, p.m, select(p.a_row, p.a_col, A_T), !A_T);
    var of_b = reader(t, here.b, here.k, here.column, p.n, select(p.b_row, p.b_col, B_T), B_T);
    // The grid's spill past the last batch has no k, and meets the barriers of none.
    let k = select(0u, here.k_end - here.k, here.batch < p.batches);
    var sum: Total;
    for (var tile = 0u; tile < k / 32u; tile++) {
        put(of_a, read_a(of_a), of_b, read_b(of_b));
        of_a.past += of_a.step;
        of_b.past += of_b.step;
        sum = tiles(sum, t);
    }
    let left = k % 32u;
    if left > 0u {
        put(of_a, rest_of_a(of_a, left), of_b, rest_of_b(of_b, left));
        sum = rolled(sum, left, t);
    }
    return own_rows(sum, t);
}

@compute @workgroup_size(8u * X)
fn matmul_halves(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let here = tile_of(group_of(grid), 4u * X, 4u * X, p);
    let sum = product(here, thread);
    let at = vec2<u32>(here.row + thread / X * (X / 2u), here.column + thread % X * 4u);
    for (var r = 0u; r < 4u; r++) { store_row4(here, at.x + r, at.y, sum.top[r]); }
    for (var r = 0u; LARGE && r < 4u; r++) { store_row4(here, at.x + 4u + r, at.y, sum.low[r]); }
}
