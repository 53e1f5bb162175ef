// y[i] = low + width * u, u uniform in [0, 1)
//   step: [2], the number to count from, low word first; y: n elements
// One invocation writes four neighbours, which are one block of the generator: counter (i / 4, number, stream).
// 10 iterations.

@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    n: u32,
    stream: u32,
    key_low: u32,
    key_high: u32,
    // Added to the number at `step`.
    offset: u32,
    low: f32,
    width: f32,
}

@compute @workgroup_size(256)
fn uniform_values(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u >= p.n { return; }
    let words = philox(vec4<u32>(i, number_at(step[0], step[1], p.offset), p.stream), vec2<u32>(p.key_low, p.key_high));
    y[i] = p.low + p.width * (vec4<f32>(words >> vec4<u32>(8u)) * (1.0 / 16777216.0));
}
