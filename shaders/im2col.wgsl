// col[r, q] = x[n, c, h, w], the pixel that tap q = (c, kh, kw) sees at output position r = (n, oh, ow); 0 outside
//   x: strided [batch, channels, height, width]; col: [images * oh * ow, channels * kh * kw] for images n0 on
// One invocation takes one element. No loops.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> col: array<f32>;
@group(0) @binding(2) var<uniform> p: Conv;

@compute @workgroup_size(256)
fn im2col(grid: Grid) {
    let at = index_of(grid);
    let taps = p.channels * p.kernel_h * p.kernel_w;
    if at >= p.images * p.out_h * p.out_w * taps { return; }
    let kw = at % p.kernel_w;
    var rest = at / p.kernel_w;
    let kh = rest % p.kernel_h;
    rest /= p.kernel_h;
    let c = rest % p.channels;
    rest /= p.channels;
    let ow = rest % p.out_w;
    rest /= p.out_w;
    let oh = rest % p.out_h;
    let n = rest / p.out_h + p.image;
    // In unsigned numbers, what lies before 0 is far past the end.
    let h = oh * p.stride_h + kh * p.dilation_h - p.padding_h;
    let w = ow * p.stride_w + kw * p.dilation_w - p.padding_w;
    var value = 0.0;
    if h < p.height && w < p.width {
        value = x[p.x_base + n * p.x_n + c * p.x_c + h * p.x_h + w * p.x_w];
    }
    col[at] = value;
}
