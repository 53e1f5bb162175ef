// dw[r] = sum of dy[l] over those l whose index is r, in order
//   dy: [length, 4 quads], of type DY; index: [length]; dw: [size, 4 quads]
// For adapters whose subgroups are a workgroup: one takes 4 LANES columns of `block` rows of dw. Its lanes look at
// 4 LANES indices of a part at a time, and all of them add up what the ballot names. At most 32,768 iterations for
// indices that are met, 5 x 1,024 to find them, and block. Passes after the first add to what is there.

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

// Set by the variant: LANES, the invocations of a subgroup.

@compute @workgroup_size(LANES)
fn embedding_backward_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let across = (p.quads + LANES - 1u) / LANES;
    let number = group_of(grid) / across;
    let start = number * p.block;
    if start >= p.size { return; }
    // Lanes past the last column work on it again and write nothing.
    let own = (group_of(grid) - number * across) * LANES + lane;
    let is_there = own < p.quads;
    let c = min(own, p.quads - 1u);
    let rows = min(p.block, p.size - start);
    if p.first == 0u {
        for (var row = 0u; row < rows; row++) {
            if is_there { dw[(start + row) * p.quads + c] = vec4<f32>(); }
        }
    }
    var row = start;
    var sum = dw[row * p.quads + c];
    for (var l = p.first; l < p.end; l += 4u * LANES) {
        for (var part = 0u; part < 4u; part++) {
            let at = l + part * LANES + lane;
            // A negative index is far above every row.
            let offset = u32(index[min(at, p.end - 1u)]) - start;
            var hits = subgroupBallot(at < p.end && offset < rows).x;
            while hits != 0u {
                // The index is read again: lanes may exchange values only where a compiler sees that all of them do.
                let met = l + part * LANES + firstTrailingBit(hits);
                hits &= hits - 1u;
                let found = u32(index[met]);
                if found != row {
                    if is_there { dw[row * p.quads + c] = sum; }
                    row = found;
                    sum = dw[row * p.quads + c];
                }
                sum += wide_DY(dy[met * p.quads + c]);
            }
        }
    }
    if is_there { dw[row * p.quads + c] = sum; }
}
