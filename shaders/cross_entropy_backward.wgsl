// dx[r, c] = scale * ((a + sum of b) * softmax(x)[c] - a * [c = y] - b[c]), a = (1 - s) * w[y], b[c] = s / C * w[c],
// scale = dy / total, or dy[r] where each row has a loss of its own
//   logits x: [rows, classes], of type X, or log-probabilities where not LOGITS, without the softmax; labels y: [rows]; weight w: [classes], of type W, read where WEIGHTED; result: (.., total)
//   dy: [1] or [rows]; dx: [rows, classes], of type DX; which is f32 where a row is of an odd number
// One invocation takes a row: at most 4 x 16,384 - 4 iterations.

@group(0) @binding(0) var<storage, read> logits: array<X_WORD>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> weight: array<W_WORD>;
@group(0) @binding(3) var<storage, read> result: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<DX_WORD>;
@group(0) @binding(6) var<uniform> p: Params;

struct Params {
    rows: u32,
    classes: u32,
    ignore: i32,
    smoothing: f32,
    mean: u32,
    // 1: a loss for each row
    each: u32,
    // for the host
    weighted: u32,
    logged: u32,
}

fn logit(at: u32) -> f32 { return pick_X(logits[at / EACH_X], at); }

fn weight_of(c: u32) -> f32 {
    if WEIGHTED { return pick_W(weight[c / EACH_W], c); }
    return 1.0;
}

// A row's label and the numbers that all of its classes share.
struct Row { start: u32, label: u32, scale: f32, top: f32, sum: f32, own: f32, share: f32, all: f32 }

fn slope(r: Row, c: u32) -> f32 {
    if !LOGITS { return select(0.0, -r.scale * weight_of(c), c == r.label); }
    let hit = select(0.0, r.own, c == r.label);
    return r.scale * (r.all * exp_of(logit(r.start + c) - r.top) / r.sum - hit - r.share * weight_of(c));
}

// A word of dx, of one class or of two.
fn put(at: u32, first: f32, second: f32) { dx[at / EACH_DX] = word_DX(vec4<f32>(first, second, 0.0, 0.0), 0u); }

fn put_all(r: Row) {
    for (var c = 0u; c < p.classes; c += EACH_DX) {
        var second = 0.0;
        if EACH_DX == 2u { second = slope(r, c + 1u); }
        put(r.start + c, slope(r, c), second);
    }
}

@compute @workgroup_size(64)
fn cross_entropy_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let row = group_of(grid) * 64u + thread;
    if row >= p.rows { return; }
    let start = row * p.classes;
    let label = labels[row];
    let outside = label < 0 || u32(label) >= p.classes;
    if label == p.ignore || outside {
        let value = select(from_bits4(0x7fc00000u).x, 0.0, label == p.ignore);
        for (var c = 0u; c < p.classes; c += EACH_DX) { put(start + c, value, value); }
        return;
    }
    var scale: f32;
    if p.each == 1u { scale = dy[row]; } else { scale = dy[0] / result[1]; }
    if !LOGITS {
        put_all(Row(start, u32(label), scale, 0.0, 0.0, 0.0, 0.0, 0.0));
        return;
    }
    var top = logit(start);
    for (var c = 1u; c < p.classes; c++) { top = max(top, logit(start + c)); }
    var sum = 0.0;
    for (var c = 0u; c < p.classes; c++) { sum += exp_of(logit(start + c) - top); }
    let own = (1.0 - p.smoothing) * weight_of(u32(label));
    let share = p.smoothing / f32(p.classes);
    var all = own;
    if p.smoothing > 0.0 {
        for (var c = 0u; c < p.classes; c++) { all += share * weight_of(c); }
    }
    put_all(Row(start, u32(label), scale, top, sum, own, share, all));
}
