// y[c, o] = scale * (sum, largest or smallest) over chunk c of the reduced elements of x, for output o
//   x: strided, of type X; y: [chunks, n]
// threads: one invocation takes one chunk of one output, in order; at most 1,024 elements x 7 loop iterations.
// tree: 256 invocations share a chunk; each takes every 256th element, at most 64 x 7 iterations, then a tree of 8 steps.

@group(0) @binding(0) var<storage, read> x: array<X_WORD>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Reduce;

// 256 floats: one for each invocation of a workgroup.
var<workgroup> shared_values: array<f32, 256>;

// What KIND does to two values, set by the variant: 0 adds, 1 takes the larger, 2 the smaller.
fn join(a: f32, b: f32) -> f32 {
    if KIND == 0u { return a + b; }
    if KIND == 1u { return larger4(vec4<f32>(a), vec4<f32>(b)).x; }
    return smaller4(vec4<f32>(a), vec4<f32>(b)).x;
}

fn element(at: u32) -> f32 { return pick_X(x[at / EACH_X], at); }

// What a loop starts from: nothing, or an element that it meets again.
fn first_of(at: u32) -> f32 {
    if KIND == 0u { return 0.0; }
    return element(at);
}

@compute @workgroup_size(256)
fn reduce_threads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n * p.chunks { return; }
    let chunk = divide(i, p.n);
    let start = start_of(i - chunk * p.n);
    let first = chunk * p.chunk;
    var all = first_of(start + offset_of(first));
    for (var r = first; r < min(first + p.chunk, p.count); r++) { all = join(all, element(start + offset_of(r))); }
    y[i] = all * p.scale;
}

// A group past the last works on the last again and writes nothing, so that every barrier is met by all.
@compute @workgroup_size(256)
fn reduce_tree(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid);
    let at = min(i, p.n * p.chunks - 1u);
    let chunk = divide(at, p.n);
    let start = start_of(at - chunk * p.n);
    let first = chunk * p.chunk;
    var all = first_of(start + offset_of(first));
    for (var r = first + thread; r < min(first + p.chunk, p.count); r += 256u) { all = join(all, element(start + offset_of(r))); }
    shared_values[thread] = all;
    for (var half = 128u; half > 0u; half /= 2u) {
        // Every partial result must be there before another invocation takes it.
        workgroupBarrier();
        if thread < half { shared_values[thread] = join(shared_values[thread], shared_values[thread + half]); }
    }
    if thread == 0u && i < p.n * p.chunks { y[i] = shared_values[0] * p.scale; }
}
