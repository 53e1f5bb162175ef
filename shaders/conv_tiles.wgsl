// y[r, o] = sum over taps (kh, kw) and channels c of x[n, h, w, c] * w[kh, kw, c, o], where output position
// r = (n, oh, ow) sees the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside
//   x: channels last, strided rows and columns; w: [kh, kw, channels, out_channels]; bias: [out_channels];
//   y: [positions, out_channels]; with conv_tiles_pool strided, the largest of each 2 x 2 positions, and at its place there, a byte; x and
//   y of types IN and OUT, of which OUT is f32 there
// The input gradient is the same sum over dy with the weight turned around. For GPUs: a product of tiles in shared
// memory, where k = (kh, kw, c) and pixels are looked up as their tile is filled. Channels are multiples of 4.
// Iterations: a turn for 16, 32 or 64 k, those for 16 (ROLLED) of 5, and 4 tiles of k at most, of 5; 4 more.

@group(0) @binding(0) var<storage, read> x: array<IN>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<E_WORD>;
@group(0) @binding(3) var<storage, read_write> y: array<OUT_WORD>;
@group(0) @binding(3) var<storage, read_write> y4: array<OUT>;
@group(0) @binding(4) var<storage, read_write> at: array<u32>;
@group(0) @binding(5) var<uniform> p: Conv;

// Set by the variant: WHOLE, whether a tile of k lies under one tap; BIAS, RELU and POOL, what follows.

// What the thread's two positions see under the first tap.
var<private> spots: array<Spot, 2>;
// The thread's columns of w, in vec4.
var<private> columns: u32;

fn pixel(spot: Spot, way: Spot) -> vec4<f32> {
    let inside = sees(spot, way);
    return select(vec4<f32>(), load_IN(x[select(0u, spot.at + way.at, inside)]), inside);
}

// Fills the tiles from k on; of 16 k `left` are there.
fn fill(k: u32, left: u32, t: u32) {
    var way = way_of_tap();
    var rows = vec2<u32>(t / X, t / X + 8u);
    if left < 16u {
        if t % 4u * 4u >= left { way.h = FAR; }
        rows = min(rows, vec2<u32>(left - 1u));
    }
    let a0 = pixel(spots[0], way);
    let a1 = pixel(spots[1], way);
    let start = columns + rows * (p.out_channels / 4u);
    let b0 = w[start.x + k * (p.out_channels / 4u)];
    let b1 = w[start.y + k * (p.out_channels / 4u)];
    // No thread may overwrite the tiles while another still reads them.
    workgroupBarrier();
    tile_a[t] = a0;
    tile_a[t + 8u * X] = a1;
    tile_b[t] = b0;
    tile_b[t + 8u * X] = b1;
    // Both tiles must be whole before any thread multiplies.
    workgroupBarrier();
    next_tap();
}

fn product(row: u32, column: u32, t: u32) -> Sums {
    spots[0] = spot_of(row + t / 4u);
    spots[1] = spot_of(row + t / 4u + 2u * X);
    if WHOLE {
        tap = vec3<u32>();
        spots[0].at += t % 4u;
        spots[1].at += t % 4u;
    } else {
        tap = tap_of(t % 4u * 4u);
    }
    step = tap_of(16u);
    // Columns past the last repeat others; nothing of them is stored.
    columns = min(column / 4u + t % X, p.out_channels / 4u - 1u);
    let end = p.kernel_h * p.kernel_w * p.channels;
    var sum: Sums;
    var k = 0u;
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
    return sum;
}

@compute @workgroup_size(8u * X)
fn conv_tiles(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let at = tile_at(group_of(grid));
    store_tiles(at, t, product(at.x, at.y, t));
}

@compute @workgroup_size(8u * X)
fn conv_tiles_pool(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let at = tile_at(group_of(grid));
    pool_tiles(at, t, product(at.x, at.y, t));
}
