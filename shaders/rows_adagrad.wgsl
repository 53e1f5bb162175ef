// sum[r] = sum[r] + g[i]^2, x[r] = x[r] - lr g[i] / (sqrt(sum[r]) + eps), for the rows r = rows[i] that are not -1
//   g: [n, width]; rows: [n], each row of x at most once; x, sum: [size, width]; numbers: the factor that clips g, .., and
//   from `at`, or where parameters have numbers of their own, from `own` on lr after its decay
// One invocation takes one of `width` items. No loops.

@group(0) @binding(0) var<storage, read> g: array<ITEM>;
@group(0) @binding(1) var<storage, read> rows: array<i32>;
@group(0) @binding(2) var<storage, read_write> x: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> sum: array<ITEM>;
@group(0) @binding(4) var<storage, read> numbers: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

struct Params {
    n: u32,
    width: u32,
    at: u32,
    own: u32,
    eps: f32,
}

@compute @workgroup_size(256)
fn rows_adagrad(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let to = table_place(i);
    if to == NOWHERE { return; }
    let place = first_number();
    let slope = numbers[0] * g[i];
    let total = sum[to] + slope * slope;
    sum[to] = total;
    x[to] -= numbers[place] * slope / (sqrt(total) + p.eps);
}
