// mean = mean + rest (x - mean), with rest = 1 - decay
//   x, mean: slabs of n elements
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> mean: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    n: u32,
    rest: f32,
}

@compute @workgroup_size(256)
fn ema(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u < p.n { mean[i] += p.rest * (x[i] - mean[i]); }
}
