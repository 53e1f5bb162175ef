// y[r, o] as in conv_tiles.wgsl, of halves, multiplied and at first added up as halves: for GPUs that compute in f16
//   x: channels last, strided rows and columns, of f16; w: [kh, kw, channels, out_channels]; bias: [out_channels];
//   y: [positions, out_channels], of OUT
// Channels are multiples of 4. A workgroup takes 64 x 64 (LARGE) or 32 x 32 results, 8 or 4 rows of 4 a thread.
// Iterations: one for 32 k, and where tiles are ROLLED, 32 in each; 32 for the last, and 8 rows to store.

@group(0) @binding(0) var<storage, read> x: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<E_WORD>;
@group(0) @binding(3) var<storage, read_write> y: array<OUT_WORD>;
@group(0) @binding(3) var<storage, read_write> y4: array<OUT>;
@group(0) @binding(4) var<storage, read_write> at: array<u32>;
@group(0) @binding(5) var<uniform> p: Conv;

// Set by the variant: WHOLE, whether a tile of k lies under one tap; BIAS and RELU, what follows; POOL is false.

// What the thread's four positions see under the first tap.
var<private> spots: array<Spot, 4>;
// The thread's columns of w, in vec4.
var<private> columns: u32;

fn pixel(spot: Spot, way: Spot) -> vec4<f16> {
    let inside = sees(spot, way);
    return select(vec4<f16>(), x[select(0u, spot.at + way.at, inside)], inside);
}

// Fills the tiles from k on; of 32 k `left` are there.
fn fill(k: u32, left: u32, t: u32) {
    var way = way_of_tap();
    let rows = t / X + vec4<u32>(0u, 8u, 16u, 24u);
    var there = rows;
    if left < 32u {
        if t % 8u * 4u >= left { way.h = FAR; }
        there = min(rows, vec4<u32>(left - 1u));
    }
    let a = turned(Four(pixel(spots[0], way), pixel(spots[1], way), pixel(spots[2], way), pixel(spots[3], way)));
    let starts = columns + (k + there) * (p.out_channels / 4u);
    var b = Four(vec4<f16>(w[starts.x]), vec4<f16>(w[starts.y]), vec4<f16>(w[starts.z]), vec4<f16>(w[starts.w]));
    if left < 32u { b = cut(b, rows < vec4<u32>(left)); }
    // No thread may overwrite the tiles while another still reads them.
    workgroupBarrier();
    put_four_a(spot(t % 8u * 4u, t / 8u, true), NEXT_A, a);
    put_four_b(spot(t / X, t % X, false), 8u * NEXT_B, b);
    // Both tiles must be whole before any thread multiplies.
    workgroupBarrier();
    next_tap();
}

fn product(row: u32, column: u32, t: u32) -> Sums {
    let first = row + t / 8u * 4u;
    tap = vec3<u32>();
    if !WHOLE { tap = tap_of(t % 8u * 4u); }
    for (var i = 0u; i < 4u; i++) {
        spots[i] = spot_of(first + i);
        // A tile under one tap begins for each thread at channels of its own.
        if WHOLE { spots[i].at += t % 8u; }
    }
    step = tap_of(32u);
    // Columns past the last repeat others; nothing of them is stored.
    columns = min(column / 4u + t % X, p.out_channels / 4u - 1u);
    let end = p.kernel_h * p.kernel_w * p.channels;
    var sum: Total;
    var k = 0u;
    for (; k + 32u <= end; k += 32u) {
        fill(k, 32u, t);
        sum = tiles(sum, t);
    }
    if k < end {
        fill(k, end - k, t);
        sum = rolled(sum, end - k, t);
    }
    return own_rows(sum, t);
}

@compute @workgroup_size(8u * X)
fn conv_halves(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let at = tile_at(group_of(grid));
    store_tiles(at, t, product(at.x, at.y, t));
}
