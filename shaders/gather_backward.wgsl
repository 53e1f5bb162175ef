// dx[o, d, i] = sum of dy[o, l, i] over those l whose index is d, in order
//   dy: [outer, length, inner]; dx: [outer, size, inner]
// One invocation takes one element of dx and looks at all indices of one part: at most 32,768 iterations a pass. The
// passes after the first add to what is there.

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Lines;

@compute @workgroup_size(256)
fn gather_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at >= p.outer * p.size * p.inner { return; }
    let row = divide(at, p.inner);
    let i = at - row * p.inner;
    let o = divide(row, p.size);
    let d = i32(row - o * p.size);
    var sum = 0.0;
    if p.first > 0u { sum = dx[at]; }
    for (var l = p.first; l < p.end; l++) {
        let source = (o * p.length + l) * p.inner + i;
        if index[select(l, source, p.each == 1u)] == d { sum += dy[source]; }
    }
    dx[at] = sum;
}
