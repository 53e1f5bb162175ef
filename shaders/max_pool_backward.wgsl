// dx[n, h, w, c] = sum of dy over the windows whose largest lies there
//   dy: strided [batch, channels, oh, ow]; at: [batch, oh, ow, channels], four in a word (BYTES) or one; dx: [batch, height, width, channels]
//   y: strided, what a relu and the pooling gave: with RELU, only what passes that relu
// One invocation takes one pixel and asks each window that may hold it: at most kh * kw + kh iterations, or those of the
// outputs that a pixel has where the image is cut into parts.

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> at: array<u32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<uniform> p: Pool;

// Set by the lowering: BYTES, whether places are bytes; RELU; DY_QUADS and Y_QUADS, for another file of the same bindings.

fn place_at(i: u32) -> u32 {
    if BYTES { return (at[i / 4u] >> (i % 4u * 8u)) & 255u; }
    return at[i];
}

@compute @workgroup_size(256)
fn max_pool_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.size_h * p.size_w * p.channels { return; }
    let pixel = pixel_at(i, p);
    let down = pixel.y + p.padding_h;
    let right = pixel.z + p.padding_w;
    let rows = taps_on(down, p.stride_h, p.dilation_h);
    let columns = taps_on(right, p.stride_w, p.dilation_w);
    var sum = 0.0;
    // What the relu gave: in each window that the pixel wins, this is the pixel's own value.
    var own = 1.0;
    for (var kh = rows.x; kh < p.kernel_h && kh * p.dilation_h <= down; kh += rows.y) {
        let oh = divide(down - kh * p.dilation_h, p.stride_h);
        if oh >= p.out_h || oh * p.stride_h + kh * p.dilation_h != down { continue; }
        for (var kw = columns.x; kw < p.kernel_w && kw * p.dilation_w <= right; kw += columns.y) {
            let ow = divide(right - kw * p.dilation_w, p.stride_w);
            if ow >= p.out_w || ow * p.stride_w + kw * p.dilation_w != right { continue; }
            let window = ((pixel.x * p.out_h + oh) * p.out_w + ow) * p.channels + pixel.w;
            if place_at(window) != kh * p.kernel_w + kw { continue; }
            sum += dy[pixel.x * p.dy_n + pixel.w * p.dy_c + oh * p.dy_h + ow * p.dy_w];
            if RELU { own = y[pixel.x * p.y_n + pixel.w * p.y_c + oh * p.y_h + ow * p.y_w]; }
        }
    }
    dx[i] = past_relu4(vec4<f32>(sum), vec4<f32>(own)).x;
}

// The same for windows that cut the image into parts: those that may hold a pixel lie side by side.
@compute @workgroup_size(256)
fn max_pool_backward_adaptive(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.size_h * p.size_w * p.channels { return; }
    let pixel = pixel_at(i, p);
    let end_h = min(p.out_h, divide((pixel.y + 1u) * p.out_h + p.size_h - 1u, p.size_h));
    let end_w = min(p.out_w, divide((pixel.z + 1u) * p.out_w + p.size_w - 1u, p.size_w));
    var sum = 0.0;
    // What the relu gave: in each window that the pixel wins, this is the pixel's own value.
    var own = 1.0;
    for (var oh = divide(pixel.y * p.out_h, p.size_h); oh < end_h; oh++) {
        let down = pixel.y - divide(oh * p.size_h, p.out_h);
        for (var ow = divide(pixel.z * p.out_w, p.size_w); ow < end_w; ow++) {
            let place = down * p.kernel_w + pixel.z - divide(ow * p.size_w, p.out_w);
            if place_at(((pixel.x * p.out_h + oh) * p.out_w + ow) * p.channels + pixel.w) != place { continue; }
            sum += dy[pixel.x * p.dy_n + pixel.w * p.dy_c + oh * p.dy_h + ow * p.dy_w];
            if RELU { own = y[pixel.x * p.y_n + pixel.w * p.y_c + oh * p.y_h + ow * p.y_w]; }
        }
    }
    dx[i] = past_relu4(vec4<f32>(sum), vec4<f32>(own)).x;
}
