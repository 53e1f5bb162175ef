// The gradients of attention, weights computed again from lse: P = exp(scale q k^T + mask - lse),
//   dS = P (dy v^T - delta), dq = scale dS k, dk = scale dS^T q, dv = P^T dy; delta = the sum of dy y over each row
//   own and other are q and dy beside k and v for dq, the other way round for dk and dv, by strides as in Attention;
//   mask: [batch, heads, queries, keys] by strides; lse, delta: [batch, queries, heads]; grads: dq, dk, dv, by strides
//   of types OWN_A, OWN_B, OTHER_A, OTHER_B, MASK and G, of which G is f32 where there are several passes
// For adapters whose subgroups are a workgroup: one takes 2 LANES own rows of a head, two a lane. Each lane loads
// one of LANES other rows and sends it to the others: no barriers, no sums over lanes. A causal mask leaves out the
// blocks in which it hides all. A pass takes as many other rows as 60,000 iterations allow, the next adds to what it
// left.

@group(0) @binding(0) var<storage, read> own_a: array<OWN_A>;
@group(0) @binding(1) var<storage, read> own_b: array<OWN_B>;
@group(0) @binding(2) var<storage, read> other_a: array<OTHER_A>;
@group(0) @binding(3) var<storage, read> other_b: array<OTHER_B>;
@group(0) @binding(4) var<storage, read> mask: array<MASK_WORD>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> grads: array<G>;
@group(0) @binding(8) var<uniform> p: Attention;

// Set by the variant: LANES, the invocations of a subgroup; D4, the vec4 of a row; MASKED, and
// PADDED where the mask is the same for all queries.

// What passes before this one left is added.
fn put(at: u32, value: vec4<f32>) {
    if p.first > 0u { grads[at] = narrow_G(wide_G(grads[at]) + value); } else { grads[at] = narrow_G(value); }
}

// What the mask adds to the score of a query and a key.
fn added(place: Place, query: u32, key: u32) -> f32 {
    let row = first_of(p.mask, place) + min(query, p.queries - 1u) * p.mask.w;
    let at = row + min(key, p.keys - 1u) * p.mask_key;
    return pick_MASK(mask[at / EACH_MASK], at);
}

// Own rows are queries.
@compute @workgroup_size(LANES)
fn attention_backward_queries_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let place = place_of(group_of(grid), p.queries, 2u * LANES);
    let i0 = place.start + 0u * LANES + lane;
    let row0 = min(i0, p.queries - 1u);
    var query0: array<vec4<f32>, D4>;
    var slope0: array<vec4<f32>, D4>;
    var dq0: array<vec4<f32>, D4>;
    let i1 = place.start + 1u * LANES + lane;
    let row1 = min(i1, p.queries - 1u);
    var query1: array<vec4<f32>, D4>;
    var slope1: array<vec4<f32>, D4>;
    var dq1: array<vec4<f32>, D4>;
    for (var d = 0u; d < D4; d++) {
        query0[d] = load_OWN_A(own_a[first_of(p.q, place) + row0 * p.q.w + d]) * p.scale;
        slope0[d] = load_OWN_B(own_b[first_of(p.dy, place) + row0 * p.dy.w + d]);
        dq0[d] = vec4<f32>();
        query1[d] = load_OWN_A(own_a[first_of(p.q, place) + row1 * p.q.w + d]) * p.scale;
        slope1[d] = load_OWN_B(own_b[first_of(p.dy, place) + row1 * p.dy.w + d]);
        dq1[d] = vec4<f32>();
    }
    let shift0 = delta[of_query(place, row0)];
    let of_row0 = lse[of_query(place, row0)];
    let last0 = select(p.end - 1u, min(i0, p.end - 1u), p.causal == 1u);
    let shift1 = delta[of_query(place, row1)];
    let of_row1 = lse[of_query(place, row1)];
    let last1 = select(p.end - 1u, min(i1, p.end - 1u), p.causal == 1u);
    var end = p.end;
    if p.causal == 1u { end = min(end, place.start + 2u * LANES); }
    for (var j = p.first; j < end; j += LANES) {
        var key: array<vec4<f32>, D4>;
        var value: array<vec4<f32>, D4>;
        let source = min(j + lane, p.keys - 1u);
        for (var d = 0u; d < D4; d++) {
            key[d] = load_OTHER_A(other_a[first_of(p.k, place) + source * p.k.w + d]);
            value[d] = load_OTHER_B(other_b[first_of(p.v, place) + source * p.v.w + d]);
        }
        var added_here = 0.0;
        if PADDED { added_here = added(place, 0u, source); }
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
            var score0 = dot(s0, vec4<f32>(1.0)) - of_row0;
            var score1 = dot(s1, vec4<f32>(1.0)) - of_row1;
            if PADDED {
                let here = subgroupShuffle(added_here, l);
                score0 += here;
                score1 += here;
            } else if MASKED {
                score0 += added(place, i0, j + l);
                score1 += added(place, i1, j + l);
            }
            let weight0 = exp_of(score0);
            let ds0 = select(0.0, weight0 * (dot(t0, vec4<f32>(1.0)) - shift0), j + l <= last0);
            let weight1 = exp_of(score1);
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
    let place = place_of(group_of(grid), p.keys, 2u * LANES);
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
        key0[d] = load_OWN_A(own_a[first_of(p.k, place) + row0 * p.k.w + d]) * p.scale;
        value0[d] = load_OWN_B(own_b[first_of(p.v, place) + row0 * p.v.w + d]);
        dk0[d] = vec4<f32>();
        dv0[d] = vec4<f32>();
        key1[d] = load_OWN_A(own_a[first_of(p.k, place) + row1 * p.k.w + d]) * p.scale;
        value1[d] = load_OWN_B(own_b[first_of(p.v, place) + row1 * p.v.w + d]);
        dk1[d] = vec4<f32>();
        dv1[d] = vec4<f32>();
    }
    var added0 = 0.0;
    var added1 = 0.0;
    if PADDED {
        added0 = added(place, 0u, row0);
        added1 = added(place, 0u, row1);
    }
    let first0 = select(0u, j0, p.causal == 1u);
    let first1 = select(0u, j1, p.causal == 1u);
    let begin = select(p.first, max(p.first, place.start), p.causal == 1u);
    for (var i = begin; i < p.end; i += LANES) {
        var query: array<vec4<f32>, D4>;
        var slope: array<vec4<f32>, D4>;
        // Past the last query nothing is added, whatever the last one's gradient is.
        let is_there = i + lane < p.queries;
        let source = min(i + lane, p.queries - 1u);
        for (var d = 0u; d < D4; d++) {
            query[d] = load_OTHER_A(other_a[first_of(p.q, place) + source * p.q.w + d]);
            slope[d] = select(vec4<f32>(), load_OTHER_B(other_b[first_of(p.dy, place) + source * p.dy.w + d]), is_there);
        }
        let of_rows = lse[of_query(place, source)];
        let shifts = select(0.0, delta[of_query(place, source)], is_there);
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
            var score0 = dot(s0, vec4<f32>(1.0)) - of_row;
            var score1 = dot(s1, vec4<f32>(1.0)) - of_row;
            if PADDED {
                score0 += added0;
                score1 += added1;
            } else if MASKED {
                score0 += added(place, i + l, j0);
                score1 += added(place, i + l, j1);
            }
            let weight0 = select(0.0, exp_of(score0), i + l >= first0 && i + l < p.end);
            let ds0 = weight0 * (dot(t0, vec4<f32>(1.0)) - shift);
            let weight1 = select(0.0, exp_of(score1), i + l >= first1 && i + l < p.end);
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
