// y[i] = x[i] as the other type; to integers, towards zero
//   x, y of n elements. One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<vec4<From>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<To>>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    n: u32,
}

@compute @workgroup_size(256)
fn cast_each(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u < p.n { y[i] = vec4<To>(x[i]); }
}
