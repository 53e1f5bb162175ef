// y[i] = f(a[i], b[i])
//   a, b: strided operands, broadcast by strides of 0; y: dense, n elements
// flat: one invocation takes four neighbours; row: likewise, where b is one row that all rows of a meet; quads: likewise
// wherever operands have four neighbours, p in steps of vec4; strided: one element. No loops.

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(0) var<storage, read> a4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(1) var<storage, read> b4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Strided;

fn inside(i: u32) -> bool { return i * 4u < p.n; }

// Four neighbours of the row that meet the result's i-th four.
fn row_of_b(i: u32) -> vec4<f32> {
    let width = p.dims[0].x / 4u;
    return b4[i - divide(i, width) * width];
}

// Where either is NaN, so is the result.
fn larger(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return select(select(b, a, a > b), a + b, (a != a) | (b != b)); }
fn smaller(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return select(select(b, a, a < b), a + b, (a != a) | (b != b)); }

@compute @workgroup_size(256) fn add_flat(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = a4[i] + b4[i]; } }
@compute @workgroup_size(256) fn add_row(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = a4[i] + row_of_b(i); } }
@compute @workgroup_size(256) fn add_quads(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y4[i] = a4[at.x] + b4[at.y]; } }
@compute @workgroup_size(256) fn add_strided(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] + b[at.y]; } }
@compute @workgroup_size(256) fn sub_flat(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = a4[i] - b4[i]; } }
@compute @workgroup_size(256) fn sub_row(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = a4[i] - row_of_b(i); } }
@compute @workgroup_size(256) fn sub_quads(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y4[i] = a4[at.x] - b4[at.y]; } }
@compute @workgroup_size(256) fn sub_strided(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] - b[at.y]; } }
@compute @workgroup_size(256) fn mul_flat(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = a4[i] * b4[i]; } }
@compute @workgroup_size(256) fn mul_row(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = a4[i] * row_of_b(i); } }
@compute @workgroup_size(256) fn mul_quads(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y4[i] = a4[at.x] * b4[at.y]; } }
@compute @workgroup_size(256) fn mul_strided(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] * b[at.y]; } }
@compute @workgroup_size(256) fn div_flat(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = a4[i] / b4[i]; } }
@compute @workgroup_size(256) fn div_row(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = a4[i] / row_of_b(i); } }
@compute @workgroup_size(256) fn div_quads(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y4[i] = a4[at.x] / b4[at.y]; } }
@compute @workgroup_size(256) fn div_strided(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y[i] = a[at.x] / b[at.y]; } }
@compute @workgroup_size(256) fn maximum_flat(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = larger(a4[i], b4[i]); } }
@compute @workgroup_size(256) fn maximum_row(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = larger(a4[i], row_of_b(i)); } }
@compute @workgroup_size(256) fn maximum_quads(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y4[i] = larger(a4[at.x], b4[at.y]); } }
@compute @workgroup_size(256) fn maximum_strided(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y[i] = larger(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x; } }
@compute @workgroup_size(256) fn minimum_flat(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = smaller(a4[i], b4[i]); } }
@compute @workgroup_size(256) fn minimum_row(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = smaller(a4[i], row_of_b(i)); } }
@compute @workgroup_size(256) fn minimum_quads(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y4[i] = smaller(a4[at.x], b4[at.y]); } }
@compute @workgroup_size(256) fn minimum_strided(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y[i] = smaller(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x; } }
@compute @workgroup_size(256) fn pow_flat(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = power4(a4[i], b4[i]); } }
@compute @workgroup_size(256) fn pow_row(g: Grid) { let i = index_of(g); if inside(i) { y4[i] = power4(a4[i], row_of_b(i)); } }
@compute @workgroup_size(256) fn pow_quads(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y4[i] = power4(a4[at.x], b4[at.y]); } }
@compute @workgroup_size(256) fn pow_strided(g: Grid) { let i = index_of(g); if i < p.n { let at = offsets(i, p); y[i] = power4(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x; } }
