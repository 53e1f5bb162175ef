// y = x in a box, and a value around it
//   x: strided, of type X; y: dense, of n elements of type Y
// One invocation makes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(0) var<storage, read> x_words: array<X_WORD>;
@group(0) @binding(1) var<storage, read_write> y: array<Y>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    // Elements of y; of the pass by whole vec4, these, and in them all else too.
    n: u32,
    rank: u32,
    base: u32,
    value: f32,
    // (size of y, start of the box, its size, stride of x), the first dimension varying fastest
    dims: array<vec4<u32>, 6>,
}

// A place in x, and whether it is in the box.
struct Spot {
    at: u32,
    is_in: bool,
}

fn along(spot: Spot, i: u32, dim: vec4<u32>) -> Spot {
    let inner = i - dim.y;
    return Spot(spot.at + inner * dim.w, spot.is_in && inner < dim.z);
}

// Of a row along the first dimension, where it begins. As `offsets` does it.
fn spot_of(row: u32) -> Spot {
    var spot = Spot(p.base, true);
    var rest = row;
    if p.rank <= 1u { return Spot(p.base, row == 0u); }
    if p.rank == 2u { return along(spot, rest, p.dims[1]); }
    var outer = divide(rest, p.dims[1].x);
    spot = along(spot, rest - outer * p.dims[1].x, p.dims[1]);
    if p.rank == 3u { return along(spot, outer, p.dims[2]); }
    rest = outer;
    outer = divide(rest, p.dims[2].x);
    spot = along(spot, rest - outer * p.dims[2].x, p.dims[2]);
    if p.rank == 4u { return along(spot, outer, p.dims[3]); }
    rest = outer;
    outer = divide(rest, p.dims[3].x);
    spot = along(spot, rest - outer * p.dims[3].x, p.dims[3]);
    if p.rank == 5u { return along(spot, outer, p.dims[4]); }
    rest = outer;
    outer = divide(rest, p.dims[4].x);
    spot = along(spot, rest - outer * p.dims[4].x, p.dims[4]);
    return along(spot, outer, p.dims[5]);
}

fn value_at(row: Spot, i: u32) -> f32 {
    let spot = along(row, i, p.dims[0]);
    if !spot.is_in { return p.value; }
    return pick_X(x_words[spot.at / EACH_X], spot.at);
}

fn element(at: u32) -> f32 {
    let row = divide(at, p.dims[0].x);
    return value_at(spot_of(row), at - row * p.dims[0].x);
}

@compute @workgroup_size(256)
fn pad_each(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let first = i * 4u;
    if first >= p.n { return; }
    let row = divide(first, p.dims[0].x);
    let start = first - row * p.dims[0].x;
    var value: vec4<f32>;
    if start + 3u < p.dims[0].x {
        let spot = spot_of(row);
        value = vec4<f32>(value_at(spot, start), value_at(spot, start + 1u), value_at(spot, start + 2u), value_at(spot, start + 3u));
    } else {
        // Past the end of a row; past the last one nothing is in the box.
        value = vec4<f32>(element(first), element(first + 1u), element(first + 2u), element(first + 3u));
    }
    y[i] = narrow_Y(value);
}

@compute @workgroup_size(256)
fn pad_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n { return; }
    let row = divide(i, p.dims[0].x);
    let spot = along(spot_of(row), i - row * p.dims[0].x, p.dims[0]);
    var value = vec4<f32>(p.value);
    if spot.is_in { value = wide_X(x[spot.at]); }
    y[i] = narrow_Y(value);
}
