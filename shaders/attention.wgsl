// y = softmax(scale q k^T, masked) v for each head, by the online softmax of Milakov and Gimelshein; lse: the logarithm
// of each row's sum of exponentials
//   q, y: [batch, heads, queries, 4 D4] and k, v: [batch, heads, keys, 4 D4] by strides; lse: [batch, queries, heads]
// A workgroup takes 64 queries of a head, one an invocation, which keeps its query and its sum in registers; TILE
// keys and values at a time lie in shared memory. A causal mask ends the walk at the workgroup's last query. A pass
// takes as many keys as 60,000 iterations allow, the next goes on from what it left.

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

// Set by the variant: D4, the vec4 of a row, at most 32; TILE, keys at a time: 16 KiB hold 512 / D4 of both kinds.

var<workgroup> keys_here: array<vec4<f32>, TILE * D4>;
var<workgroup> values_here: array<vec4<f32>, TILE * D4>;

const MASKED: f32 = -1e30;

fn first_of(at: vec4<u32>, batch: u32, head: u32) -> u32 {
    return at.x + batch * at.y + head * at.z;
}

// A group past the last works on the last again and writes nothing, so that every barrier is met by all.
@compute @workgroup_size(64)
fn attention(grid: Grid) {
    let blocks = (p.queries + 63u) / 64u;
    let count = blocks * p.heads * p.batch;
    let group = min(group_of(grid), count - 1u);
    let both = group / blocks;
    let batch = both / p.heads;
    let head = both - batch * p.heads;
    let start = (group - both * blocks) * 64u;
    let i = start + grid.thread;
    let row = min(i, p.queries - 1u);
    var query: array<vec4<f32>, D4>;
    var sum: array<vec4<f32>, D4>;
    for (var d = 0u; d < D4; d++) {
        query[d] = q[first_of(p.q, batch, head) + row * p.q.w + d] * p.scale;
        sum[d] = vec4<f32>();
    }
    var top = MASKED;
    var total = 0.0;
    let of_y = first_of(p.y, batch, head) + row * p.y.w;
    let of_lse = (batch * p.queries + row) * p.heads + head;
    if p.first > 0u {
        // What came before is like one key with the score lse and the value y.
        top = lse[of_lse];
        total = 1.0;
        for (var d = 0u; d < D4; d++) { sum[d] = y[of_y + d]; }
    }
    let last = select(p.end - 1u, min(i, p.end - 1u), p.causal == 1u);
    var end = p.end;
    if p.causal == 1u { end = min(end, start + 64u); }
    for (var j = p.first; j < end; j += TILE) {
        // All must be done with the last tile before it is overwritten.
        workgroupBarrier();
        for (var at = grid.thread; at < TILE * D4; at += 64u) {
            let source = min(j + at / D4, p.keys - 1u);
            keys_here[at] = k[first_of(p.k, batch, head) + source * p.k.w + at % D4];
            values_here[at] = v[first_of(p.v, batch, head) + source * p.v.w + at % D4];
        }
        // The tile must be whole before any of it is read.
        workgroupBarrier();
        for (var t = 0u; t < TILE; t += 4u) {
            var s = vec4<f32>();
            for (var d = 0u; d < D4; d++) {
                s += query[d] * mat4x4<f32>(
                    keys_here[t * D4 + d], keys_here[(t + 1u) * D4 + d],
                    keys_here[(t + 2u) * D4 + d], keys_here[(t + 3u) * D4 + d],
                );
            }
            s = select(vec4<f32>(MASKED), s, vec4<u32>(0u, 1u, 2u, 3u) + j + t <= vec4<u32>(last));
            let highest = max(top, max(max(s.x, s.y), max(s.z, s.w)));
            let shrink = exp(top - highest);
            let e = exp(s - highest);
            top = highest;
            total = total * shrink + dot(e, vec4<f32>(1.0));
            for (var d = 0u; d < D4; d++) {
                sum[d] = sum[d] * shrink + mat4x4<f32>(
                    values_here[t * D4 + d], values_here[(t + 1u) * D4 + d],
                    values_here[(t + 2u) * D4 + d], values_here[(t + 3u) * D4 + d],
                ) * e;
            }
        }
    }
    if i < p.queries && group_of(grid) < count {
        for (var d = 0u; d < D4; d++) { y[of_y + d] = sum[d] / total; }
        lse[of_lse] = top + log(total);
    }
}
