// y[n, c, i, j] = x[n, c, i + down, j + right], mirrored (w - 1 - j for j) in half of the images, 0 outside of x
// where down and right are whole numbers in -padding..=padding, drawn for each image; with SIGN of -1 its gradient
//   x, y: [n, c, h, w]; step: [2], the number to count from, low word first
// One invocation takes four neighbours of y. QUADS: they lie in one row. Counter (image, number, stream); 10 iterations
// for each draw, 40 at most.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
    channels: u32,
    height: u32,
    width: u32,
    padding: u32,
    stream: u32,
    key_low: u32,
    key_high: u32,
    // 1, or -1 for the gradient.
    sign: i32,
    // Added to the number at `step`.
    offset: u32,
}

// Where a row of y lies in x: its first element, or -1 if it is outside; column j is column start + slope j of it.
struct Row {
    base: i32,
    start: i32,
    slope: i32,
}

fn row_of(row: u32) -> Row {
    let plane = divide(row, p.height);
    let words = philox(vec4<u32>(divide(plane, p.channels), number_at(step[0], step[1], p.offset), p.stream),
        vec2<u32>(p.key_low, p.key_high));
    // The upper half of a word, scaled to the number of places.
    let places = (words.xy >> vec2<u32>(16u)) * (2u * p.padding + 1u);
    let off = vec2<i32>(places >> vec2<u32>(16u)) - vec2<i32>(i32(p.padding));
    let i = i32(row - plane * p.height) + p.sign * off.x;
    let inside = i >= 0 && i < i32(p.height);
    let base = select(-1, (i32(plane * p.height) + i) * i32(p.width), inside);
    if words.z >= 0x80000000u { return Row(base, i32(p.width) - 1 + off.y, -1); }
    return Row(base, p.sign * off.y, 1);
}

fn pixel(row: Row, column: u32) -> f32 {
    let j = row.start + row.slope * i32(column);
    let inside = row.base >= 0 && j >= 0 && j < i32(p.width);
    return select(0.0, x[select(0, row.base + j, inside)], inside);
}

fn single(i: u32) -> f32 {
    if i >= p.n { return 0.0; }
    let row = divide(i, p.width);
    return pixel(row_of(row), i - row * p.width);
}

@compute @workgroup_size(256)
fn random_crop_flip(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let quad = index_of(grid, thread);
    let i = quad * 4u;
    if i >= p.n { return; }
    if QUADS {
        let row = divide(i, p.width);
        let at = row_of(row);
        let j = i - row * p.width;
        y[quad] = vec4<f32>(pixel(at, j), pixel(at, j + 1u), pixel(at, j + 2u), pixel(at, j + 3u));
    } else {
        y[quad] = vec4<f32>(single(i), single(i + 1u), single(i + 2u), single(i + 3u));
    }
}
