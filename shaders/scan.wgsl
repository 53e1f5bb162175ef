// y[o, i, k] = x[o, 0, k] joined with .. x[o, i, k]
//   x, y: [outer, n, inner]; totals: [outer, inner, chunks], scratch
// chunks: an invocation joins one chunk of a line, at most 1,024 iterations. Where a line has several:
// totals: an invocation turns a line's totals into what is before each chunk, at most 60,000 iterations;
// apply: an invocation joins that with its chunk, at most 1,024 iterations.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> totals: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    outer: u32,
    n: u32,
    inner: u32,
    chunk: u32,
    chunks: u32,
}

// What KIND does to two values, set by the variant: 0 multiplies, 1 takes the larger, 2 the smaller.
fn join(a: f32, b: f32) -> f32 {
    if KIND == 0u { return a * b; }
    if KIND == 1u { return larger4(vec4<f32>(a), vec4<f32>(b)).x; }
    return smaller4(vec4<f32>(a), vec4<f32>(b)).x;
}

fn place(line: u32, i: u32) -> u32 {
    let o = divide(line, p.inner);
    return (o * p.n + i) * p.inner + line - o * p.inner;
}

@compute @workgroup_size(64)
fn scan_chunks(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    if at >= p.outer * p.inner * p.chunks { return; }
    let line = divide(at, p.chunks);
    let start = (at - line * p.chunks) * p.chunk;
    var all = x[place(line, start)];
    y[place(line, start)] = all;
    for (var i = start + 1u; i < min(start + p.chunk, p.n); i++) {
        all = join(all, x[place(line, i)]);
        y[place(line, i)] = all;
    }
    totals[at] = all;
}

@compute @workgroup_size(64)
fn scan_totals(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let line = group_of(grid) * 64u + thread;
    if line >= p.outer * p.inner { return; }
    var all = totals[line * p.chunks];
    for (var c = 1u; c < p.chunks; c++) {
        let own = totals[line * p.chunks + c];
        totals[line * p.chunks + c] = all;
        all = join(all, own);
    }
}

@compute @workgroup_size(64)
fn scan_apply(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    if at >= p.outer * p.inner * p.chunks { return; }
    let line = divide(at, p.chunks);
    let chunk = at - line * p.chunks;
    if chunk == 0u { return; }
    let start = chunk * p.chunk;
    let before = totals[at];
    for (var i = start; i < min(start + p.chunk, p.n); i++) { y[place(line, i)] = join(before, y[place(line, i)]); }
}
