// dx = y * (dy - sum(dy * y)) for softmax, dx = dy - exp(y) * sum(dy) for log_softmax, over each row
//   y, dy, dx: [rows, cols]. LOG says which.
// group: 256 invocations share a row, at most 2 x cols / 256 iterations and a tree of 8 steps.
// thread: one invocation takes a row, at most 2 x 16,384 iterations.

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    rows: u32,
    cols: u32,
}

// One float for each invocation of a workgroup.
var<workgroup> part: array<f32, 256>;

fn term(at: u32) -> f32 {
    if LOG { return dy[at]; }
    return dy[at] * y[at];
}

fn slope(at: u32, sum: f32) -> f32 {
    if LOG { return dy[at] - exp(y[at]) * sum; }
    return y[at] * (dy[at] - sum);
}

@compute @workgroup_size(256)
fn softmax_backward_thread(grid: Grid) {
    let row = index_of(grid);
    if row >= p.rows { return; }
    let start = row * p.cols;
    var sum = 0.0;
    for (var c = 0u; c < p.cols; c++) { sum += term(start + c); }
    for (var c = 0u; c < p.cols; c++) { dx[start + c] = slope(start + c, sum); }
}

// A group past the last row works on the last again and writes nothing, so that every barrier is met by all.
@compute @workgroup_size(256)
fn softmax_backward_group(grid: Grid) {
    let row = group_of(grid);
    let start = min(row, p.rows - 1u) * p.cols;
    let t = grid.thread;
    var sum = 0.0;
    for (var c = t; c < p.cols; c += 256u) { sum += term(start + c); }
    part[t] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        // Every partial sum must be there before another invocation adds it.
        workgroupBarrier();
        if t < half { part[t] += part[t + half]; }
    }
    workgroupBarrier();
    if row >= p.rows { return; }
    for (var c = t; c < p.cols; c += 256u) { dx[start + c] = slope(start + c, part[0]); }
}
