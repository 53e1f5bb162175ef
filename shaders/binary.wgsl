// y[i] = f(a[i], b[i])
//   a, b: strided operands of types A and B, broadcast by strides of 0; y: dense, n elements of type Y
// flat: one invocation takes four neighbours; row: those of four rows, where b is one row that all rows of a meet; quads: as flat,
// wherever operands have four neighbours, or one for all four, p in steps of vec4 but for those: four_a and four_b read them;
// strided: one element, all of f32; packed: four elements of any type. At most 4 iterations. The function, f4, and what reads four
// are set by the variant.

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(0) var<storage, read> a4: array<A>;
@group(0) @binding(0) var<storage, read> a_words: array<A_WORD>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(1) var<storage, read> b4: array<B>;
@group(0) @binding(1) var<storage, read> b_words: array<B_WORD>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> y4: array<Y>;
@group(0) @binding(3) var<uniform> p: Strided;

// Four columns of four rows: the vec4 of the first, the end, and from row to row; and that of b.
struct Strip { first: u32, end: u32, step: u32, of_b: u32 }

fn strip_of(i: u32) -> Strip {
    let width = p.dims[0].x / 4u;
    let strip = divide(i, width);
    let column = i - strip * width;
    let first = strip * 4u * width + column;
    return Strip(first, min(first + 4u * width, p.n / 4u), width, column);
}

// 1 where neither is NaN.
fn both_known4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(vec4<u32>(!is_nan4(a)) * vec4<u32>(!is_nan4(b)));
}

@compute @workgroup_size(256)
fn binary_flat(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u < p.n { y4[i] = narrow_Y(f4(wide_A(a4[i]), wide_B(b4[i]))); }
}

@compute @workgroup_size(256)
fn binary_row(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let strip = strip_of(index_of(grid, thread));
    let row = wide_B(b4[strip.of_b]);
    for (var i = strip.first; i < strip.end; i += strip.step) { y4[i] = narrow_Y(f4(wide_A(a4[i]), row)); }
}

@compute @workgroup_size(256)
fn binary_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y4[i] = narrow_Y(f4(four_a(at.x), four_b(at.y)));
    }
}

@compute @workgroup_size(256)
fn binary_strided(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y[i] = f4(vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x;
    }
}

// Both operands at one element, the last one past the end.
fn pair(i: u32) -> vec2<f32> {
    let at = offsets(min(i, p.n - 1u), p);
    return vec2<f32>(pick_A(a_words[at.x / EACH_A], at.x), pick_B(b_words[at.y / EACH_B], at.y));
}

@compute @workgroup_size(256)
fn binary_packed(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u >= p.n { return; }
    let pairs = array(pair(i * 4u), pair(i * 4u + 1u), pair(i * 4u + 2u), pair(i * 4u + 3u));
    let left = vec4<f32>(pairs[0].x, pairs[1].x, pairs[2].x, pairs[3].x);
    let right = vec4<f32>(pairs[0].y, pairs[1].y, pairs[2].y, pairs[3].y);
    y4[i] = narrow_Y(f4(left, right));
}
