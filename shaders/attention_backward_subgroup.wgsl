// The gradients of attention, weights recomputed from lse: P = exp(scale q k^T - lse), dS = P (dy v^T - delta),
//   dq = scale dS k, and dk = scale dS^T q, dv = P^T dy; delta = the sum of dy y over each row
//   own and other are q and dy beside k and v for dq, the other way round for dk and dv, by strides as in Attention;
//   y: as q; lse, delta: [batch, queries, heads]; grads: dq, dk and dv, each by strides
// For adapters whose subgroups are a workgroup: one takes 2 LANES own rows of a head, two a lane. Each lane loads
// one of LANES other rows and sends it to the others: no barriers, no sums over lanes. A causal mask leaves out the
// blocks in which it hides all. A pass takes as many other rows as 60,000 iterations allow, the next adds to what it
// left.

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
    // LANES, unknown to the compiler: by it loops would be unrolled, too, to very long code.
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

// Set by the variant: LANES, the invocations of a subgroup; D4, the vec4 of a row.

// Where a workgroup works: the head, counted over the batch, and the first own row.
struct Place {
    batch: u32,
    head: u32,
    start: u32,
    // Not a group past the last.
    is_there: bool,
}

// A group past the last works on the last again and writes nothing: after a return, all that follows is masked, which
// takes a tenth longer on lavapipe.
fn place_of(number: u32, rows: u32) -> Place {
    let blocks = (rows + 2u * LANES - 1u) / (2u * LANES);
    let count = blocks * p.heads * p.batch;
    let group = min(number, count - 1u);
    let both = group / blocks;
    let batch = both / p.heads;
    return Place(batch, both - batch * p.heads, (group - both * blocks) * 2u * LANES, number < count);
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
@compute @workgroup_size(LANES)
fn attention_backward_queries_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let place = place_of(group_of(grid), p.queries);
    let i0 = place.start + 0u * LANES + lane;
    let row0 = min(i0, p.queries - 1u);
    var query0: array<vec4<f32>, D4>;
    var slope0: array<vec4<f32>, D4>;
    var dq0: array<vec4<f32>, D4>;
    var along0 = vec4<f32>();
    let i1 = place.start + 1u * LANES + lane;
    let row1 = min(i1, p.queries - 1u);
    var query1: array<vec4<f32>, D4>;
    var slope1: array<vec4<f32>, D4>;
    var dq1: array<vec4<f32>, D4>;
    var along1 = vec4<f32>();
    for (var d = 0u; d < D4; d++) {
        query0[d] = own_a[first_of(p.q, place) + row0 * p.q.w + d] * p.scale;
        slope0[d] = own_b[first_of(p.dy, place) + row0 * p.dy.w + d];
        along0 += slope0[d] * y[first_of(p.y, place) + row0 * p.y.w + d];
        dq0[d] = vec4<f32>();
        query1[d] = own_a[first_of(p.q, place) + row1 * p.q.w + d] * p.scale;
        slope1[d] = own_b[first_of(p.dy, place) + row1 * p.dy.w + d];
        along1 += slope1[d] * y[first_of(p.y, place) + row1 * p.y.w + d];
        dq1[d] = vec4<f32>();
    }
    let shift0 = dot(along0, vec4<f32>(1.0));
    let of_row0 = lse[of_query(place, row0)];
    if i0 < p.queries && place.is_there { delta[of_query(place, row0)] = shift0; }
    let last0 = select(p.end - 1u, min(i0, p.end - 1u), p.causal == 1u);
    let shift1 = dot(along1, vec4<f32>(1.0));
    let of_row1 = lse[of_query(place, row1)];
    if i1 < p.queries && place.is_there { delta[of_query(place, row1)] = shift1; }
    let last1 = select(p.end - 1u, min(i1, p.end - 1u), p.causal == 1u);
    var end = p.end;
    if p.causal == 1u { end = min(end, place.start + 2u * LANES); }
    for (var j = p.first; j < end; j += LANES) {
        var key: array<vec4<f32>, D4>;
        var value: array<vec4<f32>, D4>;
        let source = min(j + lane, p.keys - 1u);
        for (var d = 0u; d < D4; d++) {
            key[d] = other_a[first_of(p.k, place) + source * p.k.w + d];
            value[d] = other_b[first_of(p.v, place) + source * p.v.w + d];
        }
        for (var l = 0u; l < p.lanes; l++) {
            var s0 = vec4<f32>();
            var t0 = vec4<f32>();
            var s1 = vec4<f32>();
            var t1 = vec4<f32>();
            for (var d = 0u; d < D4; d++) {
                let a = subgroupShuffle(key[d], l);
                let b = subgroupShuffle(value[d], l);
                s0 += query0[d] * a;
                t0 += slope0[d] * b;
                s1 += query1[d] * a;
                t1 += slope1[d] * b;
            }
            let weight0 = exp(dot(s0, vec4<f32>(1.0)) - of_row0);
            let ds0 = select(0.0, weight0 * (dot(t0, vec4<f32>(1.0)) - shift0), j + l <= last0);
            let weight1 = exp(dot(s1, vec4<f32>(1.0)) - of_row1);
            let ds1 = select(0.0, weight1 * (dot(t1, vec4<f32>(1.0)) - shift1), j + l <= last1);
            for (var d = 0u; d < D4; d++) {
                let a = subgroupShuffle(key[d], l);
                dq0[d] += ds0 * a;
                dq1[d] += ds1 * a;
            }
        }
    }
    if i0 < p.queries && place.is_there {
        for (var d = 0u; d < D4; d++) { put(first_of(p.dq, place) + row0 * p.dq.w + d, dq0[d] * p.scale); }
    }
    if i1 < p.queries && place.is_there {
        for (var d = 0u; d < D4; d++) { put(first_of(p.dq, place) + row1 * p.dq.w + d, dq1[d] * p.scale); }
    }
}

// Own rows are keys.
@compute @workgroup_size(LANES)
fn attention_backward_keys_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let place = place_of(group_of(grid), p.keys);
    let j0 = place.start + 0u * LANES + lane;
    let row0 = min(j0, p.keys - 1u);
    var key0: array<vec4<f32>, D4>;
    var value0: array<vec4<f32>, D4>;
    var dk0: array<vec4<f32>, D4>;
    var dv0: array<vec4<f32>, D4>;
    let j1 = place.start + 1u * LANES + lane;
    let row1 = min(j1, p.keys - 1u);
    var key1: array<vec4<f32>, D4>;
    var value1: array<vec4<f32>, D4>;
    var dk1: array<vec4<f32>, D4>;
    var dv1: array<vec4<f32>, D4>;
    for (var d = 0u; d < D4; d++) {
        key0[d] = own_a[first_of(p.k, place) + row0 * p.k.w + d] * p.scale;
        value0[d] = own_b[first_of(p.v, place) + row0 * p.v.w + d];
        dk0[d] = vec4<f32>();
        dv0[d] = vec4<f32>();
        key1[d] = own_a[first_of(p.k, place) + row1 * p.k.w + d] * p.scale;
        value1[d] = own_b[first_of(p.v, place) + row1 * p.v.w + d];
        dk1[d] = vec4<f32>();
        dv1[d] = vec4<f32>();
    }
    let first0 = select(0u, j0, p.causal == 1u);
    let first1 = select(0u, j1, p.causal == 1u);
    let begin = select(p.first, max(p.first, place.start), p.causal == 1u);
    for (var i = begin; i < p.end; i += LANES) {
        var query: array<vec4<f32>, D4>;
        var slope: array<vec4<f32>, D4>;
        let source = min(i + lane, p.queries - 1u);
        for (var d = 0u; d < D4; d++) {
            query[d] = other_a[first_of(p.q, place) + source * p.q.w + d];
            slope[d] = other_b[first_of(p.dy, place) + source * p.dy.w + d];
        }
        let of_rows = lse[of_query(place, source)];
        let shifts = delta[of_query(place, source)];
        for (var l = 0u; l < p.lanes; l++) {
            var s0 = vec4<f32>();
            var t0 = vec4<f32>();
            var s1 = vec4<f32>();
            var t1 = vec4<f32>();
            for (var d = 0u; d < D4; d++) {
                let a = subgroupShuffle(query[d], l);
                let b = subgroupShuffle(slope[d], l);
                s0 += key0[d] * a;
                t0 += value0[d] * b;
                s1 += key1[d] * a;
                t1 += value1[d] * b;
            }
            let of_row = subgroupShuffle(of_rows, l);
            let shift = subgroupShuffle(shifts, l);
            let weight0 = select(0.0, exp(dot(s0, vec4<f32>(1.0)) - of_row), i + l >= first0 && i + l < p.end);
            let ds0 = weight0 * (dot(t0, vec4<f32>(1.0)) - shift);
            let weight1 = select(0.0, exp(dot(s1, vec4<f32>(1.0)) - of_row), i + l >= first1 && i + l < p.end);
            let ds1 = weight1 * (dot(t1, vec4<f32>(1.0)) - shift);
            for (var d = 0u; d < D4; d++) {
                let a = subgroupShuffle(query[d], l);
                let b = subgroupShuffle(slope[d], l);
                dk0[d] += ds0 * a;
                dv0[d] += weight0 * b;
                dk1[d] += ds1 * a;
                dv1[d] += weight1 * b;
            }
        }
    }
    if j0 < p.keys && place.is_there {
        for (var d = 0u; d < D4; d++) {
            put(first_of(p.dk, place) + row0 * p.dk.w + d, dk0[d] * p.scale);
            put(first_of(p.dv, place) + row0 * p.dv.w + d, dv0[d]);
        }
    }
    if j1 < p.keys && place.is_there {
        for (var d = 0u; d < D4; d++) {
            put(first_of(p.dk, place) + row1 * p.dk.w + d, dk1[d] * p.scale);
            put(first_of(p.dv, place) + row1 * p.dv.w + d, dv1[d]);
        }
    }
}
