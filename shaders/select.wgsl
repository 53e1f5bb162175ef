// y[i] = b[i] where condition[i] is 0, else a[i]: NaN is not 0
//   condition, a, b: strided operands; y: dense, n elements
// One invocation takes one ITEM: one element, or four neighbours and p in steps of vec4. No loops.

@group(0) @binding(0) var<storage, read> condition: array<ITEM>;
@group(0) @binding(1) var<storage, read> a: array<ITEM>;
@group(0) @binding(2) var<storage, read> b: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> y: array<ITEM>;
@group(0) @binding(4) var<uniform> p: Strided;

@compute @workgroup_size(256)
fn where_nonzero(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y[i] = select(a[at.y], b[at.z], condition[at.x] == ITEM());
    }
}
