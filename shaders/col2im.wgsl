// dx[n, c, h, w] = sum of dcol[r, q] over the output positions r and taps q that saw that pixel
//   dcol: [images * oh * ow, channels * kh * kw] for images n0 on; dx: [batch, height, width, channels]
// One invocation takes one pixel of one channel: at most kh * kw + kh iterations.

@group(0) @binding(0) var<storage, read> dcol: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<uniform> p: Conv;

@compute @workgroup_size(256)
fn col2im(grid: Grid) {
    let at = index_of(grid);
    if at >= p.images * p.height * p.width * p.channels { return; }
    let c = at % p.channels;
    var rest = at / p.channels;
    let w = rest % p.width;
    rest /= p.width;
    let h = rest % p.height;
    let n = rest / p.height;
    let taps = p.channels * p.kernel_h * p.kernel_w;
    var sum = 0.0;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        // In unsigned numbers, what lies before 0 is far past the end.
        let down = h + p.padding_h - kh * p.dilation_h;
        let oh = down / p.stride_h;
        if oh >= p.out_h || oh * p.stride_h != down { continue; }
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let right = w + p.padding_w - kw * p.dilation_w;
            let ow = right / p.stride_w;
            if ow < p.out_w && ow * p.stride_w == right {
                sum += dcol[((n * p.out_h + oh) * p.out_w + ow) * taps + (c * p.kernel_h + kh) * p.kernel_w + kw];
            }
        }
    }
    dx[at + p.image * p.height * p.width * p.channels] = sum;
}
