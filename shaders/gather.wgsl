// y[o, l, i] = x[o, index, i] with index[o, l, i] (gather) or index[l] (index_select)
//   x: [outer, size, inner]; y: [outer, length, inner]; 32-bit words of any type
// One invocation takes one ITEM: one element, or four of index_select and p.inner in vec4. An index outside gives
// the bits of `missing`. No loops.

@group(0) @binding(0) var<storage, read> x: array<ITEM>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<ITEM>;
@group(0) @binding(3) var<uniform> p: Lines;

@compute @workgroup_size(256)
fn gather(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at >= p.outer * p.length * p.inner { return; }
    let row = divide(at, p.inner);
    let i = at - row * p.inner;
    let o = divide(row, p.length);
    let l = row - o * p.length;
    let d = index[select(l, at, p.each == 1u)];
    if d < 0 || u32(d) >= p.size {
        y[at] = ITEM(p.missing);
    } else {
        y[at] = x[(o * p.size + u32(d)) * p.inner + i];
    }
}
