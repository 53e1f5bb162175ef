// y[l] = weight[index[l]], a row each; NaN for an index that is outside
//   weight: [size, 4 quads]; index: [length]; y: [length, 4 quads]; weight and y of types W and Y
// One invocation copies four neighbours. No loops.

@group(0) @binding(0) var<storage, read> weight: array<W>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<Y>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    size: u32,
    quads: u32,
    length: u32,
    // For the gradient: rows of the table that one workgroup adds up, and the part of the indices of a pass.
    block: u32,
    first: u32,
    end: u32,
}

@compute @workgroup_size(256)
fn embedding(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.length * p.quads { return; }
    let l = divide(i, p.quads);
    let row = index[l];
    if row < 0 || u32(row) >= p.size {
        y[i] = narrow_Y(from_bits4(0x7fc00000u));
    } else {
        y[i] = narrow_Y(wide_W(weight[u32(row) * p.quads + i - l * p.quads]));
    }
}
