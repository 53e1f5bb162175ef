// dx = y * (dy - sum(dy * y)) for softmax, dx = dy - exp(y) * sum(dy) for log_softmax, over each row
//   y, dy, dx: [rows, cols], of types Y, DY and DX. LOG says which.
// group: THREADS invocations share a row, at most 2 (cols / (WIDTH THREADS) + 1) iterations and a tree of 8 steps.
// thread: one invocation takes a row, at most 2 x 16,384 iterations.

@group(0) @binding(0) var<storage, read> y: array<Y>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read_write> dx: array<DX>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    rows: u32,
    cols: u32,
}

// Set by the variant: LOG; THREADS; ITEM, BITS and WIDTH, vec4 and 4 where cols is a multiple of 4, else single numbers
// and 1.

// One float for each invocation of a workgroup.
var<workgroup> part: array<f32, THREADS>;

fn sum_of(v: ITEM) -> f32 {
    let four = vec4<f32>(v);
    return select((four.x + four.y) + (four.z + four.w), four.x, WIDTH == 1u);
}

// The built-in e^x, mended where an adapter may lose a NaN or not reach 0.
fn power(x: ITEM) -> ITEM {
    let is_nan = (bitcast<BITS>(x) & BITS(0x7fffffffu)) > BITS(0x7f800000u);
    return select(select(exp(x), ITEM(), x < ITEM(-87.33654)), x, is_nan);
}

fn term(at: u32) -> ITEM {
    if LOG { return wide_DY(dy[at]); }
    return wide_DY(dy[at]) * wide_Y(y[at]);
}

fn slope(at: u32, sum: f32) -> ITEM {
    if LOG { return wide_DY(dy[at]) - power(wide_Y(y[at])) * sum; }
    return wide_Y(y[at]) * (wide_DY(dy[at]) - sum);
}

@compute @workgroup_size(256)
fn softmax_backward_thread(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let row = index_of(grid, thread);
    if row >= p.rows { return; }
    let items = p.cols / WIDTH;
    let start = row * items;
    var sums = ITEM();
    for (var c = 0u; c < items; c++) { sums += term(start + c); }
    let sum = sum_of(sums);
    for (var c = 0u; c < items; c++) { dx[start + c] = narrow_DX(slope(start + c, sum)); }
}

// A group past the last row works on the last again and writes nothing, so that every barrier is met by all.
@compute @workgroup_size(THREADS)
fn softmax_backward_group(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let row = group_of(grid);
    let items = p.cols / WIDTH;
    let start = min(row, p.rows - 1u) * items;
    var sums = ITEM();
    for (var c = t; c < items; c += THREADS) { sums += term(start + c); }
    part[t] = sum_of(sums);
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        // Every partial sum must be there before another invocation adds it.
        workgroupBarrier();
        if t < half { part[t] += part[t + half]; }
    }
    workgroupBarrier();
    let sum = part[0];
    if row >= p.rows { return; }
    for (var c = t; c < items; c += THREADS) { dx[start + c] = narrow_DX(slope(start + c, sum)); }
}
