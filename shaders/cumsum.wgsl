// y[o, i, k] = x[o, 0, k] + .. + x[o, i, k], or from the end where reverse
//   x, y: [outer, n, inner]; totals: [outer, inner, chunks], scratch
// chunks: an invocation adds up one chunk of a line, at most 1,024 iterations. Where a line has several:
// totals: an invocation turns a line's totals into the sums before each chunk, at most 60,000 iterations;
// add: an invocation adds such a sum to its chunk, at most 1,024 iterations.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> totals: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    outer: u32,
    n: u32,
    inner: u32,
    reverse: u32,
    chunk: u32,
    chunks: u32,
}

// The i-th element of a line, counted from where the sum starts.
fn place(line: u32, i: u32) -> u32 {
    let o = divide(line, p.inner);
    let row = select(i, p.n - 1u - i, p.reverse == 1u);
    return (o * p.n + row) * p.inner + line - o * p.inner;
}

@compute @workgroup_size(64)
fn cumsum_chunks(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    if at >= p.outer * p.inner * p.chunks { return; }
    let line = divide(at, p.chunks);
    let start = (at - line * p.chunks) * p.chunk;
    // Elements meet the running sum 32 at a time: fewer roundings than one by one.
    var before = 0.0;
    var sum = 0.0;
    for (var i = start; i < min(start + p.chunk, p.n); i++) {
        if (i - start) % 32u == 0u {
            before += sum;
            sum = 0.0;
        }
        let here = place(line, i);
        sum += x[here];
        y[here] = before + sum;
    }
    totals[at] = before + sum;
}

@compute @workgroup_size(64)
fn cumsum_totals(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let line = group_of(grid) * 64u + thread;
    if line >= p.outer * p.inner { return; }
    var sum = 0.0;
    for (var c = 0u; c < p.chunks; c++) {
        let own = totals[line * p.chunks + c];
        totals[line * p.chunks + c] = sum;
        sum += own;
    }
}

@compute @workgroup_size(64)
fn cumsum_add(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    if at >= p.outer * p.inner * p.chunks { return; }
    let line = divide(at, p.chunks);
    let start = (at - line * p.chunks) * p.chunk;
    let before = totals[at];
    for (var i = start; i < min(start + p.chunk, p.n); i++) { y[place(line, i)] += before; }
}
