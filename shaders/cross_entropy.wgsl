// loss[r] = (1 - s) * w[y] * (lse - x[y]) + s / C * sum over c of w[c] * (lse - x[c]), lse = log(sum(exp(x))), and
// result = (sum of loss / total, total) with total = sum of w[y] (mean) or (sum of loss, 1) (sum)
//   logits x: [rows, classes], of type X, or log-probabilities where not LOGITS, of which lse is 0; labels y: [rows]; weight w: [classes], of type W, read where WEIGHTED
//   out: [2, rows], losses and weights; result: [2]
// Ignored rows count nothing; a label outside gives NaN.
// rows: one invocation takes a row, at most 3 x 16,384 iterations. finish: one workgroup adds up, rows / 256
// iterations (rows up to 15.7 million) and a tree of 8 steps. whole: both at once in one workgroup.

@group(0) @binding(0) var<storage, read> logits: array<X_WORD>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> weight: array<W_WORD>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

struct Params {
    rows: u32,
    classes: u32,
    ignore: i32,
    smoothing: f32,
    // 1: the mean, 0: the sum
    mean: u32,
    // for the gradient and for the host
    each: u32,
    weighted: u32,
    logged: u32,
}

// (loss, weight) for each invocation of a workgroup.
var<workgroup> part: array<vec2<f32>, 256>;

fn logit(at: u32) -> f32 { return pick_X(logits[at / EACH_X], at); }

fn weight_of(c: u32) -> f32 {
    if WEIGHTED { return pick_W(weight[c / EACH_W], c); }
    return 1.0;
}

fn row_loss(row: u32) -> vec2<f32> {
    let label = labels[row];
    if label == p.ignore { return vec2<f32>(); }
    if label < 0 || u32(label) >= p.classes { return from_bits4(0x7fc00000u).xy; }
    let start = row * p.classes;
    var top = 0.0;
    var log_sum = 0.0;
    if LOGITS {
        top = logit(start);
        for (var c = 1u; c < p.classes; c++) { top = max(top, logit(start + c)); }
        var sum = 0.0;
        for (var c = 0u; c < p.classes; c++) { sum += exp_of(logit(start + c) - top); }
        log_sum = select(log(sum), sum, (bitcast<u32>(sum) & 0x7fffffffu) > 0x7f800000u);
    }
    let own = weight_of(u32(label));
    var loss = (1.0 - p.smoothing) * own * (log_sum - (logit(start + u32(label)) - top));
    if p.smoothing > 0.0 {
        var others = 0.0;
        for (var c = 0u; c < p.classes; c++) { others += weight_of(c) * (log_sum - (logit(start + c) - top)); }
        loss += p.smoothing / f32(p.classes) * others;
    }
    return vec2<f32>(loss, own);
}

// Adds up the workgroup's parts; every invocation calls it.
fn finish(t: u32, sum: vec2<f32>) {
    part[t] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        // Every partial sum must be there before another invocation adds it.
        workgroupBarrier();
        if t < half { part[t] += part[t + half]; }
    }
    if t == 0u {
        let total = select(1.0, part[0].y, p.mean == 1u);
        result[0] = part[0].x / total;
        result[1] = total;
    }
}

@compute @workgroup_size(256)
fn cross_entropy_rows(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let row = index_of(grid, thread);
    if row >= p.rows { return; }
    let loss = row_loss(row);
    out[row] = loss.x;
    out[p.rows + row] = loss.y;
}

@compute @workgroup_size(256)
fn cross_entropy_finish(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    var sum = vec2<f32>();
    for (var row = thread; row < p.rows; row += 256u) { sum += vec2<f32>(out[row], out[p.rows + row]); }
    finish(thread, sum);
}

@compute @workgroup_size(256)
fn cross_entropy_whole(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    var sum = vec2<f32>();
    for (var row = thread; row < p.rows; row += 256u) {
        let loss = row_loss(row);
        out[row] = loss.x;
        out[p.rows + row] = loss.y;
        sum += loss;
    }
    finish(thread, sum);
}
