// m[r] = b1 m[r] + (1 - b1) g[i], v[r] = b2 v[r] + (1 - b2) g[i]^2, x[r] = x[r] - step_size m[r] / (sqrt(v[r]) + eps), for the
// rows r = rows[i] that are not -1
//   g: [n, width]; rows: [n], each row of x at most once; x, m, v: [size, width]; numbers: the factor that clips g, .., and from
//   `at`, or where parameters have numbers of their own, from `own` on step_size = lr sqrt(1 - b2^t) / (1 - b1^t), b1, 1 - b1
// One invocation takes one of `width` items. No loops.

@group(0) @binding(0) var<storage, read> g: array<ITEM>;
@group(0) @binding(1) var<storage, read> rows: array<i32>;
@group(0) @binding(2) var<storage, read_write> x: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> m: array<ITEM>;
@group(0) @binding(4) var<storage, read_write> v: array<ITEM>;
@group(0) @binding(5) var<storage, read> numbers: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

struct Params {
    n: u32,
    width: u32,
    at: u32,
    own: u32,
    beta2: f32,
    // 1 - beta2 to the last bit: f32 would lose it in the difference.
    rest2: f32,
    eps: f32,
}

@compute @workgroup_size(256)
fn rows_adam(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let to = table_place(i);
    if to == NOWHERE { return; }
    let place = first_number();
    let slope = numbers[0] * g[i];
    let mean = numbers[place + 1u] * m[to] + numbers[place + 2u] * slope;
    let square = p.beta2 * v[to] + p.rest2 * slope * slope;
    m[to] = mean;
    v[to] = square;
    x[to] -= numbers[place] * mean / (sqrt(square) + p.eps);
}
