// The gradient of y = x + sin(a x)^2 / a:
//   dx = dy (1 + sin(2 a x)), and each element's part of da: dy (x sin(2 a x) - sin(a x)^2 / a) / a
//   dy, x, dx, da: [rows, columns]; a: [columns]
// One invocation takes one element. No loops: the rows of da are added up by a sum.

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> da: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

struct Params {
    n: u32,
    columns: u32,
}

@compute @workgroup_size(256)
fn snake_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n { return; }
    let a_i = a[i % p.columns];
    let s = sin(a_i * x[i]);
    let twice = sin(2.0 * a_i * x[i]);
    dx[i] = dy[i] * (1.0 + twice);
    da[i] = dy[i] * (x[i] * twice - s * s / a_i) / a_i;
}
