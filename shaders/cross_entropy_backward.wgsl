// dx[r, c] = scale * ((a + sum of b) * softmax(x)[c] - a * [c = y] - b[c]), a = (1 - s) * w[y], b[c] = s / C * w[c],
// scale = dy / total, or dy[r] where each row has a loss of its own
//   logits x: [rows, classes], or log-probabilities where not LOGITS, without the softmax; labels y: [rows]; weight w: [classes], read where WEIGHTED; result: (.., total)
//   dy: [1] or [rows]; dx: [rows, classes]
// One invocation takes a row: at most 4 x 16,384 - 4 iterations.

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> result: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
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

fn weight_of(c: u32) -> f32 {
    if WEIGHTED { return weight[c]; }
    return 1.0;
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
        for (var c = 0u; c < p.classes; c++) { dx[start + c] = value; }
        return;
    }
    var scale: f32;
    if p.each == 1u { scale = dy[row]; } else { scale = dy[0] / result[1]; }
    if !LOGITS {
        for (var c = 0u; c < p.classes; c++) { dx[start + c] = select(0.0, -scale * weight_of(c), c == u32(label)); }
        return;
    }
    var top = logits[start];
    for (var c = 1u; c < p.classes; c++) { top = max(top, logits[start + c]); }
    var sum = 0.0;
    for (var c = 0u; c < p.classes; c++) { sum += exp_of(logits[start + c] - top); }
    let own = (1.0 - p.smoothing) * weight_of(u32(label));
    let share = p.smoothing / f32(p.classes);
    var all = own;
    if p.smoothing > 0.0 {
        for (var c = 0u; c < p.classes; c++) { all += share * weight_of(c); }
    }
    for (var c = 0u; c < p.classes; c++) {
        let hit = select(0.0, own, c == u32(label));
        dx[start + c] = scale * (all * exp_of(logits[start + c] - top) / sum - hit - share * weight_of(c));
    }
}
