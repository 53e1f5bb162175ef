// y[i] = f(a[i], b[i])
//   a, b: strided operands, broadcast by strides of 0; y: dense, n elements
// flat: one invocation takes four neighbours; row: those of four rows, where b is one row that all rows of a meet; quads:
// as flat, wherever operands have four neighbours, p in steps of vec4; strided: one element. At most 4 iterations.

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(0) var<storage, read> a4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(1) var<storage, read> b4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Strided;

fn inside(i: u32) -> bool { return i * 4u < p.n; }

// Four columns of four rows: the vec4 of the first, the end, and from row to row; and that of b.
struct Strip { first: u32, end: u32, step: u32, of_b: u32 }

fn strip_of(i: u32) -> Strip {
    let width = p.dims[0].x / 4u;
    let strip = divide(i, width);
    let column = i - strip * width;
    let first = strip * 4u * width + column;
    return Strip(first, min(first + 4u * width, p.n / 4u), width, column);
}

@compute @workgroup_size(256) fn add_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = a4[i] + b4[i]; } }
@compute @workgroup_size(256) fn add_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = a4[i] + row; } }
@compute @workgroup_size(256) fn add_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = a4[at.x] + b4[at.y]; } }
@compute @workgroup_size(256) fn add_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] + b[at.y]; } }
@compute @workgroup_size(256) fn sub_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = a4[i] - b4[i]; } }
@compute @workgroup_size(256) fn sub_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = a4[i] - row; } }
@compute @workgroup_size(256) fn sub_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = a4[at.x] - b4[at.y]; } }
@compute @workgroup_size(256) fn sub_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] - b[at.y]; } }
@compute @workgroup_size(256) fn mul_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = a4[i] * b4[i]; } }
@compute @workgroup_size(256) fn mul_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = a4[i] * row; } }
@compute @workgroup_size(256) fn mul_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = a4[at.x] * b4[at.y]; } }
@compute @workgroup_size(256) fn mul_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] * b[at.y]; } }
@compute @workgroup_size(256) fn div_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = a4[i] / b4[i]; } }
@compute @workgroup_size(256) fn div_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = a4[i] / row; } }
@compute @workgroup_size(256) fn div_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = a4[at.x] / b4[at.y]; } }
@compute @workgroup_size(256) fn div_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] / b[at.y]; } }
@compute @workgroup_size(256) fn maximum_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = larger4(a4[i], b4[i]); } }
@compute @workgroup_size(256) fn maximum_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = larger4(a4[i], row); } }
@compute @workgroup_size(256) fn maximum_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = larger4(a4[at.x], b4[at.y]); } }
@compute @workgroup_size(256) fn maximum_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = larger4(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x; } }
@compute @workgroup_size(256) fn minimum_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = smaller4(a4[i], b4[i]); } }
@compute @workgroup_size(256) fn minimum_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = smaller4(a4[i], row); } }
@compute @workgroup_size(256) fn minimum_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = smaller4(a4[at.x], b4[at.y]); } }
@compute @workgroup_size(256) fn minimum_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = smaller4(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x; } }
@compute @workgroup_size(256) fn pow_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = power4(a4[i], b4[i]); } }
@compute @workgroup_size(256) fn pow_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = power4(a4[i], row); } }
@compute @workgroup_size(256) fn pow_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = power4(a4[at.x], b4[at.y]); } }
@compute @workgroup_size(256) fn pow_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = power4(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x; } }
@compute @workgroup_size(256) fn fmod_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = fmod4(a4[i], b4[i]); } }
@compute @workgroup_size(256) fn fmod_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = fmod4(a4[i], row); } }
@compute @workgroup_size(256) fn fmod_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = fmod4(a4[at.x], b4[at.y]); } }
@compute @workgroup_size(256) fn fmod_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = fmod4(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x; } }
@compute @workgroup_size(256) fn remainder_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = remainder4(a4[i], b4[i]); } }
@compute @workgroup_size(256) fn remainder_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = remainder4(a4[i], row); } }
@compute @workgroup_size(256) fn remainder_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = remainder4(a4[at.x], b4[at.y]); } }
@compute @workgroup_size(256) fn remainder_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = remainder4(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x; } }
@compute @workgroup_size(256) fn atan2_flat(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y4[i] = atan2_4(a4[i], b4[i]); } }
@compute @workgroup_size(256) fn atan2_row(g: Grid, @builtin(local_invocation_index) thread: u32) { let s = strip_of(index_of(g, thread)); let row = b4[s.of_b]; for (var i = s.first; i < s.end; i += s.step) { y4[i] = atan2_4(a4[i], row); } }
@compute @workgroup_size(256) fn atan2_quads(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y4[i] = atan2_4(a4[at.x], b4[at.y]); } }
@compute @workgroup_size(256) fn atan2_strided(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if i < p.n { let at = offsets(i, p); y[i] = atan2_4(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x; } }
