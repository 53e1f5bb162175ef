// Stands before the files of attention in the place of attention_tiles.wgsl, with the same names: products of rows, and of weights
// with rows, are of halves, by the units that GPUs have for small matrices, which add up in f32.
//
// Rows lie in shared memory as halves, DEPTH numbers or DEPTH rows at a time. Subgroups take squares in turn, whose sums stay in
// shared memory from part to part, and each thread picks its own from there. A tile takes at most 8 iterations for each of its
// other rows.

// Set by the variant: SIDE of a square; the types LEFT, RIGHT and SUM of squares; LANES of a subgroup.
const DEPTH: u32 = select(32u, 16u, X == 32u);
const SUBGROUPS: u32 = THREADS / LANES;
// Numbers of a row of results.
const WIDTH: u32 = 4u * X;
const MOST: u32 = max(OTHER, WIDTH);

// From row to row, 16 bytes more than there are, so that neighbours in memory are no neighbours in banks.
const PART: u32 = DEPTH + 8u;
const ACROSS: u32 = WIDTH + 8u;
const ALONG: u32 = OTHER + 8u;

// DEPTH numbers of own rows and then of others, or whole other rows, DEPTH of them.
var<workgroup> rows: array<f16, max((OWN + OTHER) * PART, DEPTH * ACROSS)>;
// Own row by own row, one for each other row.
var<workgroup> weights: array<f16, OWN * ALONG>;
// Own row by own row.
var<workgroup> results: array<f32, OWN * MOST>;
// What the threads of a row tell each other.
var<workgroup> chunk: array<vec4<f32>, THREADS>;

fn put_row4(at: u32, value: vec4<f32>, is_there: bool) {
    let v = select(vec4<f16>(), vec4<f16>(value), is_there);
    rows[at] = v.x; rows[at + 1u] = v.y; rows[at + 2u] = v.z; rows[at + 3u] = v.w;
}

// The products of a thread's own rows with other rows from j on, a column for each of these.
fn products(second: bool, own: Rows, start: u32, other: Rows, j: u32, t: u32) -> mat4x4<f32> {
    for (var d = 0u; d < p.quads; d += DEPTH / 4u) {
        // All must be done with the rows before they are overwritten.
        workgroupBarrier();
        for (var i = t; i < (OWN + OTHER) * (DEPTH / 4u); i += THREADS) {
            let row = i / (DEPTH / 4u);
            let quad = d + i % (DEPTH / 4u);
            let at = row * PART + i % (DEPTH / 4u) * 4u;
            let inside = min(quad, p.quads - 1u);
            if row < OWN {
                put_row4(at, own_at(second, start_of(own, start + row) + inside), quad < p.quads);
            } else {
                put_row4(at, other_at(second, start_of(other, j + row - OWN) + inside), quad < p.quads);
            }
        }
        // They must be whole before any of them is read.
        workgroupBarrier();
        for (var square = t / LANES; square < OWN / SIDE * (OTHER / SIDE); square += SUBGROUPS) {
            let y = square / (OTHER / SIDE) * SIDE;
            let x = square % (OTHER / SIDE) * SIDE;
            let at = y * MOST + x;
            var sum: SUM;
            // A loop of one turn: naga takes a branch for one that lanes may part at.
            for (var more = d; more > 0u; more = 0u) { sum = coopLoadT<SUM>(&results[at], MOST); }
            for (var k = 0u; k < DEPTH; k += SIDE) {
                let a = coopLoadT<LEFT>(&rows[y * PART + k], PART);
                let b = coopLoad<RIGHT>(&rows[(OWN + x) * PART + k], PART);
                sum = coopMultiplyAdd(a, b, sum);
            }
            coopStoreT(sum, &results[at], MOST);
        }
    }
    // A square lies in many threads.
    workgroupBarrier();
    var s = mat4x4<f32>();
    let at = t / X * MOST;
    for (var k = 0u; k < KEYS; k++) { s[k] = column_at(at + column(k, t)); }
    return s;
}

// A result of each of a thread's own rows.
fn column_at(at: u32) -> vec4<f32> {
    return vec4<f32>(
        results[at], results[at + Y * MOST], results[at + 2u * Y * MOST], results[at + 3u * Y * MOST],
    );
}

// Leaves weights for `mix`, a column for each other row of the thread.
fn keep(s: mat4x4<f32>, t: u32) {
    for (var k = 0u; k < KEYS; k++) {
        let at = t / X * ALONG + column(k, t);
        let v = vec4<f16>(s[k]);
        weights[at] = v.x;
        weights[at + Y * ALONG] = v.y;
        weights[at + 2u * Y * ALONG] = v.z;
        weights[at + 3u * Y * ALONG] = v.w;
    }
}

// A vec4 of a result of one of a thread's own rows.
fn quad_at(at: u32) -> vec4<f32> { return vec4<f32>(results[at], results[at + 1u], results[at + 2u], results[at + 3u]); }

// Other rows from j on, by the weights, added to the thread's vec4 of four results.
fn mix(sums: mat4x4<f32>, second: bool, other: Rows, j: u32, t: u32) -> mat4x4<f32> {
    let quad = min(t % X, p.quads - 1u);
    for (var l = 0u; l < OTHER; l += DEPTH) {
        // All must be done with the rows before they are overwritten; the weights must be whole.
        workgroupBarrier();
        for (var i = t / X; i < DEPTH; i += Y) {
            let row = j + l + i;
            // Past the last one nothing is added, whatever the last one holds.
            put_row4(i * ACROSS + t % X * 4u, other_at(second, start_of(other, row) + quad), row < other.count);
        }
        // They must be whole before any of them is read.
        workgroupBarrier();
        for (var square = t / LANES; square < OWN / SIDE * (WIDTH / SIDE); square += SUBGROUPS) {
            let y = square / (WIDTH / SIDE) * SIDE;
            let x = square % (WIDTH / SIDE) * SIDE;
            let at = y * MOST + x;
            var sum: SUM;
            for (var more = l; more > 0u; more = 0u) { sum = coopLoadT<SUM>(&results[at], MOST); }
            for (var k = 0u; k < DEPTH; k += SIDE) {
                let a = coopLoadT<LEFT>(&weights[y * ALONG + l + k], ALONG);
                let b = coopLoadT<RIGHT>(&rows[k * ACROSS + x], ACROSS);
                sum = coopMultiplyAdd(a, b, sum);
            }
            coopStoreT(sum, &results[at], MOST);
        }
    }
    // A square lies in many threads.
    workgroupBarrier();
    let at = t / X * MOST + t % X * 4u;
    return sums + mat4x4<f32>(
        quad_at(at), quad_at(at + Y * MOST), quad_at(at + 2u * Y * MOST), quad_at(at + 3u * Y * MOST),
    );
}
