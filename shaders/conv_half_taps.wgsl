// dw[s, t, o] as in conv_tile_taps.wgsl, of halves, multiplied and at first added up as halves: for GPUs that compute in f16
//   x: channels last, strided rows and columns; dy: [positions, out_channels]; both of f16; dw: [splits, taps + 1, out_channels], the
//   last row of a split the sums of its dy (SUMS)
// Channels are multiples of 4. A workgroup takes 64 x 64 (LARGE) or 32 x 32 results, 8 or 4 rows of 4 a thread.
// Iterations: one for 32 positions, and where tiles are ROLLED, 32 in each; 32 for the last, and 8 with SUMS.

@group(0) @binding(0) var<storage, read> x: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Conv;

// Set by the variant: SUMS.

// The way from a position to four times four taps: rows, columns, vec4 of memory.
var<private> ways: array<vec3<u32>, 4>;

// What threads have of the sums of dy.
var<workgroup> of_all: array<vec4<f32>, 8u * X>;

fn pixel(h: u32, v: u32, at: u32, way: vec3<u32>) -> vec4<f16> {
    let inside = h + way.x < p.height && v + way.y < p.width;
    return select(vec4<f16>(), x[select(0u, at + way.z, inside)], inside);
}

// Fills the tiles from position k on; of 32 `left` are there.
fn fill(k: u32, left: u32, t: u32) {
    var h = here.y * p.stride_h;
    if left < 32u && t / (X / 4u) >= left { h = FAR; }
    let v = here.z * p.stride_w;
    let at = here.x * (p.x_n / 4u) + here.y * (p.stride_h * p.x_h / 4u) + here.z * (p.stride_w * p.x_w / 4u);
    let a = Four(pixel(h, v, at, ways[0]), pixel(h, v, at, ways[1]), pixel(h, v, at, ways[2]), pixel(h, v, at, ways[3]));
    let own = t / X + vec4<u32>(0u, 8u, 16u, 24u);
    let starts = columns + (k + min(own, vec4<u32>(left - 1u))) * (p.out_channels / 4u);
    var b = Four(dy[starts.x], dy[starts.y], dy[starts.z], dy[starts.w]);
    if left < 32u { b = cut(b, own < vec4<u32>(left)); }
    // No thread may overwrite the tiles while another still reads them.
    workgroupBarrier();
    put_four_a(spot(t / (X / 4u), t % (X / 4u), false), X / 4u * QUAD, a);
    put_four_b(spot(t / X, t % X, false), 8u * NEXT_B, b);
    // Both tiles must be whole before any thread multiplies.
    workgroupBarrier();
    if SUMS {
        of_columns += vec4<f32>(b.x) + vec4<f32>(b.y) + vec4<f32>(b.z) + vec4<f32>(b.w);
    }
    next_place();
}

@compute @workgroup_size(8u * X)
fn conv_half_taps(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let tile = tile_at(group_of(grid));
    for (var i = 0u; i < 4u; i++) { ways[i] = way_of(tile.x + t % (X / 4u) * 4u + i * X); }
    // Columns past the last repeat others too; nothing of them is stored.
    columns = min(tile.y / 4u + t % X, p.out_channels / 4u - 1u);
    step = place(32u);
    var k = tile.z * p.images;
    // The grid's spill past the last split has no positions.
    let end = min(k + p.images, p.batch * p.out_h * p.out_w);
    here = place(k + t / (X / 4u));
    var sum: Total;
    for (; k + 32u <= end; k += 32u) {
        fill(k, 32u, t);
        sum = tiles(sum, t);
    }
    if k < end {
        fill(k, end - k, t);
        sum = rolled(sum, end - k, t);
    }
    store_tiles(tile, t, own_rows(sum, t));
    if !SUMS { return; }
    of_all[t] = of_columns;
    // All parts must be there before they are added up.
    workgroupBarrier();
    if !has_sums(tile, t) { return; }
    var all = vec4<f32>();
    for (var part = 0u; part < 8u; part++) { all += of_all[part * X + t]; }
    dw[sums_place(tile) + t] = all;
}
