// Stands before the files that compute tiles of results by looking pixels up as a tile is filled, tap by tap: k = (kh, kw, c). How
// that begins, and how the sums end.

// A place in the image, and in memory, in vec4; or the way from one to another. Far from the image: h of FAR.
struct Spot { h: u32, w: u32, at: u32 }
const FAR: u32 = 0x40000000u;

// The tap of the tile at hand and the way to the next: kernel row, column and channel; with WHOLE the same for all threads.
var<private> tap: vec3<u32>;
var<private> step: vec3<u32>;

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

// The way from there to what the tap at hand sees.
fn way_of_tap() -> Spot {
    let h = tap.x * p.dilation_h;
    let v = tap.y * p.dilation_w;
    return Spot(h, v, h * (p.x_h / 4u) + v * (p.x_w / 4u) + tap.z / 4u);
}

fn sees(spot: Spot, way: Spot) -> bool { return spot.h + way.h < p.height && spot.w + way.w < p.width; }

fn next_tap() {
    tap += step;
    if tap.z >= p.channels { tap.z -= p.channels; tap.y += 1u; }
    if tap.y >= p.kernel_w { tap.y -= p.kernel_w; tap.x += 1u; }
}

// The first row and column of results of workgroup g: down first.
fn tile_at(g: u32) -> vec2<u32> {
    let down = (positions() + 4u * X - 1u) / (4u * X);
    return vec2<u32>(g % down, g / down) * (4u * X);
}

fn store_tiles(first: vec2<u32>, t: u32, sum: Sums) {
    let i = first.x + t / X * (X / 2u);
    let j = first.y + t % X * 4u;
    // The grid's spill past the last column has none to write.
    if j >= p.out_channels { return; }
    for (var r = 0u; r < 4u; r++) {
        if i + r < positions() { y4[((i + r) * p.out_channels + j) / 4u] = narrow_OUT(finish(biases(j), sum.top[r])); }
        if LARGE && i + r + 4u < positions() {
            y4[((i + r + 4u) * p.out_channels + j) / 4u] = narrow_OUT(finish(biases(j), sum.low[r]));
        }
    }
}

fn pool_tiles(first: vec2<u32>, t: u32, sum: Sums) {
    let i = first.x + t / X * (X / 2u);
    let j = first.y + t % X * 4u;
    pool(i, j, biases(j), sum.top[0], sum.top[1], sum.top[2], sum.top[3]);
    if LARGE { pool(i + 4u, j, biases(j), sum.low[0], sum.low[1], sum.low[2], sum.low[3]); }
}
