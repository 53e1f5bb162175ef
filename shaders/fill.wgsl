// y = value again and again, as 32-bit words of any type
//   y: n words. One invocation sets four neighbours. No loops.

@group(0) @binding(0) var<storage, read_write> y: array<vec4<u32>>;
@group(0) @binding(1) var<uniform> p: Params;

struct Params {
    n: u32,
    value_0: u32,
    value_1: u32,
}

@compute @workgroup_size(256)
fn fill(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u < p.n { y[i] = vec4<u32>(p.value_0, p.value_1, p.value_0, p.value_1); }
}
