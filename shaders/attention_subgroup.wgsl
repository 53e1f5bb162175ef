// y = softmax(scale q k^T + mask) v for each head, by the online softmax of Milakov and Gimelshein; lse: the logarithm
// of each row's sum of exponentials. A row whose scores are all -inf gives 0.
//   q, y: [batch, heads, queries, 4 D4] and k, v: [batch, heads, keys, 4 D4] by strides; lse: [batch, queries, heads];
//   mask: [batch, heads, queries, keys] by strides; of types Q, K, V, OUT and MASK, of which OUT is f32 where there are several
//   passes
// For adapters whose subgroups are a workgroup: one takes 2 LANES queries of a head, two a lane. Each lane loads one
// of LANES keys and values and sends it to the others: no barriers, no sums over lanes. A causal mask ends the walk
// at the last query's key. A pass takes as many keys as 60,000 iterations allow, the next goes on from what it left.

@group(0) @binding(0) var<storage, read> q: array<Q>;
@group(0) @binding(1) var<storage, read> k: array<K>;
@group(0) @binding(2) var<storage, read> v: array<V>;
@group(0) @binding(3) var<storage, read> mask: array<MASK_WORD>;
@group(0) @binding(4) var<storage, read_write> y: array<OUT>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<uniform> p: Attention;

// Set by the variant: LANES, the invocations of a subgroup; D4, the vec4 of a row; MASKED, and
// PADDED where the mask is the same for all queries.

fn mask_at(at: u32) -> f32 { return pick_MASK(mask[at / EACH_MASK], at); }

@compute @workgroup_size(LANES)
fn attention_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let place = place_of(group_of(grid), p.queries, 2u * LANES);
    let of_q = first_of(p.q, place);
    let of_k = first_of(p.k, place);
    let of_v = first_of(p.v, place);
    let of_mask = first_of(p.mask, place);
    let hidden = from_bits4(0xff800000u).x;
    var query0: array<vec4<f32>, D4>;
    var sum0: array<vec4<f32>, D4>;
    let row0 = place.start + 0u * LANES + lane;
    let last0 = select(p.end - 1u, min(row0, p.end - 1u), p.causal == 1u);
    var top0 = LOWEST;
    var total0 = 0.0;
    var query1: array<vec4<f32>, D4>;
    var sum1: array<vec4<f32>, D4>;
    let row1 = place.start + 1u * LANES + lane;
    let last1 = select(p.end - 1u, min(row1, p.end - 1u), p.causal == 1u);
    var top1 = LOWEST;
    var total1 = 0.0;
    for (var d = 0u; d < D4; d++) {
        query0[d] = load_Q(q[of_q + min(row0, p.queries - 1u) * p.q.w + d]) * p.scale;
        query1[d] = load_Q(q[of_q + min(row1, p.queries - 1u) * p.q.w + d]) * p.scale;
        sum0[d] = vec4<f32>();
        sum1[d] = vec4<f32>();
    }
    let of_y = first_of(p.y, place);
    let of_lse = of_query(place, 0u);
    if p.first > 0u {
        // What came before is like one key with the score lse and the value y.
        top0 = lse[of_lse + min(row0, p.queries - 1u) * p.heads];
        top1 = lse[of_lse + min(row1, p.queries - 1u) * p.heads];
        total0 = 1.0;
        total1 = 1.0;
        for (var d = 0u; d < D4; d++) {
            sum0[d] = wide_OUT(y[of_y + min(row0, p.queries - 1u) * p.y.w + d]);
            sum1[d] = wide_OUT(y[of_y + min(row1, p.queries - 1u) * p.y.w + d]);
        }
        if top0 == NONE { top0 = LOWEST; total0 = 0.0; }
        if top1 == NONE { top1 = LOWEST; total1 = 0.0; }
    }
    var end = p.end;
    if p.causal == 1u { end = min(end, place.start + 2u * LANES); }
    for (var j = p.first; j < end; j += LANES) {
        var key: array<vec4<f32>, D4>;
        var value: array<vec4<f32>, D4>;
        let own = min(j + lane, p.keys - 1u);
        for (var d = 0u; d < D4; d++) {
            key[d] = load_K(k[of_k + own * p.k.w + d]);
            // Past the last key nothing is added, whatever the last one's value is.
            value[d] = select(vec4<f32>(), load_V(v[of_v + own * p.v.w + d]), j + lane < p.keys);
        }
        var added = 0.0;
        if PADDED { added = mask_at(of_mask + own * p.mask_key); }
        var scores0: array<f32, LANES>;
        var highest0 = top0;
        var scores1: array<f32, LANES>;
        var highest1 = top1;
        for (var l = 0u; l < p.lanes; l++) {
            var s0 = vec4<f32>();
            var s1 = vec4<f32>();
            for (var d = 0u; d < D4; d++) {
                let other = subgroupShuffle(key[d], l);
                s0 += query0[d] * other;
                s1 += query1[d] * other;
            }
            var score0 = dot(s0, vec4<f32>(1.0));
            var score1 = dot(s1, vec4<f32>(1.0));
            if PADDED {
                let here = subgroupShuffle(added, l);
                score0 += here;
                score1 += here;
            } else if MASKED {
                let at = of_mask + min(j + l, p.keys - 1u) * p.mask_key;
                score0 += mask_at(at + min(row0, p.queries - 1u) * p.mask.w);
                score1 += mask_at(at + min(row1, p.queries - 1u) * p.mask.w);
            }
            scores0[l] = select(hidden, score0, j + l <= last0);
            highest0 = max(highest0, scores0[l]);
            scores1[l] = select(hidden, score1, j + l <= last1);
            highest1 = max(highest1, scores1[l]);
        }
        let shrink0 = exp_of(top0 - highest0);
        top0 = highest0;
        total0 *= shrink0;
        let shrink1 = exp_of(top1 - highest1);
        top1 = highest1;
        total1 *= shrink1;
        for (var d = 0u; d < D4; d++) {
            sum0[d] *= shrink0;
            sum1[d] *= shrink1;
        }
        for (var l = 0u; l < p.lanes; l++) {
            let e0 = exp_of(scores0[l] - highest0);
            total0 += e0;
            let e1 = exp_of(scores1[l] - highest1);
            total1 += e1;
            for (var d = 0u; d < D4; d++) {
                let other = subgroupShuffle(value[d], l);
                sum0[d] += e0 * other;
                sum1[d] += e1 * other;
            }
        }
    }
    if row0 < p.queries && place.is_there {
        let is_none = total0 == 0.0;
        let share = select(1.0 / total0, 0.0, is_none);
        for (var d = 0u; d < D4; d++) { y[of_y + row0 * p.y.w + d] = narrow_OUT(sum0[d] * share); }
        lse[of_lse + row0 * p.heads] = select(top0 + log_seen4(vec4<f32>(total0)).x, NONE, is_none);
    }
    if row1 < p.queries && place.is_there {
        let is_none = total1 == 0.0;
        let share = select(1.0 / total1, 0.0, is_none);
        for (var d = 0u; d < D4; d++) { y[of_y + row1 * p.y.w + d] = narrow_OUT(sum1[d] * share); }
        lse[of_lse + row1 * p.heads] = select(top1 + log_seen4(vec4<f32>(total1)).x, NONE, is_none);
    }
}
