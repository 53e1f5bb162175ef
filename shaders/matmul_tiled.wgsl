// c[b, i, j] = sum over k of a[b, i, k] * b[b, k, j], with tiles in shared memory: for GPUs
//   a, b: strided matrices, batches by strides too; c: rows of stride c_row; with several splits of k, c is
//   [splits, batches, m, n], to be added up by a second pass; bias: [n]; other: as c; sums: [splits, m], of a's rows
// A workgroup takes 64 x 64 (LARGE) or 32 x 32 results: whole turns of 16, 32 or 64 k without a guard, then the rest.
// Iterations: a turn for 16, 32 or 64 of at most 8,192 k, those for 16 (ROLLED) of 5, then 4 tiles of k at most, of 5;
// 8 more with SUMS, and 8 rows to store.

@group(0) @binding(0) var<storage, read> a: array<A>;
@group(0) @binding(1) var<storage, read> b: array<B>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> bias4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(3) var<storage, read> other4: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> c4: array<C4>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;
@group(0) @binding(6) var<uniform> p: MatMul;

// Set by the variant, beside what stands before: A_VEC and B_VEC, whether four elements are read at once, and A and B, what is,
// with four_a, which makes f32 of it, and a_at, one element; C4, four of c, which kept_c makes; SUMS, whether the rows of a are summed too (with A_T only); BIAS, whether there is one; EPILOGUE, what
// follows.
const FOUR: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// How a thread reads its two vec4 of each tile of an operand.
struct Reader {
    start: vec2<u32>,    // both in the first tile, in vec4 where whole ones can be read, else in elements
    four: vec4<u32>,     // the elements of one
    step: u32, past: u32,  // the way to the next tile, and to the one at hand: the same for all threads
    k: vec2<u32>, k_step: u32,  // the first k of each in a tile, the way to the next k
    to: vec2<u32>,       // where each goes in shared memory
}

var<private> reads_a: Reader; var<private> reads_b: Reader;
// With SUMS, of the four rows that this thread reads.
var<private> of_rows: vec4<f32>;

// Of rows (or columns) from `first` on, of `size`, `stride` apart if k are neighbours (`along_k`), else neighbours with
// k `stride` apart. Rows past the last repeat others; nothing of them is stored.
fn reader(t: u32, base: u32, k: u32, first: u32, size: u32, stride: u32, along_k: bool, vec: bool) -> Reader {
    var r: Reader;
    let unit = select(1u, 4u, vec);
    r.four = FOUR; r.to = vec2<u32>(t, t + 8u * X);
    if along_k {
        let row = min(first + t / 4u + vec2<u32>(0u, 2u * X), vec2<u32>(size - 1u));
        r.k = vec2<u32>(t % 4u * 4u); r.k_step = 1u;
        r.start = (base + row * stride + k + r.k) / unit;
        r.step = 16u / unit;
    } else {
        let row = first + t % X * 4u;
        r.k = t / X + vec2<u32>(0u, 8u);
        r.start = (base + (k + r.k) * stride) / unit;
        if vec { r.start += min(row, size - 4u) / 4u; } else { r.four = min(row + FOUR, vec4<u32>(size - 1u)); }
        r.step = 16u * stride / unit;
    }
    return r;
}

fn a_or_0(at: u32, inside: bool) -> f32 { if inside { return a_at(at); } return 0.0; }
fn b_or_0(at: u32, inside: bool) -> f32 { if inside { return b_at(at); } return 0.0; }

fn read_a(start: u32) -> vec4<f32> {
    let at = start + reads_a.past;
    if A_VEC { return four_a(a[at]); }
    let one = at + reads_a.four;
    return vec4<f32>(a_at(one.x), a_at(one.y), a_at(one.z), a_at(one.w));
}

fn read_b(start: u32) -> vec4<f32> {
    let at = start + reads_b.past;
    if B_VEC { return four_b(b[at]); }
    let one = at + reads_b.four;
    return vec4<f32>(b_at(one.x), b_at(one.y), b_at(one.z), b_at(one.w));
}

// With zeros from the `left`-th k of the tile on.
fn rest_of_a(start: u32, k: u32, left: u32) -> vec4<f32> {
    let one = (start + reads_a.past) * select(1u, 4u, A_VEC) + reads_a.four;
    let inside = k + FOUR * reads_a.k_step < vec4<u32>(left);
    let y = vec2<f32>(a_or_0(one.x, inside.x), a_or_0(one.y, inside.y));
    return vec4<f32>(y, a_or_0(one.z, inside.z), a_or_0(one.w, inside.w));
}

fn rest_of_b(start: u32, k: u32, left: u32) -> vec4<f32> {
    let one = (start + reads_b.past) * select(1u, 4u, B_VEC) + reads_b.four;
    let inside = k + FOUR * reads_b.k_step < vec4<u32>(left);
    let y = vec2<f32>(b_or_0(one.x, inside.x), b_or_0(one.y, inside.y));
    return vec4<f32>(y, b_or_0(one.z, inside.z), b_or_0(one.w, inside.w));
}

fn put(a0: vec4<f32>, a1: vec4<f32>, b0: vec4<f32>, b1: vec4<f32>) {
    // No thread may overwrite the tiles while another still reads them.
    workgroupBarrier();
    tile_a[reads_a.to.x] = a0;
    tile_a[reads_a.to.y] = a1;
    tile_b[reads_b.to.x] = b0;
    tile_b[reads_b.to.y] = b1;
    // Both tiles must be whole before any thread multiplies.
    workgroupBarrier();
    // Read back: what was loaded for the tile stays in whole vec4 of registers.
    if SUMS { of_rows += tile_a[reads_a.to.x] + tile_a[reads_a.to.y]; }
    reads_a.past += reads_a.step;
    reads_b.past += reads_b.step;
}

fn next(s: Sums, t: u32) -> Sums {
    put(read_a(reads_a.start.x), read_a(reads_a.start.y), read_b(reads_b.start.x), read_b(reads_b.start.y));
    return tiles(s, t);
}

fn product(here: Tile, t: u32) -> Sums {
    reads_a = reader(t, here.a, here.k, here.row, p.m, select(p.a_row, p.a_col, A_T), !A_T, A_VEC);
    reads_b = reader(t, here.b, here.k, here.column, p.n, select(p.b_row, p.b_col, B_T), B_T, B_VEC);
    if B_T { reads_b.to = vec2<u32>(mixed(t / 4u, t % 4u), mixed(t / 4u + 2u * X, t % 4u)); }
    // The grid's spill past the last batch has no k, and meets the barriers of none.
    let k = select(0u, here.k_end - here.k, here.batch < p.batches);
    var sum: Sums;
    for (var step = 0u; step < k / TURN; step++) {
        var part = next(Sums(), t);
        if !ROLLED { part = next(part, t); }
        if !ROLLED && !LARGE { part = next(next(part, t), t); }
        sum = plus(sum, part);
    }
    for (var done = k / TURN * TURN; done < k; done += 16u) {
        let left = k - done;
        put(
            rest_of_a(reads_a.start.x, reads_a.k.x, left), rest_of_a(reads_a.start.y, reads_a.k.y, left),
            rest_of_b(reads_b.start.x, reads_b.k.x, left), rest_of_b(reads_b.start.y, reads_b.k.y, left),
        );
        sum = rolled(sum, t);
    }
    return sum;
}

// Each thread has a part of the sums of four rows; eight parts make them whole.
fn store_sums(here: Tile, t: u32) {
    // No thread may overwrite the tile while another still reads it.
    workgroupBarrier();
    tile_a[t] = of_rows;
    // All parts must be there before they are added up.
    workgroupBarrier();
    if here.batch >= p.batches || here.column > 0u || t >= 4u * X || here.row + t >= p.m { return; }
    var sum = 0.0;
    for (var part = 0u; part < 8u; part++) { sum += tile_a[part * X + t / 4u][t % 4u]; }
    sums[here.k / p.k_split * p.m + here.row + t] = sum;
}

fn store_one(at: u32, j: u32, y: f32) {
    if j >= p.n { return; }
    var sum = vec4<f32>(y); var more = vec4<f32>();
    if BIAS { sum += bias[j]; }
    if EPILOGUE > 1u { more.x = other[at]; }
    c[at] = epilogue4(EPILOGUE, sum, more).x;
}

fn store_row(here: Tile, i: u32, j: u32, y: vec4<f32>) {
    if i >= p.m || here.batch >= p.batches { return; }
    let at = here.c + i * p.c_row + j;
    for (var e = 0u; e < 4u; e++) { store_one(at + e, j + e, y[e]); }
}

@compute @workgroup_size(8u * X)
fn matmul_tiled(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let here = tile_of(group_of(grid), 4u * X, 4u * X, p);
    let sum = product(here, thread);
    let at = vec2<u32>(here.row + thread / X * (X / 2u), here.column + thread % X * 4u);
    for (var r = 0u; r < 4u; r++) { store_row(here, at.x + r, at.y, sum.top[r]); }
    for (var r = 0u; LARGE && r < 4u; r++) { store_row(here, at.x + 4u + r, at.y, sum.low[r]); }
    if SUMS { store_sums(here, thread); }
}

@compute @workgroup_size(8u * X)
fn matmul_tiled_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let here = tile_of(group_of(grid), 4u * X, 4u * X, p);
    let sum = product(here, thread);
    let at = vec2<u32>(here.row + thread / X * (X / 2u), here.column + thread % X * 4u);
    for (var r = 0u; r < 4u; r++) { store_row4(here, at.x + r, at.y, sum.top[r]); }
    for (var r = 0u; LARGE && r < 4u; r++) { store_row4(here, at.x + 4u + r, at.y, sum.low[r]); }
    if SUMS { store_sums(here, thread); }
}
