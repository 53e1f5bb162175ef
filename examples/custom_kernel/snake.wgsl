// Snake: y = x + sin(a x)^2 / a, where each column has an a of its own.
//   x, y: [rows, columns]; a: [columns]
// One invocation takes one element. No loops.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
    columns: u32,
}

@compute @workgroup_size(256)
fn snake(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n { return; }
    let a_i = a[i % p.columns];
    let s = sin(a_i * x[i]);
    y[i] = x[i] + s * s / a_i;
}
