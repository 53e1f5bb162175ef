// y[n, oh, ow, c] = the largest of x[n, c, h, w] over a window, at = its place h * width + w, the first of equals
//   x, y: strided [batch, channels, height, width]; at: [batch, oh, ow, channels]
// A window that lies in the padding as a whole gives -inf and -1.
// One invocation takes one output: at most kh * kw + kh iterations, of the window's height and width where it is adaptive.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> at: array<i32>;
@group(0) @binding(3) var<uniform> p: Pool;

// Along one dimension, where output o's window starts, and its length.
fn taps(o: u32, size: u32, out: u32, stride: u32, kernel: u32, padding: u32) -> vec2<u32> {
    if p.adaptive == 0u { return vec2<u32>(o * stride - padding, kernel); }
    return window(o, size, out, stride, kernel, padding, 1u).xz;
}

@compute @workgroup_size(256)
fn max_pool(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.out_h * p.out_w * p.channels { return; }
    let o = output_at(i, p);
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
            let value = x[p.x_base + o.x * p.x_n + o.w * p.x_c + h * p.x_h + w * p.x_w];
            if !any || beats4(vec4<f32>(value), vec4<f32>(best)).x {
                best = value;
                place = h * p.size_w + w;
                any = true;
            }
        }
    }
    y[o.x * p.y_n + o.w * p.y_c + o.y * p.y_h + o.z * p.y_w] = best;
    at[i] = i32(place);
}
