// dx[n, h, w, c] = sum of dy over the windows whose largest lies there
//   dy, at: [batch, oh, ow, channels]; dx: [batch, height, width, channels]
// One invocation takes one pixel and asks each window that may hold it: at most kh * kw + kh iterations.

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> at: array<i32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> p: Pool;

@compute @workgroup_size(256)
fn max_pool_backward(grid: Grid) {
    let i = index_of(grid);
    if i >= p.batch * p.height * p.width * p.channels { return; }
    let c = i % p.channels;
    let w = (i / p.channels) % p.width;
    let h = (i / (p.channels * p.width)) % p.height;
    let n = i / (p.channels * p.width * p.height);
    var sum = 0.0;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        // In unsigned numbers, what lies before 0 is far past the end.
        let down = h + p.padding_h - kh * p.dilation_h;
        let oh = down / p.stride_h;
        if oh >= p.out_h || oh * p.stride_h != down { continue; }
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let right = w + p.padding_w - kw * p.dilation_w;
            let ow = right / p.stride_w;
            if ow >= p.out_w || ow * p.stride_w != right { continue; }
            let source = ((n * p.out_h + oh) * p.out_w + ow) * p.channels + c;
            if u32(at[source]) == h * p.width + w { sum += dy[source]; }
        }
    }
    dx[i] = sum;
}
