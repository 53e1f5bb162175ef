// y = softmax(scale q k^T, masked) v for each head, by the online softmax of Milakov and Gimelshein; lse: the logarithm
// of each row's sum of exponentials
//   q, y: [batch, heads, queries, 4 D4] and k, v: [batch, heads, keys, 4 D4] by strides; lse: [batch, queries, heads]
// For adapters whose subgroups are a workgroup: one takes 2 LANES queries of a head, two a lane. Each lane loads one
// of LANES keys and values and sends it to the others: no barriers, no sums over lanes. A causal mask ends the walk
// at the last query's key. A pass takes as many keys as 60,000 iterations allow, the next goes on from what it left.

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

const MASKED: f32 = -1e30;

fn first_of(at: vec4<u32>, batch: u32, head: u32) -> u32 {
    return at.x + batch * at.y + head * at.z;
}

// A group past the last works on the last again and writes nothing: after a return, all that follows is masked, which
// takes a tenth longer on lavapipe.
@compute @workgroup_size(LANES)
fn attention_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let blocks = (p.queries + 2u * LANES - 1u) / (2u * LANES);
    let count = blocks * p.heads * p.batch;
    let group = min(group_of(grid), count - 1u);
    let both = group / blocks;
    let batch = both / p.heads;
    let head = both - batch * p.heads;
    let start = (group - both * blocks) * 2u * LANES;
    let of_q = first_of(p.q, batch, head);
    let of_k = first_of(p.k, batch, head);
    let of_v = first_of(p.v, batch, head);
    var query0: array<vec4<f32>, D4>;
    var sum0: array<vec4<f32>, D4>;
    let row0 = start + 0u * LANES + lane;
    let last0 = select(p.end - 1u, min(row0, p.end - 1u), p.causal == 1u);
    var top0 = MASKED;
    var total0 = 0.0;
    var query1: array<vec4<f32>, D4>;
    var sum1: array<vec4<f32>, D4>;
    let row1 = start + 1u * LANES + lane;
    let last1 = select(p.end - 1u, min(row1, p.end - 1u), p.causal == 1u);
    var top1 = MASKED;
    var total1 = 0.0;
    for (var d = 0u; d < D4; d++) {
        query0[d] = q[of_q + min(row0, p.queries - 1u) * p.q.w + d] * p.scale;
        query1[d] = q[of_q + min(row1, p.queries - 1u) * p.q.w + d] * p.scale;
        sum0[d] = vec4<f32>();
        sum1[d] = vec4<f32>();
    }
    let of_y = first_of(p.y, batch, head);
    let of_lse = batch * p.queries * p.heads + head;
    if p.first > 0u {
        // What came before is like one key with the score lse and the value y.
        top0 = lse[of_lse + min(row0, p.queries - 1u) * p.heads];
        top1 = lse[of_lse + min(row1, p.queries - 1u) * p.heads];
        total0 = 1.0;
        total1 = 1.0;
        for (var d = 0u; d < D4; d++) {
            sum0[d] = y[of_y + min(row0, p.queries - 1u) * p.y.w + d];
            sum1[d] = y[of_y + min(row1, p.queries - 1u) * p.y.w + d];
        }
    }
    var end = p.end;
    if p.causal == 1u { end = min(end, start + 2u * LANES); }
    for (var j = p.first; j < end; j += LANES) {
        var key: array<vec4<f32>, D4>;
        var value: array<vec4<f32>, D4>;
        let own = min(j + lane, p.keys - 1u);
        for (var d = 0u; d < D4; d++) {
            key[d] = k[of_k + own * p.k.w + d];
            value[d] = v[of_v + own * p.v.w + d];
        }
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
            scores0[l] = select(MASKED, dot(s0, vec4<f32>(1.0)), j + l <= last0);
            highest0 = max(highest0, scores0[l]);
            scores1[l] = select(MASKED, dot(s1, vec4<f32>(1.0)), j + l <= last1);
            highest1 = max(highest1, scores1[l]);
        }
        let shrink0 = exp(top0 - highest0);
        top0 = highest0;
        total0 *= shrink0;
        let shrink1 = exp(top1 - highest1);
        top1 = highest1;
        total1 *= shrink1;
        for (var d = 0u; d < D4; d++) {
            sum0[d] *= shrink0;
            sum1[d] *= shrink1;
        }
        for (var l = 0u; l < p.lanes; l++) {
            let e0 = exp(scores0[l] - highest0);
            total0 += e0;
            let e1 = exp(scores1[l] - highest1);
            total1 += e1;
            for (var d = 0u; d < D4; d++) {
                let other = subgroupShuffle(value[d], l);
                sum0[d] += e0 * other;
                sum1[d] += e1 * other;
            }
        }
    }
    if row0 < p.queries && group_of(grid) < count {
        let share = 1.0 / total0;
        for (var d = 0u; d < D4; d++) { y[of_y + row0 * p.y.w + d] = sum0[d] * share; }
        lse[of_lse + row0 * p.heads] = top0 + log(total0);
    }
    if row1 < p.queries && group_of(grid) < count {
        let share = 1.0 / total1;
        for (var d = 0u; d < D4; d++) { y[of_y + row1 * p.y.w + d] = sum1[d] * share; }
        lse[of_lse + row1 * p.heads] = top1 + log(total1);
    }
}
