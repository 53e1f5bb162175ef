// y[i, r, c] = the pixel of x nearest to (r, c) (MODE 0), or the mean of the four around it by their distances, where
// (r, c) lies at ((r + 1/2) scale - 1/2, ..) (MODE 1) or at (r scale, ..) (MODE 2)
//   x: [count, height, width, inner]; y: [count, out_h, out_w, inner]
// One invocation takes one element, or four of inner. No loops.

@group(0) @binding(0) var<storage, read> x: array<ITEM>;
@group(0) @binding(1) var<storage, read_write> y: array<ITEM>;
@group(0) @binding(2) var<uniform> p: Params;

// Set by the variant: MODE; ITEM, a float, or a vec4 where p counts inner by fours.

struct Params {
    count: u32,
    height: u32,
    width: u32,
    out_h: u32,
    out_w: u32,
    inner: u32,
    scale_h: f32,
    scale_w: f32,
    mode: u32,
}

// The two pixels that a place of the result lies between along a dimension, and how far it is on the way to the second.
struct Between {
    first: u32,
    second: u32,
    share: f32,
}

fn between(at: u32, scale: f32, size: u32) -> Between {
    if MODE == 0u { return Between(min(u32(f32(at) * scale), size - 1u), 0u, 0.0); }
    var place = f32(at) * scale;
    if MODE == 1u { place = max((f32(at) + 0.5) * scale - 0.5, 0.0); }
    let first = min(u32(place), size - 1u);
    return Between(first, min(first + 1u, size - 1u), place - f32(first));
}

@compute @workgroup_size(256)
fn upsample(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    let spot = divide(at, p.inner);
    let row = divide(spot, p.out_w);
    let image = divide(row, p.out_h);
    if image >= p.count { return; }
    let k = at - spot * p.inner;
    let rows = between(row - image * p.out_h, p.scale_h, p.height);
    let columns = between(spot - row * p.out_w, p.scale_w, p.width);
    let top = (image * p.height + rows.first) * p.width;
    if MODE == 0u {
        y[at] = x[(top + columns.first) * p.inner + k];
        return;
    }
    let bottom = (image * p.height + rows.second) * p.width;
    let left = columns.first * p.inner + k;
    let right = columns.second * p.inner + k;
    let upper = (1.0 - columns.share) * x[top * p.inner + left] + columns.share * x[top * p.inner + right];
    let lower = (1.0 - columns.share) * x[bottom * p.inner + left] + columns.share * x[bottom * p.inner + right];
    y[at] = (1.0 - rows.share) * upper + rows.share * lower;
}
