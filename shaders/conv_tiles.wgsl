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

// A place in the image, and in memory, in vec4; or the way from one to another. Far from the image: h of FAR.
struct Spot { h: u32, w: u32, at: u32 }
const FAR: u32 = 0x40000000u;

// What the thread's two positions see under the first tap.
var<private> spots: array<Spot, 2>;
// The tap of the tile at hand and the way to the next: kernel row, column and channel; with WHOLE the same for all threads.
var<private> tap: vec3<u32>;
var<private> step: vec3<u32>;
// The thread's columns of w, in vec4.
var<private> columns: u32;

// Where position r starts to look.
fn spot_of(r: u32) -> Spot {
    let o = place(r);
    // In unsigned numbers, what lies before 0 is far past the end.
    let h = o.y * p.stride_h - p.padding_h;
    let v = o.z * p.stride_w - p.padding_w;
    return Spot(h, v, p.x_base / 4u + o.x * (p.x_n / 4u) + h * (p.x_h / 4u) + v * (p.x_w / 4u));
}

// The kernel's row and column and the channel of k.
fn tap_of(k: u32) -> vec3<u32> {
    let area = divide(k, p.channels);
    let row = divide(area, p.kernel_w);
    return vec3<u32>(row, area - row * p.kernel_w, k - area * p.channels);
}

fn pixel(spot: Spot, way: Spot) -> vec4<f32> {
    let inside = spot.h + way.h < p.height && spot.w + way.w < p.width;
    return select(vec4<f32>(), load_IN(x[select(0u, spot.at + way.at, inside)]), inside);
}

// Fills the tiles from k on; of 16 k `left` are there.
fn fill(k: u32, left: u32, t: u32) {
    let h = tap.x * p.dilation_h;
    let v = tap.y * p.dilation_w;
    var way = Spot(h, v, h * (p.x_h / 4u) + v * (p.x_w / 4u) + tap.z / 4u);
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
    tap += step;
    if tap.z >= p.channels { tap.z -= p.channels; tap.y += 1u; }
    if tap.y >= p.kernel_w { tap.y -= p.kernel_w; tap.x += 1u; }
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
    let down = (positions() + 4u * X - 1u) / (4u * X);
    let g = group_of(grid);
    let row = g % down * 4u * X;
    let column = g / down * 4u * X;
    let sum = product(row, column, t);
    let i = row + t / X * (X / 2u);
    let j = column + t % X * 4u;
    // The grid's spill past the last column has none to write.
    if j >= p.out_channels { return; }
    for (var r = 0u; r < 4u; r++) {
        if i + r < positions() { y4[((i + r) * p.out_channels + j) / 4u] = narrow_OUT(finish(biases(j), sum.top[r])); }
        if LARGE && i + r + 4u < positions() {
            y4[((i + r + 4u) * p.out_channels + j) / 4u] = narrow_OUT(finish(biases(j), sum.low[r]));
        }
    }
}

@compute @workgroup_size(8u * X)
fn conv_tiles_pool(grid: Grid, @builtin(local_invocation_index) t: u32) {
    let down = (positions() + 4u * X - 1u) / (4u * X);
    let g = group_of(grid);
    let row = g % down * 4u * X;
    let column = g / down * 4u * X;
    let sum = product(row, column, t);
    let i = row + t / X * (X / 2u);
    let j = column + t % X * 4u;
    pool(i, j, biases(j), sum.top[0], sum.top[1], sum.top[2], sum.top[3]);
    if LARGE { pool(i + 4u, j, biases(j), sum.low[0], sum.low[1], sum.low[2], sum.low[3]); }
}
