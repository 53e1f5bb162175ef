// y[i] = 1 if a[i] <relation> b[i], else 0
//   a, b: strided operands of type T; y: dense, n elements of type Y
// One invocation takes one element, or four neighbours where T and Y are vec4 and p in steps of them. No loops.

@group(0) @binding(0) var<storage, read> a: array<T>;
@group(0) @binding(1) var<storage, read> b: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<Y>;
@group(0) @binding(3) var<uniform> p: Strided;

// 1 where both are numbers: set by the variant are BITS, u32 or a vec4 of it, and FLOAT.
fn known(a: T, b: T) -> Y {
    if !FLOAT { return Y(1); }
    return Y((bitcast<BITS>(a) & BITS(0x7fffffffu)) <= BITS(0x7f800000u)) * Y((bitcast<BITS>(b) & BITS(0x7fffffffu)) <= BITS(0x7f800000u));
}

@compute @workgroup_size(256) fn eq(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = Y(a[at.x] == b[at.y]) * known(a[at.x], b[at.y]); } }
@compute @workgroup_size(256) fn ne(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = Y(1) - Y(a[at.x] == b[at.y]) * known(a[at.x], b[at.y]); } }
@compute @workgroup_size(256) fn lt(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = Y(a[at.x] < b[at.y]) * known(a[at.x], b[at.y]); } }
@compute @workgroup_size(256) fn le(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = Y(a[at.x] <= b[at.y]) * known(a[at.x], b[at.y]); } }
@compute @workgroup_size(256) fn gt(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = Y(a[at.x] > b[at.y]) * known(a[at.x], b[at.y]); } }
@compute @workgroup_size(256) fn ge(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = Y(a[at.x] >= b[at.y]) * known(a[at.x], b[at.y]); } }
