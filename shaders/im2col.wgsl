// col[r, q] = x[n, c, h, w], the pixel that tap q = (c, kh, kw) sees at output position r = (n, oh, ow); 0 outside
//   x: strided [batch, channels, height, width]; col: [images * oh * ow, channels * kh * kw] for images n0 on
// One invocation takes the taps of one channel at one position: at most kh * kw + kh iterations.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> col: array<f32>;
@group(0) @binding(2) var<uniform> p: Conv;

@compute @workgroup_size(256)
fn im2col(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.images * p.out_h * p.out_w * p.channels { return; }
    let r = divide(i, p.channels);
    let c = i - r * p.channels;
    let row = divide(r, p.out_w);
    let ow = r - row * p.out_w;
    let n = divide(row, p.out_h);
    let oh = row - n * p.out_h;
    let start = p.x_base + (n + p.image) * p.x_n + c * p.x_c;
    var to = i * p.kernel_h * p.kernel_w;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        // In unsigned numbers, what lies before 0 is far past the end.
        let h = oh * p.stride_h + kh * p.dilation_h - p.padding_h;
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let w = ow * p.stride_w + kw * p.dilation_w - p.padding_w;
            var value = 0.0;
            if h < p.height && w < p.width { value = x[start + h * p.x_h + w * p.x_w]; }
            col[to] = value;
            to++;
        }
    }
}
