// Stands before the files of poolings.

// A pooling's sizes and its input's strides.
struct Pool {
    batch: u32,
    channels: u32,
    size_h: u32,
    size_w: u32,
    out_h: u32,
    out_w: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    padding_h: u32,
    padding_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    // 1: windows that divide the image, whatever its size
    adaptive: u32,
    x_base: u32,
    x_n: u32,
    x_c: u32,
    x_h: u32,
    x_w: u32,
    // strides of the results y, and of their gradient dy
    y_n: u32,
    y_c: u32,
    y_h: u32,
    y_w: u32,
    dy_n: u32,
    dy_c: u32,
    dy_h: u32,
    dy_w: u32,
    // for the host
    relu: u32,
}

// Image, row, column and channel of output element i of [batch, out_h, out_w, channels].
fn output_at(i: u32, p: Pool) -> vec4<u32> {
    let column = divide(i, p.channels);
    let row = divide(column, p.out_w);
    let image = divide(row, p.out_h);
    return vec4<u32>(image, row - image * p.out_h, column - row * p.out_w, i - column * p.channels);
}

// Image, row, column and channel of input element i of [batch, height, width, channels].
fn pixel_at(i: u32, p: Pool) -> vec4<u32> {
    let column = divide(i, p.channels);
    let row = divide(column, p.size_w);
    let image = divide(row, p.size_h);
    return vec4<u32>(image, row - image * p.size_h, column - row * p.size_w, i - column * p.channels);
}

// Along one dimension, the first pixel of output o's window, the one past the last, and what the mean divides by.
fn window(o: u32, size: u32, out: u32, stride: u32, kernel: u32, padding: u32, adaptive: u32) -> vec3<u32> {
    if adaptive == 1u {
        let first = divide(o * size, out);
        let end = divide((o + 1u) * size + out - 1u, out);
        return vec3<u32>(first, end, end - first);
    }
    let start = max(o * stride, padding) - padding;
    return vec3<u32>(start, min(o * stride + kernel - padding, size), kernel);
}

// The first tap that may lie on a pixel `place` zeros and pixels in, and the distance to the next.
fn taps_on(place: u32, stride: u32, dilation: u32) -> vec2<u32> {
    if dilation > 1u { return vec2<u32>(0u, 1u); }
    return vec2<u32>(place - divide(place, stride) * stride, stride);
}
