// y = softmax(scale q k^T + mask) v for each head, by the online softmax of Milakov and Gimelshein; lse: the logarithm
// of each row's sum of exponentials. A row whose scores are all -inf gives 0.
//   q, y: [batch, heads, queries, 4 quads], k, v: [batch, heads, keys, 4 quads], mask: [batch, heads, queries, keys]
//   by strides, of types Q, K, V, OUT and MASK; lse: [batch, queries, heads]. OUT is f32 where there are several passes.
// A workgroup takes the own rows of a tile, which are queries (see prelude/attention_rows.wgsl). A causal mask ends
// the walk at the workgroup's last query. A pass takes as many keys as 60,000 iterations allow, the next goes on from
// what it left.

@group(0) @binding(0) var<storage, read> q: array<Q>;
@group(0) @binding(1) var<storage, read> k: array<K>;
@group(0) @binding(2) var<storage, read> v: array<V>;
@group(0) @binding(3) var<storage, read> mask: array<MASK_WORD>;
@group(0) @binding(4) var<storage, read_write> y: array<OUT>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<uniform> p: Attention;

fn own_at(second: bool, at: u32) -> vec4<f32> { return load_Q(q[at]); }

fn other_at(second: bool, at: u32) -> vec4<f32> {
    if second { return load_V(v[at]); }
    return load_K(k[at]);
}

// The scores with one key, whose place in the mask is given.
fn score(s: vec4<f32>, key: u32, last: vec4<u32>, places: vec4<u32>, hidden: vec4<f32>) -> vec4<f32> {
    var scaled = s * p.scale;
    if MASKED { scaled += added(places, min(key, p.keys - 1u) * p.mask_key); }
    return select(hidden, scaled, vec4<u32>(key) <= last);
}

@compute @workgroup_size(X * Y)
fn attention(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let place = place_of(group_of(grid), p.queries, OWN);
    let queries = rows_at(p.q, place, p.queries);
    let keys = rows_at(p.k, place, p.keys);
    let values = rows_at(p.v, place, p.keys);
    let i = rows_of(place, t);
    let row = min(i, vec4<u32>(p.queries - 1u));
    let of_y = first_of(p.y, place) + min(t % X, p.quads - 1u) + row * p.y.w;
    let of_lse = vec4<u32>(
        of_query(place, row.x), of_query(place, row.y), of_query(place, row.z), of_query(place, row.w),
    );
    var sum = mat4x4<f32>();
    var top = vec4<f32>(LOWEST);
    // Of the thread's own keys.
    var total = vec4<f32>();
    if p.first > 0u {
        // What came before is like one key with the score lse and the value y.
        top = vec4<f32>(lse[of_lse.x], lse[of_lse.y], lse[of_lse.z], lse[of_lse.w]);
        let is_none = top == vec4<f32>(NONE);
        top = select(top, vec4<f32>(LOWEST), is_none);
        total = select(vec4<f32>(f32(t % X == 0u)), vec4<f32>(), is_none);
        sum = mat4x4<f32>(wide_OUT(y[of_y.x]), wide_OUT(y[of_y.y]), wide_OUT(y[of_y.z]), wide_OUT(y[of_y.w]));
    }
    let last = min(vec4<u32>(p.end - 1u), select(vec4<u32>(p.end), i, p.causal == 1u));
    let places = first_of(p.mask, place) + row * p.mask.w;
    let hidden = from_bits4(0xff800000u);
    var end = p.end;
    if p.causal == 1u { end = min(end, place.start + OWN); }
    for (var j = p.first; j < end; j += OTHER) {
        var s = products(false, queries, place.start, keys, j, t);
        s[0] = score(s[0], j + column(0u, t), last, places, hidden);
        s[1] = score(s[1], j + column(1u, t), last, places, hidden);
        var highest = max(s[0], s[1]);
        if KEYS == 4u {
            s[2] = score(s[2], j + column(2u, t), last, places, hidden);
            s[3] = score(s[3], j + column(3u, t), last, places, hidden);
            highest = max(highest, max(s[2], s[3]));
        }
        // All must be done with the chunk before it is overwritten.
        workgroupBarrier();
        chunk[t] = highest;
        // Every thread's must be there.
        workgroupBarrier();
        highest = top;
        // X turns.
        for (var x = 0u; x < X; x++) { highest = max(highest, chunk[t / X * X + x]); }
        let shrink = exp_seen4(top - highest);
        top = highest;
        var e = mat4x4<f32>(exp_seen4(s[0] - top), exp_seen4(s[1] - top), vec4<f32>(), vec4<f32>());
        if KEYS == 4u {
            e[2] = exp_seen4(s[2] - top);
            e[3] = exp_seen4(s[3] - top);
        }
        total = total * shrink + ((e[0] + e[1]) + (e[2] + e[3]));
        keep(e, t);
        sum = mat4x4<f32>(sum[0] * shrink.x, sum[1] * shrink.y, sum[2] * shrink.z, sum[3] * shrink.w);
        sum = mix(sum, true, values, j, t);
    }
    // All must be done with the chunk before it is overwritten.
    workgroupBarrier();
    chunk[t] = total;
    // Every thread's must be there.
    workgroupBarrier();
    total = vec4<f32>();
    // X turns.
    for (var x = 0u; x < X; x++) { total += chunk[t / X * X + x]; }
    let is_none = total == vec4<f32>();
    let share = select(1.0 / total, vec4<f32>(), is_none);
    let logs = select(top + log_seen4(total), vec4<f32>(NONE), is_none);
    // Row by row: what is past the last query is not written.
    let is_there = vec4<bool>(i < vec4<u32>(p.queries)) & vec4<bool>(place.is_there);
    if t % X < p.quads {
        if is_there.x { y[of_y.x] = narrow_OUT(sum[0] * share.x); }
        if is_there.y { y[of_y.y] = narrow_OUT(sum[1] * share.y); }
        if is_there.z { y[of_y.z] = narrow_OUT(sum[2] * share.z); }
        if is_there.w { y[of_y.w] = narrow_OUT(sum[3] * share.w); }
    }
    if t % X == 0u {
        if is_there.x { lse[of_lse.x] = logs.x; }
        if is_there.y { lse[of_lse.y] = logs.y; }
        if is_there.z { lse[of_lse.z] = logs.z; }
        if is_there.w { lse[of_lse.w] = logs.w; }
    }
}
