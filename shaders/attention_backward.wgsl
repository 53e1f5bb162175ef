// The gradients of attention, weights recomputed from lse: P = exp(scale q k^T - lse), dS = P (dy v^T - delta),
//   dq = scale dS k, and dk = scale dS^T q, dv = P^T dy; delta = the sum of dy y over each row
//   own and other are q and dy beside k and v for dq, the other way round for dk and dv, by strides as in Attention;
//   y: as q; lse, delta: [batch, queries, heads]; grads: dq, dk and dv, each by strides
// A workgroup takes 64 own rows of a head, one an invocation, which keeps them and their gradients in registers;
// TILE other rows at a time lie in shared memory. A causal mask leaves out the tiles in which it hides all. A pass
// takes as many other rows as 60,000 iterations allow, the next adds to what it left.

@group(0) @binding(0) var<storage, read> own_a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> own_b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> other_a: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> other_b: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> grads: array<vec4<f32>>;
@group(0) @binding(8) var<uniform> p: Attention;

struct Attention {
    queries: u32,
    keys: u32,
    heads: u32,
    batch: u32,
    scale: f32,
    causal: u32,
    quads: u32,
    lanes: u32,
    // The keys, or for dk and dv the queries, of one pass; passes after the first go on from what is there.
    first: u32,
    end: u32,
    pad_0: u32,
    pad_1: u32,
    // The first vec4 and the strides of batch, head and row, in vec4, of each operand.
    q: vec4<u32>,
    k: vec4<u32>,
    v: vec4<u32>,
    y: vec4<u32>,
    dy: vec4<u32>,
    dq: vec4<u32>,
    dk: vec4<u32>,
    dv: vec4<u32>,
}

// Set by the variant: D4, the vec4 of a row, at most 32; TILE, other rows at a time: 15 KiB hold 480 / D4.

var<workgroup> a_here: array<vec4<f32>, TILE * D4>;
var<workgroup> b_here: array<vec4<f32>, TILE * D4>;
// lse and delta of the other rows.
var<workgroup> of_rows: array<vec2<f32>, TILE>;

// Where a workgroup works: the head, counted over the batch, and the first own row.
struct Place {
    batch: u32,
    head: u32,
    start: u32,
    // Not a group past the last.
    is_there: bool,
}

// A group past the last works on the last again and writes nothing, so that every barrier is met by all.
fn place_of(number: u32, rows: u32) -> Place {
    let blocks = (rows + 63u) / 64u;
    let count = blocks * p.heads * p.batch;
    let group = min(number, count - 1u);
    let both = group / blocks;
    let batch = both / p.heads;
    return Place(batch, both - batch * p.heads, (group - both * blocks) * 64u, number < count);
}

fn first_of(at: vec4<u32>, place: Place) -> u32 {
    return at.x + place.batch * at.y + place.head * at.z;
}

// What passes before this one left is added.
fn put(at: u32, value: vec4<f32>) {
    if p.first > 0u { grads[at] += value; } else { grads[at] = value; }
}

// Where lse and delta of a query are.
fn of_query(place: Place, row: u32) -> u32 {
    return (place.batch * p.queries + row) * p.heads + place.head;
}

// Own rows are queries.
@compute @workgroup_size(64)
fn attention_backward_queries(grid: Grid) {
    let place = place_of(group_of(grid), p.queries);
    let i = place.start + grid.thread;
    let row = min(i, p.queries - 1u);
    var query: array<vec4<f32>, D4>;
    var slope: array<vec4<f32>, D4>;
    var dq: array<vec4<f32>, D4>;
    var along = vec4<f32>();
    for (var d = 0u; d < D4; d++) {
        query[d] = own_a[first_of(p.q, place) + row * p.q.w + d] * p.scale;
        slope[d] = own_b[first_of(p.dy, place) + row * p.dy.w + d];
        along += slope[d] * y[first_of(p.y, place) + row * p.y.w + d];
        dq[d] = vec4<f32>();
    }
    let shift = dot(along, vec4<f32>(1.0));
    let of_row = lse[of_query(place, row)];
    if i < p.queries && place.is_there { delta[of_query(place, row)] = shift; }
    let last = select(p.end - 1u, min(i, p.end - 1u), p.causal == 1u);
    var end = p.end;
    if p.causal == 1u { end = min(end, place.start + 64u); }
    for (var j = p.first; j < end; j += TILE) {
        // All must be done with the last tile before it is overwritten.
        workgroupBarrier();
        for (var at = grid.thread; at < TILE * D4; at += 64u) {
            let source = min(j + at / D4, p.keys - 1u);
            a_here[at] = other_a[first_of(p.k, place) + source * p.k.w + at % D4];
            b_here[at] = other_b[first_of(p.v, place) + source * p.v.w + at % D4];
        }
        // The tile must be whole before any of it is read.
        workgroupBarrier();
        for (var l = 0u; l < TILE; l++) {
            var s = vec4<f32>();
            var t = vec4<f32>();
            for (var d = 0u; d < D4; d++) {
                s += query[d] * a_here[l * D4 + d];
                t += slope[d] * b_here[l * D4 + d];
            }
            let weight = exp(dot(s, vec4<f32>(1.0)) - of_row);
            let ds = select(0.0, weight * (dot(t, vec4<f32>(1.0)) - shift), j + l <= last);
            for (var d = 0u; d < D4; d++) { dq[d] += ds * a_here[l * D4 + d]; }
        }
    }
    if i < p.queries && place.is_there {
        for (var d = 0u; d < D4; d++) { put(first_of(p.dq, place) + row * p.dq.w + d, dq[d] * p.scale); }
    }
}

// Own rows are keys.
@compute @workgroup_size(64)
fn attention_backward_keys(grid: Grid) {
    let place = place_of(group_of(grid), p.keys);
    let j = place.start + grid.thread;
    let row = min(j, p.keys - 1u);
    var key: array<vec4<f32>, D4>;
    var value: array<vec4<f32>, D4>;
    var dk: array<vec4<f32>, D4>;
    var dv: array<vec4<f32>, D4>;
    for (var d = 0u; d < D4; d++) {
        key[d] = own_a[first_of(p.k, place) + row * p.k.w + d] * p.scale;
        value[d] = own_b[first_of(p.v, place) + row * p.v.w + d];
        dk[d] = vec4<f32>();
        dv[d] = vec4<f32>();
    }
    let first = select(0u, j, p.causal == 1u);
    let begin = select(p.first, max(p.first, place.start), p.causal == 1u);
    for (var i = begin; i < p.end; i += TILE) {
        // All must be done with the last tile before it is overwritten.
        workgroupBarrier();
        for (var at = grid.thread; at < TILE * D4; at += 64u) {
            let source = min(i + at / D4, p.queries - 1u);
            a_here[at] = other_a[first_of(p.q, place) + source * p.q.w + at % D4];
            b_here[at] = other_b[first_of(p.dy, place) + source * p.dy.w + at % D4];
        }
        if grid.thread < TILE {
            let at = of_query(place, min(i + grid.thread, p.queries - 1u));
            of_rows[grid.thread] = vec2<f32>(lse[at], delta[at]);
        }
        // The tile must be whole before any of it is read.
        workgroupBarrier();
        for (var l = 0u; l < TILE; l++) {
            var s = vec4<f32>();
            var t = vec4<f32>();
            for (var d = 0u; d < D4; d++) {
                s += key[d] * a_here[l * D4 + d];
                t += value[d] * b_here[l * D4 + d];
            }
            let is_seen = i + l >= first && i + l < p.end;
            let weight = select(0.0, exp(dot(s, vec4<f32>(1.0)) - of_rows[l].x), is_seen);
            let ds = weight * (dot(t, vec4<f32>(1.0)) - of_rows[l].y);
            for (var d = 0u; d < D4; d++) {
                dk[d] += ds * a_here[l * D4 + d];
                dv[d] += weight * b_here[l * D4 + d];
            }
        }
    }
    if j < p.keys && place.is_there {
        for (var d = 0u; d < D4; d++) {
            put(first_of(p.dk, place) + row * p.dk.w + d, dk[d] * p.scale);
            put(first_of(p.dv, place) + row * p.dv.w + d, dv[d]);
        }
    }
}
