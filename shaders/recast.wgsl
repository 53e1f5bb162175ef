// y[to] = x[from] between floats of half size and f32
//   widen_strided: x: strided, of type X; y: dense, of f32; p by elements
//   narrow_into_quads: x: strided, of f32; y: strided, of type Y; p in steps of four elements
// One invocation moves one element, or four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<X_WORD>;
@group(0) @binding(0) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> y4: array<Y>;
@group(0) @binding(2) var<uniform> p: Strided;

@compute @workgroup_size(256)
fn widen_strided(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p).x;
        y[i] = pick_X(x[at / EACH_X], at);
    }
}

@compute @workgroup_size(256)
fn narrow_into_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y4[at.y] = narrow_Y(x4[at.x]);
    }
}
