// dw[s, t, o] = sum over the positions r = (n, oh, ow) of split s of x[n, h, w, c] * dy[r, o], where tap t = (kh, kw, c)
// saw the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside
//   x: channels last, strided rows and columns; dy: [positions, out_channels]; dw: [splits, taps + 1, out_channels], the
//   last row of a split the sums of its dy (SUMS); x and dy of types IN and DY
// For GPUs: a product of tiles in shared memory, where k is a position, of p.images in a split; pixels are looked up as
// their tile is filled. Channels are multiples of 4.
// Iterations: a turn for 16, 32 or 64 k, those for 16 (ROLLED) of 5, and 4 tiles of k at most, of 5; 4 more, and 8 with SUMS.

@group(0) @binding(0) var<storage, read> x: array<IN>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Conv;

// Set by the variant: SUMS.

// The way from a position to twice four taps: rows, columns, vec4 of memory.
var<private> ways: array<vec3<u32>, 2>;

// Fills the tiles from position k on; of 16 `left` are there.
fn fill(k: u32, left: u32, t: u32) {
    var h = here.y * p.stride_h;
    if left < 16u && t / (X / 2u) >= left { h = FAR; }
    let v = here.z * p.stride_w;
    let at = here.x * (p.x_n / 4u) + here.y * (p.stride_h * p.x_h / 4u) + here.z * (p.stride_w * p.x_w / 4u);
    let in0 = h + ways[0].x < p.height && v + ways[0].y < p.width;
    let in1 = h + ways[1].x < p.height && v + ways[1].y < p.width;
    let a0 = select(vec4<f32>(), load_IN(x[select(0u, at + ways[0].z, in0)]), in0);
    let a1 = select(vec4<f32>(), load_IN(x[select(0u, at + ways[1].z, in1)]), in1);
    var rows = vec2<u32>(t / X, t / X + 8u);
    if left < 16u { rows = min(rows, vec2<u32>(left - 1u)); }
    let start = columns + rows * (p.out_channels / 4u);
    let b0 = load_DY(dy[start.x + k * (p.out_channels / 4u)]);
    let b1 = load_DY(dy[start.y + k * (p.out_channels / 4u)]);
    // No thread may overwrite the tiles while another still reads them.
    workgroupBarrier();
    tile_a[t / (X / 2u) * X + t % (X / 2u)] = a0;
    tile_a[t / (X / 2u) * X + t % (X / 2u) + X / 2u] = a1;
    tile_b[t] = b0;
    tile_b[t + 8u * X] = b1;
    // Both tiles must be whole before any thread multiplies.
    workgroupBarrier();
    if SUMS {
        if left >= 16u || t / X < left { of_columns += tile_b[t]; }
        if left >= 16u || t / X + 8u < left { of_columns += tile_b[t + 8u * X]; }
    }
    next_place();
}

@compute @workgroup_size(8u * X)
fn conv_tile_taps(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let tile = tile_at(group_of(grid));
    let row = tile.x;
    let column = tile.y;
    let split = tile.z;
    ways[0] = way_of(row + t % (X / 2u) * 4u);
    ways[1] = way_of(row + t % (X / 2u) * 4u + 2u * X);
    // Columns past the last repeat others too; nothing of them is stored.
    columns = min(column / 4u + t % X, p.out_channels / 4u - 1u);
    step = place(16u);
    var k = split * p.images;
    // The grid's spill past the last split has no positions.
    let end = min(k + p.images, p.batch * p.out_h * p.out_w);
    here = place(k + t / (X / 2u));
    var sum: Sums;
    for (; k + TURN <= end; k += TURN) {
        fill(k, 16u, t);
        var part = tiles(Sums(), t);
        if !ROLLED {
            fill(k + 16u, 16u, t);
            part = tiles(part, t);
        }
        if !ROLLED && !LARGE {
            fill(k + 32u, 16u, t);
            part = tiles(part, t);
            fill(k + 48u, 16u, t);
            part = tiles(part, t);
        }
        sum = plus(sum, part);
    }
    for (; k < end; k += 16u) {
        fill(k, end - k, t);
        sum = rolled(sum, t);
    }
    store_tiles(tile, t, sum);
    if !SUMS { return; }
    // No thread may overwrite the tile while another still reads it.
    workgroupBarrier();
    tile_b[t] = of_columns;
    // All parts must be there before they are added up.
    workgroupBarrier();
    if !has_sums(tile, t) { return; }
    var all = vec4<f32>();
    for (var part = 0u; part < 8u; part++) { all += tile_b[part * X + t]; }
    dw[sums_place(tile) + t] = all;
}
