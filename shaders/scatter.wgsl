// y[o, d, i] = x[o, d, i] joined with each src[o, l, i] whose index is d, in the order of l
//   x, y: [outer, size, inner]; src: [outer, length, inner]; index: as src, or [length]
// One invocation takes one element of y and looks at all indices of one part: at most 32,768 iterations a pass. The passes
// after the first go on from what is there.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read> src: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Lines;

fn joined(a: f32, b: f32) -> f32 {
    if p.join == 0u { return b; }
    if p.join == 1u { return a + b; }
    if p.join == 2u { return a * b; }
    if p.join == 3u { return larger4(vec4<f32>(a), vec4<f32>(b)).x; }
    return smaller4(vec4<f32>(a), vec4<f32>(b)).x;
}

@compute @workgroup_size(256)
fn scatter(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at >= p.outer * p.size * p.inner { return; }
    let row = divide(at, p.inner);
    let i = at - row * p.inner;
    let o = divide(row, p.size);
    let d = i32(row - o * p.size);
    var all = x[at];
    if p.first > 0u { all = y[at]; }
    for (var l = p.first; l < p.end; l++) {
        let source = (o * p.length + l) * p.inner + i;
        if index[select(l, source, p.each == 1u)] == d { all = joined(all, src[source]); }
    }
    y[at] = all;
}
