// out[to + e] = sum of x^2 over the elements of parameter e, which are cut into chunks of at most 4,096
//   x: a slab, each chunk starting on a multiple of 4 elements; table: (first element, elements) of each chunk, or
//   (first chunk, chunks) of each parameter
// tree: a workgroup takes a chunk, 4 iterations and a tree of 8 steps. threads: an invocation takes a chunk, 1,024
// iterations. join: an invocation takes a parameter and adds up its chunks in order, at most 8,192 iterations.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<vec2<i32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    chunk: u32,
    chunks: u32,
    entry: u32,
    entries: u32,
    to: u32,
}

var<workgroup> part: array<f32, 256>;

// The square of the i-th four of a chunk; what lies past its end is not the parameter's.
fn square_at(i: u32, chunk: vec2<i32>) -> f32 {
    let left = vec4<i32>(chunk.y - i32(i * 4u)) - vec4<i32>(0, 1, 2, 3);
    let v = select(vec4<f32>(), x[u32(chunk.x) / 4u + i], left > vec4<i32>());
    return dot(v, v);
}

@compute @workgroup_size(256)
fn square_sums_tree(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid);
    var sum = 0.0;
    if at < p.chunks {
        let chunk = table[p.chunk + at];
        for (var i = thread; i * 4u < u32(chunk.y); i += 256u) { sum += square_at(i, chunk); }
    }
    part[thread] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        // Every partial sum must be there before another invocation adds it.
        workgroupBarrier();
        if thread < half { part[thread] += part[thread + half]; }
    }
    if thread == 0u && at < p.chunks { out[at] = part[0]; }
}

@compute @workgroup_size(64)
fn square_sums_threads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    if at >= p.chunks { return; }
    let chunk = table[p.chunk + at];
    var sum = 0.0;
    for (var i = 0u; i * 4u < u32(chunk.y); i++) { sum += square_at(i, chunk); }
    out[at] = sum;
}

@compute @workgroup_size(64)
fn square_sums_join(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    if at >= p.entries { return; }
    let entry = table[p.entry + at];
    let first = u32(entry.x) - p.chunk;
    var sum = 0.0;
    for (var i = 0u; i < u32(entry.y); i++) { sum += parts[first + i]; }
    out[p.to + at] = sum;
}
