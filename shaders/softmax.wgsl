// y = softmax(x) or log_softmax(x) over each row: e = exp(x - max), y = e / sum(e) or x - max - log(sum(e))
//   x, y: [rows, cols]. LOG says which.
// group: 256 invocations share a row, at most 3 x cols / 256 iterations and two trees of 8 steps.
// thread: one invocation takes a row, at most 3 x 16,384 iterations.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    rows: u32,
    cols: u32,
}

// One float for each invocation of a workgroup.
var<workgroup> part: array<f32, 256>;

fn value(x: f32, top: f32, sum: f32) -> f32 {
    if LOG { return x - top - log(sum); }
    return exp(x - top) / sum;
}

@compute @workgroup_size(256)
fn softmax_thread(grid: Grid) {
    let row = index_of(grid);
    if row >= p.rows { return; }
    let start = row * p.cols;
    var top = x[start];
    for (var c = 1u; c < p.cols; c++) { top = max(top, x[start + c]); }
    var sum = 0.0;
    for (var c = 0u; c < p.cols; c++) { sum += exp(x[start + c] - top); }
    for (var c = 0u; c < p.cols; c++) { y[start + c] = value(x[start + c], top, sum); }
}

// A group past the last row works on the last again and writes nothing, so that every barrier is met by all.
@compute @workgroup_size(256)
fn softmax_group(grid: Grid) {
    let row = group_of(grid);
    let start = min(row, p.rows - 1u) * p.cols;
    let t = grid.thread;
    var top = x[start + min(t, p.cols - 1u)];
    for (var c = t; c < p.cols; c += 256u) { top = max(top, x[start + c]); }
    part[t] = top;
    for (var half = 128u; half > 0u; half /= 2u) {
        // Every partial maximum must be there before another invocation takes it.
        workgroupBarrier();
        if t < half { part[t] = max(part[t], part[t + half]); }
    }
    workgroupBarrier();
    top = part[0];
    // All have read the maximum before its place is used for sums.
    workgroupBarrier();
    var sum = 0.0;
    for (var c = t; c < p.cols; c += 256u) { sum += exp(x[start + c] - top); }
    part[t] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        // Every partial sum must be there before another invocation adds it.
        workgroupBarrier();
        if t < half { part[t] += part[t + half]; }
    }
    workgroupBarrier();
    sum = part[0];
    if row >= p.rows { return; }
    for (var c = t; c < p.cols; c += 256u) { y[start + c] = value(x[start + c], top, sum); }
}
