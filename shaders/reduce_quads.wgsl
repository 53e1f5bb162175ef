// y[c, o] = scale * (sum, largest or smallest) over chunk c of the reduced elements of x, for output o, by whole vec4
//   x: strided, in steps of 4 but for one dimension whose elements are neighbours; y: [chunks, n]; x of type X
// rows: the neighbours are reduced. 256 invocations share a chunk; at most 16 iterations each, then a tree of 8 steps.
// each_row: one invocation takes a chunk: at most 1,024 iterations.
// columns: the neighbours are outputs. One invocation takes a chunk of four of them: at most 1,024 iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Reduce;

// One for each invocation of a workgroup.
var<workgroup> part: array<f32, 256>;

// The same where at most two dimensions are reduced.
fn offset_of_two(r: u32) -> u32 {
    if p.reduced_rank < 2u { return r * p.dims[0].w; }
    let outer = divide(r, p.dims[1].z);
    return outer * p.dims[0].w + (r - outer * p.dims[1].z) * p.dims[1].w;
}

// What KIND does to values, set by the variant: 0 adds, 1 takes the larger, 2 the smaller.
fn join4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    if KIND == 0u { return a + b; }
    if KIND == 1u { return larger4(a, b); }
    return smaller4(a, b);
}

fn join(a: f32, b: f32) -> f32 { return join4(vec4<f32>(a), vec4<f32>(b)).x; }

fn joined(v: vec4<f32>) -> f32 { return join(join(v.x, v.y), join(v.z, v.w)); }

// What a loop starts from: nothing, or elements that it meets again.
fn first_of(at: u32) -> vec4<f32> {
    if KIND == 0u { return vec4<f32>(); }
    return wide_X(x[at / 4u]);
}

// A group past the last works on the last again and writes nothing, so that every barrier is met by all.
@compute @workgroup_size(256)
fn reduce_rows(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let i = group_of(grid);
    let at = min(i, p.n * p.chunks - 1u);
    let chunk = divide(at, p.n);
    let start = start_of(at - chunk * p.n);
    let first = chunk * p.chunk;
    var all = first_of(start + offset_of_two(first));
    let end = min(first + p.chunk, p.count);
    for (var r = first + t * 4u; r < end; r += 1024u) { all = join4(all, wide_X(x[(start + offset_of_two(r)) / 4u])); }
    part[t] = joined(all);
    for (var half = 128u; half > 0u; half /= 2u) {
        // Every partial result must be there before another invocation takes it.
        workgroupBarrier();
        if t < half { part[t] = join(part[t], part[t + half]); }
    }
    if t == 0u && i < p.n * p.chunks { y[i] = part[0] * p.scale; }
}

@compute @workgroup_size(256)
fn reduce_each_row(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n * p.chunks { return; }
    let chunk = divide(i, p.n);
    let start = start_of(i - chunk * p.n);
    let first = chunk * p.chunk;
    var all = first_of(start + offset_of_two(first));
    for (var r = first; r < min(first + p.chunk, p.count); r += 4u) { all = join4(all, wide_X(x[(start + offset_of_two(r)) / 4u])); }
    y[i] = joined(all) * p.scale;
}

@compute @workgroup_size(64)
fn reduce_columns(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let quads = p.n / 4u;
    if i >= quads * p.chunks { return; }
    let chunk = divide(i, quads);
    let start = start_of((i - chunk * quads) * 4u);
    let first = chunk * p.chunk;
    var all = first_of(start + offset_of_two(first));
    for (var r = first; r < min(first + p.chunk, p.count); r++) { all = join4(all, wide_X(x[(start + offset_of_two(r)) / 4u])); }
    y4[i] = all * p.scale;
}
