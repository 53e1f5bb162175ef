// y[i] = x[i] / (1 - p) where a uniform draw of element i is at least p, else 0
//   x, y: n elements of types X and Y; step: [2], the number to count from, low word first
// One invocation takes four neighbours, which are one block of the generator: counter (i / 4, number, stream).
// 10 iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Y>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
    stream: u32,
    key_low: u32,
    key_high: u32,
    // The drop probability, and 1 / (1 - it).
    drop: f32,
    scale: f32,
    // Added to the number at `step`.
    offset: u32,
}

@compute @workgroup_size(256)
fn dropout(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u >= p.n { return; }
    let words = philox(vec4<u32>(i, number_at(step[0], step[1], p.offset), p.stream), vec2<u32>(p.key_low, p.key_high));
    let draws = vec4<f32>(words >> vec4<u32>(8u)) * (1.0 / 16777216.0);
    y[i] = narrow_Y(select(vec4<f32>(), wide_X(x[i]) * p.scale, draws >= vec4<f32>(p.drop)));
}
