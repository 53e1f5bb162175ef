// y = softmax(x) or log_softmax(x) over each row: e = exp(x - max), y = e / sum(e) or x - max - log(sum(e))
//   x, y: [rows, cols], of types X and Y. LOG says which.
// group: THREADS invocations share a row, at most 3 (cols / (WIDTH THREADS) + 1) iterations and two trees of 8 steps.
// thread: one invocation takes a row, at most 3 x 16,384 iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read_write> y: array<Y>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    rows: u32,
    cols: u32,
}

// Set by the variant: LOG; THREADS; ITEM, BITS and WIDTH, vec4 and 4 where cols is a multiple of 4, else
// single numbers and 1.

// One float for each invocation of a workgroup.
var<workgroup> part: array<f32, THREADS>;

// A float, as four, is repeated.
fn largest(v: ITEM) -> f32 {
    let four = vec4<f32>(v);
    return max(max(four.x, four.y), max(four.z, four.w));
}

fn sum_of(v: ITEM) -> f32 {
    let four = vec4<f32>(v);
    return select((four.x + four.y) + (four.z + four.w), four.x, WIDTH == 1u);
}

// The built-in e^x, mended where an adapter may lose a NaN or not reach 0.
fn power(x: ITEM) -> ITEM {
    let is_nan = (bitcast<BITS>(x) & BITS(0x7fffffffu)) > BITS(0x7f800000u);
    return select(select(exp(x), ITEM(), x < ITEM(-87.33654)), x, is_nan);
}

fn value(x: ITEM, top: f32, sum: f32) -> ITEM {
    let is_nan = (bitcast<u32>(sum) & 0x7fffffffu) > 0x7f800000u;
    if LOG { return x - top - select(log(sum), sum, is_nan); }
    return power(x - top) / sum;
}

@compute @workgroup_size(256)
fn softmax_thread(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let row = index_of(grid, thread);
    if row >= p.rows { return; }
    let items = p.cols / WIDTH;
    let start = row * items;
    var tops = wide_X(x[start]);
    for (var c = 1u; c < items; c++) { tops = max(tops, wide_X(x[start + c])); }
    let top = largest(tops);
    var sums = ITEM();
    for (var c = 0u; c < items; c++) { sums += power(wide_X(x[start + c]) - top); }
    let sum = sum_of(sums);
    for (var c = 0u; c < items; c++) { y[start + c] = narrow_Y(value(wide_X(x[start + c]), top, sum)); }
}

// A group past the last row works on the last again and writes nothing, so that every barrier is met by all.
@compute @workgroup_size(THREADS)
fn softmax_group(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let row = group_of(grid);
    let items = p.cols / WIDTH;
    let start = min(row, p.rows - 1u) * items;
    var tops = wide_X(x[start + min(t, items - 1u)]);
    for (var c = t; c < items; c += THREADS) { tops = max(tops, wide_X(x[start + c])); }
    part[t] = largest(tops);
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        // Every partial maximum must be there before another invocation takes it.
        workgroupBarrier();
        if t < half { part[t] = max(part[t], part[t + half]); }
    }
    workgroupBarrier();
    let top = part[0];
    // All have read the maximum before its place is used for sums.
    workgroupBarrier();
    var sums = ITEM();
    for (var c = t; c < items; c += THREADS) { sums += power(wide_X(x[start + c]) - top); }
    part[t] = sum_of(sums);
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        // Every partial sum must be there before another invocation adds it.
        workgroupBarrier();
        if t < half { part[t] += part[t + half]; }
    }
    workgroupBarrier();
    let sum = part[0];
    if row >= p.rows { return; }
    for (var c = t; c < items; c += THREADS) { y[start + c] = narrow_Y(value(wide_X(x[start + c]), top, sum)); }
}
