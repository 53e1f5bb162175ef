// dx[n, h, w, c] = sum of dy over the windows whose largest lies there
//   dy: strided [batch, channels, oh, ow]; at: [batch, oh, ow, channels]; dx: [batch, height, width, channels]
//   y: strided, what a relu and the pooling gave: with RELU, only what passes that relu
// Channels are multiples of 4, and one invocation takes four. dy, y and dx are of types DY, Y and DX.
// max_pool_windows is for windows side by side that cover the image: it takes one window and writes all of its pixels, kh * kw
// + kh iterations. max_pool_overlaps takes one pixel and asks each window that may hold it, at most as many.

@group(0) @binding(0) var<storage, read> dy: array<DY>;
@group(0) @binding(1) var<storage, read> at: array<PLACES>;
@group(0) @binding(2) var<storage, read> y: array<Y>;
@group(0) @binding(3) var<storage, read_write> dx: array<DX>;
@group(0) @binding(4) var<uniform> p: Pool;

// Set by the lowering: RELU; DY_QUADS and Y_QUADS, whether four channels of dy and y are one vec4; PLACES, four
// places as they are kept, of which places_of makes numbers.

fn dy_at(at: u32) -> f32 { return wide_DY(dy[at / 4u])[at % 4u]; }
fn y_at(at: u32) -> f32 { return wide_Y(y[at / 4u])[at % 4u]; }

// dy of four channels of one result, where their relu let them pass.
fn slope_at(o: vec4<u32>) -> vec4<f32> {
    let start = o.x * p.dy_n + o.w * p.dy_c + o.y * p.dy_h + o.z * p.dy_w;
    var slope: vec4<f32>;
    if DY_QUADS { slope = wide_DY(dy[start / 4u]); } else {
        slope = vec4<f32>(dy_at(start), dy_at(start + p.dy_c), dy_at(start + 2u * p.dy_c), dy_at(start + 3u * p.dy_c));
    }
    if RELU {
        let own = o.x * p.y_n + o.w * p.y_c + o.y * p.y_h + o.z * p.y_w;
        if Y_QUADS { slope = past_relu4(slope, wide_Y(y[own / 4u])); } else {
            slope = past_relu4(slope, vec4<f32>(y_at(own), y_at(own + p.y_c), y_at(own + 2u * p.y_c), y_at(own + 3u * p.y_c)));
        }
    }
    return slope;
}

@compute @workgroup_size(256)
fn max_pool_windows(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.out_h * p.out_w * (p.channels / 4u) { return; }
    let o = output_at(i * 4u, p);
    let slope = slope_at(o);
    let place = places_of(at[i]);
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        let h = o.y * p.kernel_h + kh;
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let here = h * p.size_w + o.z * p.kernel_w + kw;
            let to = (o.x * p.size_h * p.size_w + here) * p.channels + o.w;
            dx[to / 4u] = narrow_DX(select(vec4<f32>(), slope, place == vec4<u32>(kh * p.kernel_w + kw)));
        }
    }
}

@compute @workgroup_size(256)
fn max_pool_overlaps(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.size_h * p.size_w * (p.channels / 4u) { return; }
    let pixel = pixel_at(i * 4u, p);
    let down = pixel.y + p.padding_h;
    let right = pixel.z + p.padding_w;
    let rows = taps_on(down, p.stride_h, p.dilation_h);
    let columns = taps_on(right, p.stride_w, p.dilation_w);
    var sum = vec4<f32>();
    for (var kh = rows.x; kh < p.kernel_h && kh * p.dilation_h <= down; kh += rows.y) {
        let oh = divide(down - kh * p.dilation_h, p.stride_h);
        if oh >= p.out_h || oh * p.stride_h + kh * p.dilation_h != down { continue; }
        for (var kw = columns.x; kw < p.kernel_w && kw * p.dilation_w <= right; kw += columns.y) {
            let ow = divide(right - kw * p.dilation_w, p.stride_w);
            if ow >= p.out_w || ow * p.stride_w + kw * p.dilation_w != right { continue; }
            let window = ((pixel.x * p.out_h + oh) * p.out_w + ow) * p.channels + pixel.w;
            let wins = places_of(at[window / 4u]) == vec4<u32>(kh * p.kernel_w + kw);
            if !any(wins) { continue; }
            sum += select(vec4<f32>(), slope_at(vec4<u32>(pixel.x, oh, ow, pixel.w)), wins);
        }
    }
    dx[i] = narrow_DX(sum);
}
