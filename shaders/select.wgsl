// y[i] = b[i] where condition[i] is 0, else a[i]: NaN is not 0
//   condition, a, b: strided operands of types C, A and B; y: dense, n elements of type Y
// quads: one invocation takes four neighbours, or one for all four, p in steps of vec4 but for those: four_a, four_b and four_c
// read them; strided: one element, all of f32; packed: four elements of any type. No loops.

@group(0) @binding(0) var<storage, read> condition: array<f32>;
@group(0) @binding(0) var<storage, read> condition4: array<C>;
@group(0) @binding(0) var<storage, read> condition_words: array<C_WORD>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> a4: array<A>;
@group(0) @binding(1) var<storage, read> a_words: array<A_WORD>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> b4: array<B>;
@group(0) @binding(2) var<storage, read> b_words: array<B_WORD>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> y4: array<Y>;
@group(0) @binding(4) var<uniform> p: Strided;

@compute @workgroup_size(256)
fn where_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y4[i] = narrow_Y(select(four_a(at.y), four_b(at.z), four_c(at.x) == vec4<f32>()));
    }
}

@compute @workgroup_size(256)
fn where_strided(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y[i] = select(a[at.y], b[at.z], condition[at.x] == 0.0);
    }
}

// What is chosen of one element, the last one past the end.
fn chosen(i: u32) -> f32 {
    let at = offsets(min(i, p.n - 1u), p);
    let is_zero = pick_C(condition_words[at.x / EACH_C], at.x) == 0.0;
    return select(pick_A(a_words[at.y / EACH_A], at.y), pick_B(b_words[at.z / EACH_B], at.z), is_zero);
}

@compute @workgroup_size(256)
fn where_packed(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u >= p.n { return; }
    y4[i] = narrow_Y(vec4<f32>(chosen(i * 4u), chosen(i * 4u + 1u), chosen(i * 4u + 2u), chosen(i * 4u + 3u)));
}
