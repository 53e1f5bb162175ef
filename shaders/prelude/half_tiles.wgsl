// Stands before the files that multiply tiles of halves in shared memory as halves, for GPUs that compute in f16.
//
// A workgroup of 8 X threads computes 64 x 64 (LARGE) or 32 x 32 results, 8 or 4 rows of 4 a thread, by tiles of 32 k. The sum of a
// tile is of f16, and meets one of f32: src/ops/matmul/halves.rs says why of 32.

// Set by the variant: LARGE; ROLLED, to compile sooner; A_T and B_T, whether the rows of a and the k of b are neighbours where
// they come from, not the other way round.
const X: u32 = select(8u, 16u, LARGE);

// Four rows of a at one k, four columns of b at one k: k by k.
var<workgroup> tile_a: array<vec4<f16>, 32u * X + 32u>;
var<workgroup> tile_b: array<vec4<f16>, 32u * X + 32u>;

// Where four rows or columns lie in a tile: with a pad for turned ones, which eight threads write that are four k apart.
fn spot(k: u32, quad: u32, is_turned: bool) -> u32 { return k * select(X, X + 1u, is_turned) + quad; }

// The way to the next k, and to the next four rows.
const NEXT_A: u32 = select(X + 1u, X, A_T);
const NEXT_B: u32 = select(X, X + 1u, B_T);
const QUAD: u32 = 1u;

fn put_a(at: u32, v: vec4<f16>) { tile_a[at] = v; }
fn put_b(at: u32, v: vec4<f16>) { tile_b[at] = v; }

// Four `step` apart.
fn put_four_a(at: u32, step: u32, f: Four) {
    put_a(at, f.x); put_a(at + step, f.y); put_a(at + 2u * step, f.z); put_a(at + 3u * step, f.w);
}

fn put_four_b(at: u32, step: u32, f: Four) {
    put_b(at, f.x); put_b(at + step, f.y); put_b(at + 2u * step, f.z); put_b(at + 3u * step, f.w);
}

// Four or eight rows of four columns, of a tile and of all k.
struct Part { top: Four, low: Four }
struct Sums { top: mat4x4<f32>, low: mat4x4<f32> }
alias Total = Sums;

fn times(s: Four, a: vec4<f16>, b: vec4<f16>) -> Four {
    return Four(fma(vec4<f16>(a.x), b, s.x), fma(vec4<f16>(a.y), b, s.y), fma(vec4<f16>(a.z), b, s.z),
        fma(vec4<f16>(a.w), b, s.w));
}

fn one_k(s: Part, k: u32, t: u32) -> Part {
    var part = s;
    let y = t / X * (X / 8u);
    let b = tile_b[spot(k, t % X, B_T)];
    part.top = times(part.top, tile_a[spot(k, y, !A_T)], b);
    if LARGE { part.low = times(part.low, tile_a[spot(k, y + 1u, !A_T)], b); }
    return part;
}

fn four_k(s: Part, k: u32, t: u32) -> Part {
    return one_k(one_k(one_k(one_k(s, k, t), k + 1u, t), k + 2u, t), k + 3u, t);
}

fn wide(f: Four) -> mat4x4<f32> {
    return mat4x4<f32>(vec4<f32>(f.x), vec4<f32>(f.y), vec4<f32>(f.z), vec4<f32>(f.w));
}

fn plus(s: Total, part: Part) -> Total {
    var sum = s;
    sum.top += wide(part.top);
    if LARGE { sum.low += wide(part.low); }
    return sum;
}

fn sixteen_k(s: Part, k: u32, t: u32) -> Part {
    return four_k(four_k(four_k(four_k(s, k, t), k + 4u, t), k + 8u, t), k + 12u, t);
}

// `count` k of the tiles, added to s: with a loop, and without.
fn rolled(s: Total, count: u32, t: u32) -> Total {
    var part: Part;
    for (var k = 0u; k < count; k++) { part = one_k(part, k, t); }
    return plus(s, part);
}

fn tiles(s: Total, t: u32) -> Total {
    if ROLLED { return rolled(s, 32u, t); }
    return plus(s, sixteen_k(sixteen_k(Part(), 0u, t), 16u, t));
}

// What a thread stores.
fn own_rows(s: Total, t: u32) -> Sums { return s; }
