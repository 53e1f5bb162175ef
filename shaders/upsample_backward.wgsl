// dx[i, h, w] = sum of dy[i, r, c] times the part that pixel (h, w) has in y[i, r, c]: see upsample.wgsl
//   dy: [count, out_h, out_w, inner]; dx: [count, height, width, inner]
// One invocation takes one pixel, or four of inner, and walks the results that it may have a part in, at most 60,000 iterations.

@group(0) @binding(0) var<storage, read> dy: array<ITEM>;
@group(0) @binding(1) var<storage, read_write> dx: array<ITEM>;
@group(0) @binding(2) var<uniform> p: Params;

// Set by the variant: MODE; ITEM, a float, or a vec4 where p counts inner by fours; BOOLS, as many truths.

struct Params {
    count: u32,
    height: u32,
    width: u32,
    out_h: u32,
    out_w: u32,
    inner: u32,
    scale_h: f32,
    scale_w: f32,
    mode: u32,
}

// The two pixels that a place of the result lies between along a dimension, and how far it is on the way to the second.
struct Between {
    first: u32,
    second: u32,
    share: f32,
}

fn between(at: u32, scale: f32, size: u32) -> Between {
    if MODE == 0u {
        let nearest = min(u32(f32(at) * scale), size - 1u);
        return Between(nearest, nearest, 0.0);
    }
    var place = f32(at) * scale;
    if MODE == 1u { place = max((f32(at) + 0.5) * scale - 0.5, 0.0); }
    let first = min(u32(place), size - 1u);
    return Between(first, min(first + 1u, size - 1u), place - f32(first));
}

// The first place of the result that pixel i may have a part in, and the one past the last; rounding has room.
fn reach(i: u32, scale: f32, size: u32, out: u32) -> vec2<u32> {
    let inverse = 1.0 / max(scale, 1e-9);
    let low = (f32(i) - 1.0) * inverse - 1.5;
    let high = (f32(i) + 1.5) * inverse + 1.5;
    let first = select(u32(clamp(low, 0.0, f32(out))), 0u, i == 0u);
    let end = select(u32(clamp(high, 0.0, f32(out))), out, i + 1u == size);
    return vec2<u32>(first, end);
}

// What of a gradient reaches pixel i, NaN where a share of 0 meets an infinite one.
fn part(b: Between, i: u32, d: ITEM) -> ITEM {
    if MODE == 0u { return d; }
    return select(ITEM(), (1.0 - b.share) * d, BOOLS(b.first == i)) + select(ITEM(), b.share * d, BOOLS(b.second == i));
}

@compute @workgroup_size(256)
fn upsample_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    let spot = divide(at, p.inner);
    let row = divide(spot, p.width);
    let image = divide(row, p.height);
    if image >= p.count { return; }
    let k = at - spot * p.inner;
    let h = row - image * p.height;
    let w = spot - row * p.width;
    let rows = reach(h, p.scale_h, p.height, p.out_h);
    let columns = reach(w, p.scale_w, p.width, p.out_w);
    var sum = ITEM();
    for (var r = rows.x; r < rows.y; r++) {
        let down = between(r, p.scale_h, p.height);
        if down.first != h && down.second != h { continue; }
        for (var c = columns.x; c < columns.y; c++) {
            let along = between(c, p.scale_w, p.width);
            if along.first != w && along.second != w { continue; }
            sum += part(down, h, part(along, w, dy[((image * p.out_h + r) * p.out_w + c) * p.inner + k]));
        }
    }
    dx[at] = sum;
}
