// out[row, c * keep + r] = the place of the candidate of chunk c that r others of the chunk come before
//   x: [rows, n]; candidates: [rows, count], places in their rows, -1 where there is none; in the first stage all n
//   places themselves; out: [rows, chunks * keep], -1 where a chunk has fewer
// NaN counts as larger than all else, equal ones come in order of their places. An invocation takes a candidate and
// counts those before it: as many iterations as a chunk has, at most 32,768. `topk_merge` makes one of two sorted chunks:
// an invocation takes a candidate and looks for its place in the other half, in at most 31 iterations.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> candidates: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<i32>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    rows: u32,
    n: u32,
    k: u32,
    largest: u32,
    count: u32,
    chunk: u32,
    chunks: u32,
    keep: u32,
    first: u32,
}

fn candidate(row: u32, at: u32) -> i32 {
    if at >= p.count { return -1; }
    if p.first == 1u { return i32(at); }
    return candidates[row * p.count + at];
}

// Numbers in the order of floats, NaN last: of negative ones the bits count backwards. Both zeros are one.
fn order(value: f32) -> u32 {
    var bits = bitcast<u32>(value);
    if (bits & 0x7fffffffu) > 0x7f800000u { return 0xffffffffu; }
    if bits == 0x80000000u { bits = 0u; }
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// What is looked for has the larger key.
fn key(row: u32, place: i32) -> u32 {
    let o = order(x[row * p.n + u32(place)]);
    return select(~o, o, p.largest == 1u);
}

@compute @workgroup_size(64)
fn topk(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    let group = divide(at, p.chunk);
    let row = divide(group, p.chunks);
    if row >= p.rows { return; }
    let c = group - row * p.chunks;
    let i = at - group * p.chunk;
    let start = c * p.chunk;
    let own = candidate(row, start + i);
    let own_key = key(row, max(own, 0));
    var before = 0u;
    var all = 0u;
    for (var j = 0u; j < p.chunk; j++) {
        let other = candidate(row, start + j);
        if other < 0 { continue; }
        all += 1u;
        let other_key = key(row, other);
        if other_key > own_key || (other_key == own_key && other < own) { before += 1u; }
    }
    let to = (row * p.chunks + c) * p.keep;
    if own >= 0 && before < p.keep { out[to + before] = own; }
    if i >= all && i < p.keep { out[to + i] = -1; }
}

// Whether candidate a of a row comes before b; one that is none comes last.
fn precedes(row: u32, a: i32, b: i32) -> bool {
    if a < 0 || b < 0 { return a >= 0; }
    let key_a = key(row, a);
    let key_b = key(row, b);
    return key_a > key_b || (key_a == key_b && a < b);
}

@compute @workgroup_size(64)
fn topk_merge(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    let group = divide(at, p.chunk);
    let row = divide(group, p.chunks);
    if row >= p.rows { return; }
    let c = group - row * p.chunks;
    let i = at - group * p.chunk;
    let half = p.chunk / 2u;
    let start = c * p.chunk;
    let own = candidate(row, start + i);
    let is_left = i < half;
    let other = start + select(0u, half, is_left);
    // Those of the other half that come before lie between its start and `low`; none of the right half that is none does.
    var low = 0u;
    var high = half;
    while low < high {
        let middle = (low + high) / 2u;
        let found = candidate(row, other + middle);
        let before = precedes(row, found, own) || (own < 0 && !is_left);
        low = select(low, middle + 1u, before);
        high = select(middle, high, before);
    }
    let place = select(i - half, i, is_left) + low;
    if place < p.keep { out[(row * p.chunks + c) * p.keep + place] = own; }
}
