// y[i] = a[i] where condition[i] != 0, else b[i]
//   condition, a, b: strided operands; y: dense, n elements
// One invocation takes one element. No loops.

@group(0) @binding(0) var<storage, read> condition: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Strided;

@compute @workgroup_size(256)
fn where_nonzero(grid: Grid) {
    let i = index_of(grid);
    if i < p.n {
        let at = offsets(i, p);
        if condition[at.x] != 0.0 { y[i] = a[at.y]; } else { y[i] = b[at.z]; }
    }
}
