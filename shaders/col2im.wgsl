// dx[n, c, h, w] = sum of dcol[r, q] over the output positions r and taps q that saw that pixel
//   dcol: [images * oh * ow, channels * kh * kw] for images n0 on; dx: [batch, height, width, channels]
// One invocation takes one pixel of one channel: at most kh * kw + kh iterations. Where an image's positions come in
// parts, those behind the first add theirs.

@group(0) @binding(0) var<storage, read> dcol: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<uniform> p: Conv;

// Set by the lowering: ADD, whether dx has the sums of other positions already.

// The output position whose tap k saw a pixel `at` zeros and pixels in, or a position past the last where none did: so far
// before the first position that `at` wraps around, none did.
fn position(at: u32, k: u32, stride: u32, dilation: u32) -> u32 {
    if k * dilation > at || at >= 0x80000000u { return 0xffffffffu; }
    let far = at - k * dilation;
    if stride == 1u { return far; }
    let o = divide(far, stride);
    return select(0xffffffffu, o, o * stride == far);
}

@compute @workgroup_size(256)
fn col2im(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.images * p.height * p.width * p.channels { return; }
    let column = divide(i, p.channels);
    let c = i - column * p.channels;
    let row = divide(column, p.width);
    let w = column - row * p.width;
    let n = divide(row, p.height);
    let h = row - n * p.height;
    let taps = p.channels * p.kernel_h * p.kernel_w;
    var sum = 0.0;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        let oh = position(h + p.padding_h, kh, p.stride_h, p.dilation_h);
        if oh >= p.out_h { continue; }
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let ow = position(w + p.padding_w, kw, p.stride_w, p.dilation_w);
            if ow < p.out_w {
                sum += dcol[((n * p.out_h + oh) * p.out_w + ow) * taps + (c * p.kernel_h + kh) * p.kernel_w + kw];
            }
        }
    }
    let to = i + p.image * p.height * p.width * p.channels;
    if ADD { sum += dx[to]; }
    dx[to] = sum;
}
