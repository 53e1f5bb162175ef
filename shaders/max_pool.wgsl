// y[n, oh, ow, c] = the largest of x[n, c, h, w] over a window, at = its place kh * kernel_w + kw there, the first of equals
//   x, y: strided [batch, channels, height, width]; at: [batch, oh, ow, channels], four in a word (BYTES) or one
// A window that lies in the padding as a whole gives -inf and a place of ones.
// One invocation makes a word of places: of one output at most kh * kw + kh iterations, or of four of at most 511.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> at: array<u32>;
@group(0) @binding(3) var<uniform> p: Pool;

// Set by the lowering: BYTES, whether places are bytes; FOURS, whether those of a word lie in one window of four channels.

// Along one dimension, where output o's window starts, and its length.
fn taps(o: u32, size: u32, out: u32, stride: u32, kernel: u32, padding: u32) -> vec2<u32> {
    if p.adaptive == 0u { return vec2<u32>(o * stride - padding, kernel); }
    return window(o, size, out, stride, kernel, padding, 1u).xz;
}

// Writes output i, and gives the place.
fn largest(i: u32) -> u32 {
    let o = output_at(i, p);
    let start = p.x_base + o.x * p.x_n + o.w * p.x_c;
    var best = from_bits4(0xff800000u).x;
    var place = 0xffffffffu;
    var any = false;
    let down = taps(o.y, p.size_h, p.out_h, p.stride_h, p.kernel_h, p.padding_h);
    let right = taps(o.z, p.size_w, p.out_w, p.stride_w, p.kernel_w, p.padding_w);
    for (var kh = 0u; kh < down.y; kh++) {
        // In unsigned numbers, what lies before 0 is far past the end.
        let h = down.x + kh * p.dilation_h;
        if h >= p.size_h { continue; }
        for (var kw = 0u; kw < right.y; kw++) {
            let w = right.x + kw * p.dilation_w;
            if w >= p.size_w { continue; }
            let value = x[start + h * p.x_h + w * p.x_w];
            if !any || beats4(vec4<f32>(value), vec4<f32>(best)).x {
                best = value;
                place = kh * p.kernel_w + kw;
                any = true;
            }
        }
    }
    y[o.x * p.y_n + o.w * p.y_c + o.y * p.y_h + o.z * p.y_w] = best;
    return place;
}

// The same of four channels, from output i on.
fn largest4(i: u32) -> vec4<u32> {
    let o = output_at(i, p);
    let start = p.x_base + o.x * p.x_n + o.w * p.x_c;
    var best = from_bits4(0xff800000u);
    var place = vec4<u32>(0xffffffffu);
    var any = false;
    let down = taps(o.y, p.size_h, p.out_h, p.stride_h, p.kernel_h, p.padding_h);
    let right = taps(o.z, p.size_w, p.out_w, p.stride_w, p.kernel_w, p.padding_w);
    for (var kh = 0u; kh < down.y; kh++) {
        let h = down.x + kh * p.dilation_h;
        if h >= p.size_h { continue; }
        for (var kw = 0u; kw < right.y; kw++) {
            let w = right.x + kw * p.dilation_w;
            if w >= p.size_w { continue; }
            let at = start + h * p.x_h + w * p.x_w;
            let value = vec4<f32>(x[at], x[at + p.x_c], x[at + 2u * p.x_c], x[at + 3u * p.x_c]);
            let wins = beats4(value, best) | vec4<bool>(!any);
            best = select(best, value, wins);
            place = select(place, vec4<u32>(kh * p.kernel_w + kw), wins);
            any = true;
        }
    }
    let to = o.x * p.y_n + o.w * p.y_c + o.y * p.y_h + o.z * p.y_w;
    y[to] = best.x;
    y[to + p.y_c] = best.y;
    y[to + 2u * p.y_c] = best.z;
    y[to + 3u * p.y_c] = best.w;
    return place;
}

@compute @workgroup_size(256)
fn max_pool(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let word = index_of(grid, thread);
    let each = select(1u, 4u, BYTES);
    let first = word * each;
    let end = min(first + each, p.batch * p.out_h * p.out_w * p.channels);
    if first >= end { return; }
    var places = 0u;
    if FOURS { places = packed_places(largest4(first)); }
    for (var i = first; !FOURS && i < end; i++) {
        if BYTES { places |= (largest(i) & 255u) << (8u * (i - first)); } else { places = largest(i); }
    }
    at[word] = places;
}
