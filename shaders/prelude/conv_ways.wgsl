// Stands before the files that add up the gradient of a weight by tiles of taps, where k is a position. They bind dw, and set SUMS.

// A row that no image has, however far the taps reach.
const FAR: u32 = 0x40000000u;

// Image, row and column of the position whose pixels the thread reads, and the way to that of the next tile.
var<private> here: vec3<u32>;
var<private> step: vec3<u32>;
// The thread's columns of dy, in vec4, and with SUMS the sums of what it reads of them.
var<private> columns: u32;
var<private> of_columns: vec4<f32>;

fn place(r: u32) -> vec3<u32> {
    let row = divide(r, p.out_w);
    let n = divide(row, p.out_h);
    return vec3<u32>(n, row - n * p.out_h, r - row * p.out_w);
}

// The way to four taps from t on, of one place of the kernel; those past the last repeat it.
fn way_of(t: u32) -> vec3<u32> {
    let tap = min(t, taps() - 4u);
    let area = divide(tap, p.channels);
    let kh = divide(area, p.kernel_w);
    // In unsigned numbers, what lies before 0 is far past the end.
    let h = kh * p.dilation_h - p.padding_h;
    let v = (area - kh * p.kernel_w) * p.dilation_w - p.padding_w;
    return vec3<u32>(h, v, h * (p.x_h / 4u) + v * (p.x_w / 4u) + (p.x_base + tap - area * p.channels) / 4u);
}

fn next_place() {
    here += step;
    if here.z >= p.out_w { here.z -= p.out_w; here.y += 1u; }
    if here.y >= p.out_h { here.y -= p.out_h; here.x += 1u; }
}

fn taps() -> u32 { return p.kernel_h * p.kernel_w * p.channels; }

// The first tap, the first column and the split of workgroup g: down first.
fn tile_at(g: u32) -> vec3<u32> {
    let down = (taps() + 4u * X - 1u) / (4u * X);
    let across = (p.out_channels + 4u * X - 1u) / (4u * X);
    return vec3<u32>(g % down * 4u * X, g / down % across * 4u * X, g / (down * across));
}

// The grid's spill past the last split has no positions.
fn is_there(tile: vec3<u32>) -> bool { return tile.z * p.images < p.batch * p.out_h * p.out_w; }

fn store(tile: vec3<u32>, i: u32, j: u32, value: vec4<f32>) {
    if is_there(tile) && i < taps() && j < p.out_channels {
        dw[((tile.z * (taps() + 1u) + i) * p.out_channels + j) / 4u] = value;
    }
}

fn store_tiles(tile: vec3<u32>, t: u32, sum: Sums) {
    let i = tile.x + t / X * (X / 2u);
    let j = tile.y + t % X * 4u;
    for (var r = 0u; r < 4u; r++) {
        store(tile, i + r, j, sum.top[r]);
        if LARGE { store(tile, i + r + 4u, j, sum.low[r]); }
    }
}

// Whether the thread adds up four columns' sums of dy, and where those of the tile go, in vec4.
fn has_sums(tile: vec3<u32>, t: u32) -> bool {
    return tile.x == 0u && t < X && is_there(tile) && tile.y + t * 4u < p.out_channels;
}

fn sums_place(tile: vec3<u32>) -> u32 { return ((tile.z + 1u) * (taps() + 1u) * p.out_channels - p.out_channels + tile.y) / 4u; }
