// y[i, j, k, l] = x where all four indices are below their limits, else 0
//   x: strided, of type X; y: dense, of sizes of which the last is a multiple of 4
// One invocation makes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<X_WORD>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    // vec4 of y
    n: u32,
    size_j: u32,
    size_k: u32,
    size_l: u32,
    limit_i: u32,
    limit_j: u32,
    limit_k: u32,
    limit_l: u32,
    base: u32,
    step_i: u32,
    step_j: u32,
    step_k: u32,
    step_l: u32,
}

fn element(i: u32) -> f32 { return pick_X(x[i / EACH_X], i); }

@compute @workgroup_size(256)
fn arrange(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at >= p.n { return; }
    let quads = p.size_l / 4u;
    let row = divide(at, quads);
    let l = (at - row * quads) * 4u;
    let plane = divide(row, p.size_k);
    let k = row - plane * p.size_k;
    let i = divide(plane, p.size_j);
    let j = plane - i * p.size_j;
    var value = vec4<f32>();
    if i < p.limit_i && j < p.limit_j && k < p.limit_k && l < p.limit_l {
        let first = p.base + i * p.step_i + j * p.step_j + k * p.step_k + l * p.step_l;
        value.x = element(first);
        if l + 1u < p.limit_l { value.y = element(first + p.step_l); }
        if l + 2u < p.limit_l { value.z = element(first + 2u * p.step_l); }
        if l + 3u < p.limit_l { value.w = element(first + 3u * p.step_l); }
    }
    y[at] = value;
}
