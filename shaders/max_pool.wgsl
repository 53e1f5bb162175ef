// y[n, oh, ow, c] = the largest of x[n, c, h, w] over a window, at = its place h * width + w, the first of equals
//   x, y: strided [batch, channels, height, width]; at: [batch, oh, ow, channels]
// One invocation takes one output: at most kh * kw + kh iterations.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> at: array<i32>;
@group(0) @binding(3) var<uniform> p: Pool;

@compute @workgroup_size(256)
fn max_pool(grid: Grid) {
    let i = index_of(grid);
    if i >= p.batch * p.out_h * p.out_w * p.channels { return; }
    let o = output_at(i, p);
    var best = from_bits4(0xff800000u).x;
    var place = 0u;
    var any = false;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        // In unsigned numbers, what lies before 0 is far past the end.
        let h = o.y * p.stride_h + kh * p.dilation_h - p.padding_h;
        if h >= p.height { continue; }
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let w = o.z * p.stride_w + kw * p.dilation_w - p.padding_w;
            if w >= p.width { continue; }
            let value = x[p.x_base + o.x * p.x_n + o.w * p.x_c + h * p.x_h + w * p.x_w];
            if !any || value > best || value != value {
                best = value;
                place = h * p.width + w;
                any = true;
            }
        }
    }
    y[o.x * p.y_n + o.w * p.y_c + o.y * p.y_h + o.z * p.y_w] = best;
    at[i] = i32(place);
}
