// Stands before the files that compute the results of convolutions position by position: where a position is, and what
// is done with its sums. The files bind bias, y and at, and their variants set BIAS, RELU and POOL.

fn positions() -> u32 {
    return p.batch * select(p.out_h * p.out_w, 4u * p.pooled_h * p.pooled_w, POOL);
}

// Image, row and column of an output position; those past the last repeat it. The four of a window follow each other.
fn place(r: u32) -> vec3<u32> {
    let i = min(r, positions() - 1u);
    if POOL {
        let row = divide(i / 4u, p.pooled_w);
        let n = divide(row, p.pooled_h);
        return vec3<u32>(n, 2u * (row - n * p.pooled_h) + (i % 4u) / 2u, 2u * (i / 4u - row * p.pooled_w) + i % 2u);
    }
    let row = divide(i, p.out_w);
    let n = divide(row, p.out_h);
    return vec3<u32>(n, row - n * p.out_h, i - row * p.out_w);
}

fn finish(j: u32, sum: vec4<f32>) -> vec4<f32> {
    var value = sum;
    if BIAS { value += vec4<f32>(bias[j], bias[j + 1u], bias[j + 2u], bias[j + 3u]); }
    if RELU { value = after4(1u, value, vec4<f32>()); }
    return value;
}

fn put(start: u32, step: u32, value: vec4<f32>) {
    y[start] = value.x;
    y[start + step] = value.y;
    y[start + 2u * step] = value.z;
    y[start + 3u * step] = value.w;
}

// The largest of a window, and its place in the image of positions: the first of equals, or one that is no number.
fn pool(r: u32, j: u32, c0: vec4<f32>, c1: vec4<f32>, c2: vec4<f32>, c3: vec4<f32>) {
    if r >= positions() || j >= p.out_channels { return; }
    let o = place(r);
    var best = finish(j, c0);
    let first = vec4<i32>(i32(o.y * p.out_w + o.z));
    var spot = first;
    let v1 = finish(j, c1);
    let w1 = (v1 > best) | (v1 != v1);
    best = select(best, v1, w1);
    spot = select(spot, first + 1, w1);
    let v2 = finish(j, c2);
    let w2 = (v2 > best) | (v2 != v2);
    best = select(best, v2, w2);
    spot = select(spot, first + i32(p.out_w), w2);
    let v3 = finish(j, c3);
    let w3 = (v3 > best) | (v3 != v3);
    best = select(best, v3, w3);
    spot = select(spot, first + i32(p.out_w) + 1, w3);
    let start = o.x * p.y_n + o.y / 2u * p.y_h + o.z / 2u * p.y_w + j * p.y_c;
    put(start, p.y_c, best);
    let flat = r / 4u * p.out_channels + j;
    at[flat] = spot.x;
    at[flat + 1u] = spot.y;
    at[flat + 2u] = spot.z;
    at[flat + 3u] = spot.w;
}
