// y[c, o] = the sum over chunk c of the reduced elements of x, for output o, which wraps around in 32 bits
//   x: strided; y: [chunks, n]
// One invocation takes one chunk of one output; at most 1,024 elements x 7 loop iterations.

@group(0) @binding(0) var<storage, read> x: array<i32>;
@group(0) @binding(1) var<storage, read_write> y: array<i32>;
@group(0) @binding(2) var<uniform> p: Reduce;

@compute @workgroup_size(256)
fn sum_i32(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n * p.chunks { return; }
    let chunk = divide(i, p.n);
    let start = start_of(i - chunk * p.n);
    let first = chunk * p.chunk;
    var all = 0;
    for (var r = first; r < min(first + p.chunk, p.count); r++) { all += x[start + offset_of(r)]; }
    y[i] = all;
}
