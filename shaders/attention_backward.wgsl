// The gradients of attention, weights computed again from lse: P = exp(scale q k^T + mask - lse),
//   dS = P (dy v^T - delta), dq = scale dS k, dk = scale dS^T q, dv = P^T dy; delta = the sum of dy y over each row
//   own and other are q and dy beside k and v for dq, the other way round for dk and dv, by strides as in Attention;
//   mask: [batch, heads, queries, keys] by strides; lse, delta: [batch, queries, heads]; grads: dq, dk, dv, by strides
//   of types OWN_A, OWN_B, OTHER_A, OTHER_B, MASK and G, of which G is f32 where there are several passes
// A workgroup takes the own rows of a tile (see prelude/attention_rows.wgsl). A causal mask leaves out the tiles in
// which it hides all. A pass takes as many other rows as 60,000 iterations allow, the next adds to what it left.

@group(0) @binding(0) var<storage, read> own_a: array<OWN_A>;
@group(0) @binding(1) var<storage, read> own_b: array<OWN_B>;
@group(0) @binding(2) var<storage, read> other_a: array<OTHER_A>;
@group(0) @binding(3) var<storage, read> other_b: array<OTHER_B>;
@group(0) @binding(4) var<storage, read> mask: array<MASK_WORD>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> grads: array<G>;
@group(0) @binding(8) var<uniform> p: Attention;

fn own_at(second: bool, at: u32) -> vec4<f32> {
    if second { return load_OWN_B(own_b[at]); }
    return load_OWN_A(own_a[at]);
}

fn other_at(second: bool, at: u32) -> vec4<f32> {
    if second { return load_OTHER_B(other_b[at]); }
    return load_OTHER_A(other_a[at]);
}

// The weights of own rows with one other row, `other` of `count`, where they are seen.
fn weight(
    s: vec4<f32>, lse: vec4<f32>, is_seen: vec4<bool>, places: vec4<u32>, other: u32, count: u32, step: u32,
) -> vec4<f32> {
    var scaled = s * p.scale;
    if MASKED { scaled += added(places, min(other, count - 1u) * step); }
    return select(vec4<f32>(), exp_seen4(scaled - lse), is_seen);
}

// Four rows of a gradient, of which those before `count` are there; what passes before this one left is added.
fn put(at: vec4<u32>, place: Place, i: vec4<u32>, count: u32, t: u32, values: mat4x4<f32>) {
    let to = first_of(at, place) + t % X + i * at.w;
    let is_there = (i < vec4<u32>(count)) & vec4<bool>(place.is_there && t % X < p.quads);
    if is_there.x { put_row(to.x, values[0]); }
    if is_there.y { put_row(to.y, values[1]); }
    if is_there.z { put_row(to.z, values[2]); }
    if is_there.w { put_row(to.w, values[3]); }
}

fn put_row(at: u32, value: vec4<f32>) {
    if p.first > 0u { grads[at] = narrow_G(wide_G(grads[at]) + value); } else { grads[at] = narrow_G(value); }
}

// dS of own queries with one key: s and t are q k^T and dy v^T.
fn of_key(
    s: vec4<f32>, t: vec4<f32>, key: u32, lse: vec4<f32>, shift: vec4<f32>, last: vec4<u32>, places: vec4<u32>,
) -> vec4<f32> {
    return weight(s, lse, vec4<u32>(key) <= last, places, key, p.keys, p.mask_key) * (t - shift);
}

// Own rows are queries.
@compute @workgroup_size(X * Y)
fn attention_backward_queries(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let place = place_of(group_of(grid), p.queries, OWN);
    let queries = rows_at(p.q, place, p.queries);
    let slopes = rows_at(p.dy, place, p.queries);
    let keys = rows_at(p.k, place, p.keys);
    let values = rows_at(p.v, place, p.keys);
    let i = rows_of(place, t);
    let row = min(i, vec4<u32>(p.queries - 1u));
    let at = vec4<u32>(of_query(place, row.x), of_query(place, row.y), of_query(place, row.z), of_query(place, row.w));
    let of_rows = vec4<f32>(lse[at.x], lse[at.y], lse[at.z], lse[at.w]);
    let shift = vec4<f32>(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);
    let last = min(vec4<u32>(p.end - 1u), select(vec4<u32>(p.end), i, p.causal == 1u));
    let places = first_of(p.mask, place) + row * p.mask.w;
    var dq = mat4x4<f32>();
    var end = p.end;
    if p.causal == 1u { end = min(end, place.start + OWN); }
    for (var j = p.first; j < end; j += OTHER) {
        let s = products(false, queries, place.start, keys, j, t);
        var ds = products(true, slopes, place.start, values, j, t);
        ds[0] = of_key(s[0], ds[0], j + column(0u, t), of_rows, shift, last, places);
        ds[1] = of_key(s[1], ds[1], j + column(1u, t), of_rows, shift, last, places);
        if KEYS == 4u {
            ds[2] = of_key(s[2], ds[2], j + column(2u, t), of_rows, shift, last, places);
            ds[3] = of_key(s[3], ds[3], j + column(3u, t), of_rows, shift, last, places);
        }
        keep(ds, t);
        dq = mix(dq, false, keys, j, t);
    }
    put(p.dq, place, i, p.queries, t, dq * p.scale);
}

// The weights of own keys with one query.
fn of_other_query(s: vec4<f32>, query: u32, place: Place, first: vec4<u32>, places: vec4<u32>) -> vec4<f32> {
    let of_row = lse[of_query(place, min(query, p.queries - 1u))];
    let is_seen = (vec4<u32>(query) >= first) & vec4<bool>(query < p.end);
    return weight(s, vec4<f32>(of_row), is_seen, places, query, p.queries, p.mask.w);
}

// 0 past the last query, whatever the last one's is.
fn shift_of(query: u32, place: Place) -> f32 {
    return select(0.0, delta[of_query(place, min(query, p.queries - 1u))], query < p.queries);
}

// Own rows are keys.
@compute @workgroup_size(X * Y)
fn attention_backward_keys(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let place = place_of(group_of(grid), p.keys, OWN);
    let queries = rows_at(p.q, place, p.queries);
    let slopes = rows_at(p.dy, place, p.queries);
    let keys = rows_at(p.k, place, p.keys);
    let values = rows_at(p.v, place, p.keys);
    let j = rows_of(place, t);
    let row = min(j, vec4<u32>(p.keys - 1u));
    let first = select(vec4<u32>(), j, p.causal == 1u);
    let places = first_of(p.mask, place) + row * p.mask_key;
    var dk = mat4x4<f32>();
    var dv = mat4x4<f32>();
    let begin = select(p.first, max(p.first, place.start), p.causal == 1u);
    for (var i = begin; i < p.end; i += OTHER) {
        var s = products(false, keys, place.start, queries, i, t);
        var ds = products(true, values, place.start, slopes, i, t);
        s[0] = of_other_query(s[0], i + column(0u, t), place, first, places);
        s[1] = of_other_query(s[1], i + column(1u, t), place, first, places);
        ds[0] = s[0] * (ds[0] - shift_of(i + column(0u, t), place));
        ds[1] = s[1] * (ds[1] - shift_of(i + column(1u, t), place));
        if KEYS == 4u {
            s[2] = of_other_query(s[2], i + column(2u, t), place, first, places);
            s[3] = of_other_query(s[3], i + column(3u, t), place, first, places);
            ds[2] = s[2] * (ds[2] - shift_of(i + column(2u, t), place));
            ds[3] = s[3] * (ds[3] - shift_of(i + column(3u, t), place));
        }
        keep(s, t);
        dv = mix(dv, true, slopes, i, t);
        // All must be done with the weights before they are overwritten.
        workgroupBarrier();
        keep(ds, t);
        dk = mix(dk, false, queries, i, t);
    }
    put(p.dk, place, j, p.keys, t, dk * p.scale);
    put(p.dv, place, j, p.keys, t, dv);
}
