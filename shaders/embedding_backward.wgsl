// dw[r] = sum of dy[l] over those l whose index is r, in order
//   dy: [length, 4 quads], of type DY; index: [length]; dw: [size, 4 quads]
// One invocation takes four columns of `block` rows of dw and looks at the indices of one part: at most 32,768 + block
// iterations a pass. It keeps the row of the last index that was one of its rows. Passes after the first add to what
// is there.

@group(0) @binding(0) var<storage, read> dy: array<DY>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    size: u32,
    quads: u32,
    length: u32,
    block: u32,
    first: u32,
    end: u32,
}

@compute @workgroup_size(64)
fn embedding_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let number = divide(i, p.quads);
    let start = number * p.block;
    if start >= p.size { return; }
    let c = i - number * p.quads;
    let rows = min(p.block, p.size - start);
    if p.first == 0u {
        for (var row = 0u; row < rows; row++) { dw[(start + row) * p.quads + c] = vec4<f32>(); }
    }
    var row = start;
    var sum = dw[row * p.quads + c];
    for (var l = p.first; l < p.end; l++) {
        // A negative index is far above every row.
        let found = u32(index[l]);
        if found - start < rows {
            if found != row {
                dw[row * p.quads + c] = sum;
                row = found;
                sum = dw[row * p.quads + c];
            }
            sum += wide_DY(dy[l * p.quads + c]);
        }
    }
    dw[row * p.quads + c] = sum;
}
