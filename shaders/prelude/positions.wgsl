// Stands before the files that compute the results of convolutions position by position: where a position is, and what
// is done with its sums. The files bind bias of words of E, y of words of OUT, and at of words; their variants set BIAS, RELU and POOL.

fn positions() -> u32 {
    return p.batch * select(p.out_h * p.out_w, 4u * p.pooled_h * p.pooled_w, POOL);
}

// Image, row and column of an output position; those past the last repeat it. The four of a window follow each other.
fn place(r: u32) -> vec3<u32> {
    let i = min(r, positions() - 1u);
    let width = select(p.out_w, p.pooled_w, POOL);
    let height = select(p.out_h, p.pooled_h, POOL);
    let spot = select(i, i / 4u, POOL);
    let row = divide(spot, width);
    let n = divide(row, height);
    let at = vec3<u32>(n, row - n * height, spot - row * width);
    return select(at, vec3<u32>(n, 2u * at.y + (i % 4u) / 2u, 2u * at.z + i % 2u), POOL);
}

fn bias_at(i: u32) -> f32 { return pick_E(bias[i / EACH_E], i); }

// The bias of four channels; read once, since a load costs software adapters as much as a row of products.
fn biases(j: u32) -> vec4<f32> {
    let at = min(j, p.out_channels - 4u);
    var b: vec4<f32>;
    if BIAS { b = vec4<f32>(bias_at(at), bias_at(at + 1u), bias_at(at + 2u), bias_at(at + 3u)); }
    return b;
}

fn finish(b: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    var value = sum;
    if BIAS { value += b; }
    if RELU { value = relu4(value); }
    return value;
}

// Halves lie side by side, from a whole word on.
fn put(start: u32, step: u32, value: vec4<f32>) {
    let at = start / EACH_OUT;
    y[at] = word_OUT(value, 0u);
    y[at + step] = word_OUT(value, 1u);
    if EACH_OUT == 1u {
        y[at + 2u * step] = word_OUT(value, 2u);
        y[at + 3u * step] = word_OUT(value, 3u);
    }
}

// The largest values so far, and their places in the window of 2 x 2.
struct Best {
    value: vec4<f32>,
    spot: vec4<u32>,
}

fn larger(best: Best, value: vec4<f32>, spot: u32) -> Best {
    let wins = beats4(value, best.value);
    return Best(select(best.value, value, wins), select(best.spot, vec4<u32>(spot), wins));
}

// The number that y holds: of halves, more are equal.
fn held(value: vec4<f32>) -> vec4<f32> { return wide_OUT(narrow_OUT(value)); }

// The largest of a window: the first of equals, or one that is no number.
fn pool(r: u32, j: u32, b: vec4<f32>, c0: vec4<f32>, c1: vec4<f32>, c2: vec4<f32>, c3: vec4<f32>) {
    if r < positions() && j < p.out_channels {
        let o = place(r);
        var best = Best(held(finish(b, c0)), vec4<u32>());
        best = larger(best, held(finish(b, c1)), 1u);
        best = larger(best, held(finish(b, c2)), 2u);
        best = larger(best, held(finish(b, c3)), 3u);
        let start = o.x * p.y_n + o.y / 2u * p.y_h + o.z / 2u * p.y_w + j * p.y_c;
        put(start, p.y_c, best.value);
        at[(r / 4u * p.out_channels + j) / 4u] = packed_places(best.spot);
    }
}

