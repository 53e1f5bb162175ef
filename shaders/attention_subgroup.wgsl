// y = softmax(scale q k^T, masked) v for each head, by the online softmax of Milakov and Gimelshein; lse: the logarithm of each
// row's sum of exponentials
//   q, y: [batch, heads, queries, 4 D4] and k, v: [batch, heads, keys, 4 D4] by strides; lse: [batch, queries, heads]
// For adapters whose subgroups are a workgroup: one takes ROWS LANES queries of a head, ROWS a lane. Each lane loads one
// of LANES keys and sends it to the others. No barriers, no sums over lanes. A causal mask ends the walk at the last
// query's key. At most keys / LANES (1 + LANES / 4 (1 + ...)) iterations: the inner loops are unrolled.

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<uniform> p: Attention;

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

const MASKED: f32 = -1e30;

fn head_of(at: vec4<u32>, batch: u32, head: u32) -> u32 {
    return at.x + batch * at.y + head * at.z;
}

@compute @workgroup_size(LANES)
fn attention_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let blocks = (p.queries + ROWS * LANES - 1u) / (ROWS * LANES);
    let group = group_of(grid);
    let both = group / blocks;
    let batch = both / p.heads;
    if batch >= p.batch { return; }
    let head = both - batch * p.heads;
    let start = (group - both * blocks) * ROWS * LANES;
    let of_q = head_of(p.q, batch, head);
    let of_k = head_of(p.k, batch, head);
    let of_v = head_of(p.v, batch, head);
    var query: array<vec4<f32>, ROWS * D4>;
    var sum: array<vec4<f32>, ROWS * D4>;
    var top: array<f32, ROWS>;
    var total: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        let row = min(start + r * LANES + lane, p.queries - 1u);
        for (var d = 0u; d < D4; d++) {
            query[r * D4 + d] = q[of_q + row * p.q.w + d] * p.scale;
            sum[r * D4 + d] = vec4<f32>();
        }
        top[r] = MASKED;
        total[r] = 0.0;
    }
    var end = p.keys;
    if p.causal == 1u { end = min(end, start + ROWS * LANES); }
    for (var j = 0u; j < end; j += LANES) {
        var key: array<vec4<f32>, D4>;
        var value: array<vec4<f32>, D4>;
        let own = min(j + lane, p.keys - 1u);
        for (var d = 0u; d < D4; d++) {
            key[d] = k[of_k + own * p.k.w + d];
            value[d] = v[of_v + own * p.v.w + d];
        }
        for (var r = 0u; r < ROWS; r++) {
            let row = start + r * LANES + lane;
            let last = select(p.keys - 1u, min(row, p.keys - 1u), p.causal == 1u);
            for (var l = 0u; l < LANES; l += 4u) {
                var s = vec4<f32>();
                for (var d = 0u; d < D4; d++) {
                    s += query[r * D4 + d] * mat4x4<f32>(
                        subgroupShuffle(key[d], l), subgroupShuffle(key[d], l + 1u),
                        subgroupShuffle(key[d], l + 2u), subgroupShuffle(key[d], l + 3u),
                    );
                }
                s = select(vec4<f32>(MASKED), s, vec4<u32>(0u, 1u, 2u, 3u) + j + l <= vec4<u32>(last));
                let highest = max(top[r], max(max(s.x, s.y), max(s.z, s.w)));
                let shrink = exp(top[r] - highest);
                let e = exp(s - highest);
                top[r] = highest;
                total[r] = total[r] * shrink + dot(e, vec4<f32>(1.0));
                for (var d = 0u; d < D4; d++) {
                    sum[r * D4 + d] = sum[r * D4 + d] * shrink + mat4x4<f32>(
                        subgroupShuffle(value[d], l), subgroupShuffle(value[d], l + 1u),
                        subgroupShuffle(value[d], l + 2u), subgroupShuffle(value[d], l + 3u),
                    ) * e;
                }
            }
        }
    }
    let of_y = head_of(p.y, batch, head);
    for (var r = 0u; r < ROWS; r++) {
        let row = start + r * LANES + lane;
        if row < p.queries {
            let share = 1.0 / total[r];
            for (var d = 0u; d < D4; d++) { y[of_y + row * p.y.w + d] = sum[r * D4 + d] * share; }
            lse[(batch * p.queries + row) * p.heads + head] = top[r] + log(total[r]);
        }
    }
}
