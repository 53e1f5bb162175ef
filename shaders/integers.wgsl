// y[i] = f(a[i], b[i]) of whole numbers, which wrap around in 32 bits
//   a, b: strided operands; y: dense, n elements
// One invocation takes one element. A quotient by 0 is 0, and so is what is left. No loops.

@group(0) @binding(0) var<storage, read> a: array<i32>;
@group(0) @binding(1) var<storage, read> b: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<i32>;
@group(0) @binding(3) var<uniform> p: Strided;

// Towards 0. The one quotient that 32 bits do not hold wraps around.
fn quotient(a: i32, b: i32) -> i32 {
    if b == 0 { return 0; }
    if b == -1 { return 0 - a; }
    return a / b;
}

// With the sign of a.
fn rest(a: i32, b: i32) -> i32 { return select(a - quotient(a, b) * b, 0, b == 0); }

// Whether the quotient towards 0 is above the one that is rounded down.
fn is_above(a: i32, b: i32) -> bool {
    let left = rest(a, b);
    return left != 0 && (left < 0) != (b < 0);
}

@compute @workgroup_size(256) fn add_i32(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] + b[at.y]; } }
@compute @workgroup_size(256) fn sub_i32(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] - b[at.y]; } }
@compute @workgroup_size(256) fn mul_i32(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] * b[at.y]; } }
@compute @workgroup_size(256) fn maximum_i32(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = max(a[at.x], b[at.y]); } }
@compute @workgroup_size(256) fn minimum_i32(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = min(a[at.x], b[at.y]); } }
@compute @workgroup_size(256) fn floor_divide_i32(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = quotient(a[at.x], b[at.y]) - i32(is_above(a[at.x], b[at.y])); } }
@compute @workgroup_size(256) fn trunc_divide_i32(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = quotient(a[at.x], b[at.y]); } }
@compute @workgroup_size(256) fn remainder_i32(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = rest(a[at.x], b[at.y]) + select(0, b[at.y], is_above(a[at.x], b[at.y])); } }
@compute @workgroup_size(256) fn fmod_i32(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = rest(a[at.x], b[at.y]); } }
