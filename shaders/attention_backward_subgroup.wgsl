// The gradients of attention, weights recomputed from lse: P = exp(scale q k^T - lse), dS = P (dy v^T - delta),
//   dq = scale dS k, and dk = scale dS^T q, dv = P^T dy; delta = the sum of dy y over each row
//   own and other are q and dy beside k and v for dq, the other way round for dk and dv, by strides as in Attention;
//   y: as q; lse, delta: [batch, queries, heads]; grads: dq, dk and dv, each by strides
// For adapters whose subgroups are a workgroup: one takes LANES own rows of a head, one a lane. Each lane loads one of
// LANES other rows and sends it to the others. No barriers, no sums over lanes. A causal mask leaves out the blocks in
// which it hides all. At most rows / LANES iterations, times LANES (1 + D4) where the inner loops are not unrolled.

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
}

fn place_of(group: u32, rows: u32) -> Place {
    let blocks = (rows + LANES - 1u) / LANES;
    let both = group / blocks;
    let batch = both / p.heads;
    return Place(batch, both - batch * p.heads, (group - both * blocks) * LANES);
}

fn first_of(at: vec4<u32>, place: Place) -> u32 {
    return at.x + place.batch * at.y + place.head * at.z;
}

// Where lse and delta of a query are.
fn of_query(place: Place, row: u32) -> u32 {
    return (place.batch * p.queries + row) * p.heads + place.head;
}

// A row is a query.
@compute @workgroup_size(LANES)
fn attention_backward_queries_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let place = place_of(group_of(grid), p.queries);
    if place.batch >= p.batch { return; }
    let i = place.start + lane;
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
    if i < p.queries { delta[of_query(place, row)] = shift; }
    let last = select(p.keys - 1u, min(i, p.keys - 1u), p.causal == 1u);
    var end = p.keys;
    if p.causal == 1u { end = min(end, place.start + LANES); }
    for (var j = 0u; j < end; j += LANES) {
        var key: array<vec4<f32>, D4>;
        var value: array<vec4<f32>, D4>;
        let source = min(j + lane, p.keys - 1u);
        for (var d = 0u; d < D4; d++) {
            key[d] = other_a[first_of(p.k, place) + source * p.k.w + d];
            value[d] = other_b[first_of(p.v, place) + source * p.v.w + d];
        }
        for (var l = 0u; l < LANES; l++) {
            var s = vec4<f32>();
            var t = vec4<f32>();
            for (var d = 0u; d < D4; d++) {
                s += query[d] * subgroupShuffle(key[d], l);
                t += slope[d] * subgroupShuffle(value[d], l);
            }
            let weight = exp(dot(s, vec4<f32>(1.0)) - of_row);
            let ds = select(0.0, weight * (dot(t, vec4<f32>(1.0)) - shift), j + l <= last);
            for (var d = 0u; d < D4; d++) { dq[d] += ds * subgroupShuffle(key[d], l); }
        }
    }
    if i < p.queries {
        for (var d = 0u; d < D4; d++) { grads[first_of(p.dq, place) + row * p.dq.w + d] = dq[d] * p.scale; }
    }
}

// A row is a key.
@compute @workgroup_size(LANES)
fn attention_backward_keys_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let place = place_of(group_of(grid), p.keys);
    if place.batch >= p.batch { return; }
    let j = place.start + lane;
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
    let begin = select(0u, place.start, p.causal == 1u);
    for (var i = begin; i < p.queries; i += LANES) {
        var query: array<vec4<f32>, D4>;
        var slope: array<vec4<f32>, D4>;
        let source = min(i + lane, p.queries - 1u);
        for (var d = 0u; d < D4; d++) {
            query[d] = other_a[first_of(p.q, place) + source * p.q.w + d];
            slope[d] = other_b[first_of(p.dy, place) + source * p.dy.w + d];
        }
        let of_rows = lse[of_query(place, source)];
        let shifts = delta[of_query(place, source)];
        for (var l = 0u; l < LANES; l++) {
            var s = vec4<f32>();
            var t = vec4<f32>();
            for (var d = 0u; d < D4; d++) {
                s += key[d] * subgroupShuffle(query[d], l);
                t += value[d] * subgroupShuffle(slope[d], l);
            }
            let is_seen = i + l >= first && i + l < p.queries;
            let weight = select(0.0, exp(dot(s, vec4<f32>(1.0)) - subgroupShuffle(of_rows, l)), is_seen);
            let ds = weight * (dot(t, vec4<f32>(1.0)) - subgroupShuffle(shifts, l));
            for (var d = 0u; d < D4; d++) {
                dk[d] += ds * subgroupShuffle(query[d], l);
                dv[d] += weight * subgroupShuffle(slope[d], l);
            }
        }
    }
    if j < p.keys {
        for (var d = 0u; d < D4; d++) {
            grads[first_of(p.dk, place) + row * p.dk.w + d] = dk[d] * p.scale;
            grads[first_of(p.dv, place) + row * p.dv.w + d] = dv[d];
        }
    }
}
