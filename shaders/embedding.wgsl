// y[l] = weight[index[l]], a row each; NaN for an index that is outside
//   weight: [size, width]; index: [length]; y: [length, width]; weight and y of types W and Y
// One invocation copies one ITEM, an element or four neighbours. No loops. The variant sets missing, the item of no row.

@group(0) @binding(0) var<storage, read> weight: array<W>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<Y>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    size: u32,
    // In items.
    width: u32,
    length: u32,
}

@compute @workgroup_size(256)
fn embedding(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.length * p.width { return; }
    let l = divide(i, p.width);
    let row = index[l];
    if row < 0 || u32(row) >= p.size {
        y[i] = narrow_Y(missing());
    } else {
        y[i] = narrow_Y(wide_W(weight[u32(row) * p.width + i - l * p.width]));
    }
}
