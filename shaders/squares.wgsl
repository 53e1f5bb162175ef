// c = a b, added up a few times, for one square, as half_squares.wgsl multiplies: judges a driver's matrix units before they are trusted
//   a, b: [SIDE, SIDE] of f16 by rows; c: of f32
// Iterations: SIDE x SIDE / LANES to fill and to store, and the 2 that the host asks for.

@group(0) @binding(0) var<storage, read> a: array<f16>;
@group(0) @binding(1) var<storage, read> b: array<f16>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> p: Squares;

// Unknown to the compiler, as the k of a product.
struct Squares { times: u32 }

// Set by the host: SIDE; the types LEFT, RIGHT and SUM of squares; LANES of a subgroup.
const NEXT: u32 = 72u;

// a by columns, b by rows.
var<workgroup> tile_a: array<f16, SIDE * NEXT>;
var<workgroup> tile_b: array<f16, SIDE * NEXT>;
var<workgroup> results: array<f32, SIDE * SIDE>;

@compute @workgroup_size(LANES)
fn squares(@builtin(local_invocation_index) t: u32) {
    for (var at = t; at < SIDE * SIDE; at += LANES) {
        tile_a[at % SIDE * NEXT + at / SIDE] = a[at];
        tile_b[at / SIDE * NEXT + at % SIDE] = b[at];
    }
    // Both tiles must be whole before they are multiplied.
    workgroupBarrier();
    var sum: SUM;
    for (var i = 0u; i < p.times; i++) {
        sum = coopMultiplyAdd(coopLoad<LEFT>(&tile_a[0], NEXT), coopLoadT<RIGHT>(&tile_b[0], NEXT), sum);
    }
    coopStoreT(sum, &results[0], SIDE);
    // A square lies in many threads.
    workgroupBarrier();
    for (var at = t; at < SIDE * SIDE; at += LANES) { c[at] = results[at]; }
}
