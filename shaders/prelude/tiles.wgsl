// Stands before the files that multiply tiles in shared memory, for GPUs.
//
// A workgroup of 8 X threads computes 64 x 64 (LARGE) or 32 x 32 results, 8 or 4 rows of 4 a thread, by tiles of 16 k.
// A turn of 16 (ROLLED), 32 or 64 k has no loop inside, and is added up before it meets the sum: much less rounding than
// in one long chain.

// Set by the variant: LARGE; ROLLED, to compile sooner: turns of one tile, with a loop inside; A_T and B_T, whether the
// rows of a and the k of b are neighbours where they come from, not the other way round.
const X: u32 = select(8u, 16u, LARGE);
const TURN: u32 = select(select(64u, 32u, LARGE), 16u, ROLLED);

// Four k of a row, row by row; with A_T four rows at one k, k by k. No pad: threads that read at once read one vec4.
var<workgroup> tile_a: array<vec4<f32>, 16u * X>;
// Four columns at one k, k by k. With B_T four k of a column: columns by their place in a vec4 first, and a column's
// vec4 in an order of its own, so that neighbouring threads meet different banks.
var<workgroup> tile_b: array<vec4<f32>, 16u * X>;

// Where vec4 `quad` of column j lies in the tile of b, if it was read along k.
fn mixed(j: u32, quad: u32) -> u32 { return (j % 4u * X + j / 4u) * 4u + (quad ^ (j / 8u % 4u)); }

// Four k of four columns from 4 x on, a vec4 for each k.
fn from_b(quad: u32, x: u32) -> mat4x4<f32> {
    if B_T {
        let at = mixed(x * 4u, quad);
        return transpose(mat4x4<f32>(tile_b[at], tile_b[at + 4u * X], tile_b[at + 8u * X], tile_b[at + 12u * X]));
    }
    let at = quad * 4u * X + x;
    return mat4x4<f32>(tile_b[at], tile_b[at + X], tile_b[at + 2u * X], tile_b[at + 3u * X]);
}

// Four k of four rows from 4 y on, a vec4 for each row.
fn from_a(quad: u32, y: u32) -> mat4x4<f32> {
    if A_T {
        let at = quad * 4u * X + y;
        return transpose(mat4x4<f32>(tile_a[at], tile_a[at + X], tile_a[at + 2u * X], tile_a[at + 3u * X]));
    }
    let at = y * 16u + quad;
    return mat4x4<f32>(tile_a[at], tile_a[at + 4u], tile_a[at + 8u], tile_a[at + 12u]);
}

// Four or eight rows of four columns.
struct Sums { top: mat4x4<f32>, low: mat4x4<f32> }

fn plus(s: Sums, t: Sums) -> Sums { return Sums(s.top + t.top, s.low + t.low); }

fn dot4(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    let half = fma(vec4<f32>(a.y), b[1], fma(vec4<f32>(a.x), b[0], sum));
    return fma(vec4<f32>(a.w), b[3], fma(vec4<f32>(a.z), b[2], half));
}

fn multiply(s: mat4x4<f32>, a: mat4x4<f32>, b: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(dot4(s[0], a[0], b), dot4(s[1], a[1], b), dot4(s[2], a[2], b), dot4(s[3], a[3], b));
}

// Four k of the tiles, added to s.
fn four_k(s: Sums, quad: u32, t: u32) -> Sums {
    var sum = s;
    let b = from_b(quad, t % X);
    let y = t / X * (X / 8u);
    sum.top = multiply(s.top, from_a(quad, y), b);
    if LARGE { sum.low = multiply(s.low, from_a(quad, y + 1u), b); }
    return sum;
}

// The tiles, added to s: with a loop, and without.
fn rolled(s: Sums, t: u32) -> Sums {
    var sum = s;
    for (var quad = 0u; quad < 4u; quad++) { sum = four_k(sum, quad, t); }
    return sum;
}

fn tiles(s: Sums, t: u32) -> Sums {
    if ROLLED { return rolled(s, t); }
    return four_k(four_k(four_k(four_k(s, 0u, t), 1u, t), 2u, t), 3u, t);
}
