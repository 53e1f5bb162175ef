// y[to] = x[from], as 32-bit words of any type
//   x: strided; y: dense (copy) or strided (copy_into)
// flat and quads: one invocation moves four neighbours, with quads by p in steps of vec4; blocks: one turns a block of 4 x 4
// elements, by p in steps of blocks; the others move one element. No loops.

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(0) var<storage, read> x4: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<storage, read_write> y4: array<vec4<u32>>;
@group(0) @binding(2) var<uniform> p: Strided;

@compute @workgroup_size(256)
fn copy_flat(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u < p.n { y4[i] = x4[i]; }
}

@compute @workgroup_size(256)
fn copy_strided(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n { y[i] = x[offsets(i, p).x]; }
}

@compute @workgroup_size(256)
fn copy_into(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y[at.y] = x[at.x];
    }
}

@compute @workgroup_size(256)
fn copy_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n { y4[i] = x4[offsets(i, p).x]; }
}

@compute @workgroup_size(256)
fn copy_blocks(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n { return; }
    let at = offsets(i, p);
    let a = x4[at.x];
    let b = x4[at.x + p.rows_x];
    let c = x4[at.x + 2u * p.rows_x];
    let d = x4[at.x + 3u * p.rows_x];
    y4[at.y] = vec4<u32>(a.x, b.x, c.x, d.x);
    y4[at.y + p.rows_y] = vec4<u32>(a.y, b.y, c.y, d.y);
    y4[at.y + 2u * p.rows_y] = vec4<u32>(a.z, b.z, c.z, d.z);
    y4[at.y + 3u * p.rows_y] = vec4<u32>(a.w, b.w, c.w, d.w);
}

@compute @workgroup_size(256)
fn copy_into_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y4[at.y] = x4[at.x];
    }
}
