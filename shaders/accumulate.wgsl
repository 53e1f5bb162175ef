// sum[i] = a[i] + b[i]
//   a, b: strided operands; sum: dense, n elements
// flat and quads: one invocation adds four neighbours, with quads by p in steps of vec4; strided: one element. No loops.

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(0) var<storage, read> a4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(1) var<storage, read> b4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> sum: array<f32>;
@group(0) @binding(2) var<storage, read_write> sum4: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Strided;

@compute @workgroup_size(256)
fn accumulate_flat(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u < p.n { sum4[i] = a4[i] + b4[i]; }
}

@compute @workgroup_size(256)
fn accumulate_strided(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        sum[i] = a[at.x] + b[at.y];
    }
}

@compute @workgroup_size(256)
fn accumulate_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        sum4[i] = a4[at.x] + b4[at.y];
    }
}
