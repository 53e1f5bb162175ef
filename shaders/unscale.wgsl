// g = g / scale in place; found = 1 where some g is infinite or NaN
//   state: the scale, ..; g: n elements; found: the bits of a float
// One invocation takes WIDTH neighbours. No loops.

@group(0) @binding(0) var<storage, read> state: array<f32>;
@group(0) @binding(1) var<storage, read_write> g: array<ITEM>;
@group(0) @binding(2) var<storage, read_write> found: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
}

@compute @workgroup_size(256)
fn unscale(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * WIDTH >= p.n { return; }
    let value = g[i];
    if any((bitcast<BITS>(value) & BITS(0x7f800000u)) == BITS(0x7f800000u)) { atomicStore(&found[0], 0x3f800000u); }
    g[i] = value * (1.0 / state[0]);
}
