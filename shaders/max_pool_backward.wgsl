// dx[n, h, w, c] = sum of dy over the windows whose largest lies there
//   dy, at: [batch, oh, ow, channels]; dx: [batch, height, width, channels]
// One invocation takes one pixel and asks each window that may hold it: at most kh * kw + kh iterations.

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> at: array<i32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Pool;

// The first tap that may lie on a pixel `place` zeros and pixels in, and the distance to the next.
fn taps(place: u32, stride: u32, dilation: u32) -> vec2<u32> {
    if dilation > 1u { return vec2<u32>(0u, 1u); }
    return vec2<u32>(place - divide(place, stride) * stride, stride);
}

@compute @workgroup_size(256)
fn max_pool_backward(grid: Grid) {
    let i = index_of(grid);
    if i >= p.batch * p.height * p.width * p.channels { return; }
    let pixel = pixel_at(i, p);
    let down = pixel.y + p.padding_h;
    let right = pixel.z + p.padding_w;
    let rows = taps(down, p.stride_h, p.dilation_h);
    let columns = taps(right, p.stride_w, p.dilation_w);
    let place = i32(pixel.y * p.width + pixel.z);
    var sum = 0.0;
    for (var kh = rows.x; kh < p.kernel_h && kh * p.dilation_h <= down; kh += rows.y) {
        let oh = divide(down - kh * p.dilation_h, p.stride_h);
        if oh >= p.out_h || oh * p.stride_h + kh * p.dilation_h != down { continue; }
        for (var kw = columns.x; kw < p.kernel_w && kw * p.dilation_w <= right; kw += columns.y) {
            let ow = divide(right - kw * p.dilation_w, p.stride_w);
            if ow >= p.out_w || ow * p.stride_w + kw * p.dilation_w != right { continue; }
            let window = ((pixel.x * p.out_h + oh) * p.out_w + ow) * p.channels + pixel.w;
            if at[window] == place { sum += dy[window]; }
        }
    }
    dx[i] = sum;
}
