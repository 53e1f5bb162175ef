// Stands before the files that multiply tiles of halves in shared memory by the units that GPUs have for small matrices, which add up
// in f32; in the place of half_tiles.wgsl.
//
// A workgroup of 128 threads computes 64 x 64 results by tiles of 32 k. Each subgroup has BLOCKS blocks of 2 x 2 squares, SIDE x SIDE
// results each, and at last each thread stores 8 rows of 4.

// Set by the variant: SIDE; the types LEFT, RIGHT and SUM of squares; LANES of a subgroup.
const X: u32 = 16u;
const LARGE: bool = true;
const ACROSS: u32 = 2u * SIDE;
// Blocks in a row of them, and those of a subgroup: 1, 2 or 4.
const PER_ROW: u32 = 64u / ACROSS;
const BLOCKS: u32 = PER_ROW * PER_ROW / (128u / LANES);

// 64 rows of a at one k, 64 columns of b at one k, k by k, 16 bytes apart from bank to bank.
const NEXT: u32 = 72u;
var<workgroup> tile_a: array<f16, 32u * NEXT>;
var<workgroup> tile_b: array<f16, 32u * NEXT>;
var<workgroup> results: array<f32, 4096u>;

fn spot(k: u32, quad: u32, is_turned: bool) -> u32 { return k * NEXT + quad * 4u; }

const NEXT_A: u32 = NEXT;
const NEXT_B: u32 = NEXT;
const QUAD: u32 = 4u;

fn put_a(at: u32, v: vec4<f16>) {
    tile_a[at] = v.x; tile_a[at + 1u] = v.y; tile_a[at + 2u] = v.z; tile_a[at + 3u] = v.w;
}

fn put_b(at: u32, v: vec4<f16>) {
    tile_b[at] = v.x; tile_b[at + 1u] = v.y; tile_b[at + 2u] = v.z; tile_b[at + 3u] = v.w;
}

// Four `step` apart.
fn put_four_a(at: u32, step: u32, f: Four) {
    put_a(at, f.x); put_a(at + step, f.y); put_a(at + 2u * step, f.z); put_a(at + 3u * step, f.w);
}

fn put_four_b(at: u32, step: u32, f: Four) {
    put_b(at, f.x); put_b(at + step, f.y); put_b(at + 2u * step, f.z); put_b(at + 3u * step, f.w);
}

struct Sums { top: mat4x4<f32>, low: mat4x4<f32> }
// A block, and those of a subgroup.
struct Block { s00: SUM, s01: SUM, s10: SUM, s11: SUM }
struct Total { b0: Block, b1: Block, b2: Block, b3: Block }

// The first row and column of a block.
fn corner(block: u32) -> vec2<u32> { return vec2<u32>(block / PER_ROW, block % PER_ROW) * ACROSS; }

fn one_block(s: Block, block: u32, k: u32) -> Block {
    var sum = s;
    let at = corner(block) + k * NEXT;
    let a0 = coopLoad<LEFT>(&tile_a[at.x], NEXT);
    let a1 = coopLoad<LEFT>(&tile_a[at.x + SIDE], NEXT);
    let b0 = coopLoadT<RIGHT>(&tile_b[at.y], NEXT);
    let b1 = coopLoadT<RIGHT>(&tile_b[at.y + SIDE], NEXT);
    sum.s00 = coopMultiplyAdd(a0, b0, sum.s00);
    sum.s01 = coopMultiplyAdd(a0, b1, sum.s01);
    sum.s10 = coopMultiplyAdd(a1, b0, sum.s10);
    sum.s11 = coopMultiplyAdd(a1, b1, sum.s11);
    return sum;
}

// `count` k of the tiles, added to s; where they end within a square, zeros follow.
fn rolled(s: Total, count: u32, t: u32) -> Total {
    var sum = s;
    let first = t / LANES * BLOCKS;
    for (var k = 0u; k < count; k += SIDE) {
        sum.b0 = one_block(sum.b0, first, k);
        if BLOCKS > 1u { sum.b1 = one_block(sum.b1, first + 1u, k); }
        if BLOCKS > 2u { sum.b2 = one_block(sum.b2, first + 2u, k); }
        if BLOCKS > 2u { sum.b3 = one_block(sum.b3, first + 3u, k); }
    }
    return sum;
}

fn tiles(s: Total, t: u32) -> Total { return rolled(s, 32u, t); }

fn put_block(s: Block, block: u32) {
    let corner = corner(block);
    let at = corner.x * 64u + corner.y;
    coopStoreT(s.s00, &results[at], 64u);
    coopStoreT(s.s01, &results[at + SIDE], 64u);
    coopStoreT(s.s10, &results[at + SIDE * 64u], 64u);
    coopStoreT(s.s11, &results[at + SIDE * 64u + SIDE], 64u);
}

fn four_rows(row: u32, quad: u32) -> mat4x4<f32> {
    var rows: mat4x4<f32>;
    for (var r = 0u; r < 4u; r++) {
        let at = (row + r) * 64u + quad * 4u;
        rows[r] = vec4<f32>(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
    }
    return rows;
}

// What a thread stores. All threads of the workgroup are here together.
fn own_rows(s: Total, t: u32) -> Sums {
    let first = t / LANES * BLOCKS;
    put_block(s.b0, first);
    if BLOCKS > 1u { put_block(s.b1, first + 1u); }
    if BLOCKS > 2u { put_block(s.b2, first + 2u); }
    if BLOCKS > 2u { put_block(s.b3, first + 3u); }
    // Squares lie in many threads' rows.
    workgroupBarrier();
    let row = t / X * 8u;
    return Sums(four_rows(row, t % X), four_rows(row + 4u, t % X));
}
