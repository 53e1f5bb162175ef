// y[n, oh, ow, c] = the largest of x[n, c, h, w] over a window, at = its place kh * kernel_w + kw there, the first of
// equals
//   x: channels last, strided images, rows and columns; y, at: [batch, oh, ow, channels]; x and y of types X and Y; channels
//   are multiples of 4
// A window that lies in the padding as a whole gives -inf and a place of ones.
// One invocation takes four channels of one output: at most kh * kw + kh iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read_write> y: array<Y>;
@group(0) @binding(2) var<storage, read_write> at: array<PLACES>;
@group(0) @binding(3) var<uniform> p: Pool;

// Set by the lowering: PLACES, four places as they are kept, which kept_places makes.

@compute @workgroup_size(256)
fn max_pool_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.out_h * p.out_w * (p.channels / 4u) { return; }
    let o = output_at(i * 4u, p);
    var best = from_bits4(0xff800000u);
    var place = vec4<u32>(0xffffffffu);
    var first = true;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        // In unsigned numbers, what lies before 0 is far past the end.
        let h = o.y * p.stride_h + kh * p.dilation_h - p.padding_h;
        if h >= p.size_h { continue; }
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let w = o.z * p.stride_w + kw * p.dilation_w - p.padding_w;
            if w >= p.size_w { continue; }
            let value = wide_X(x[(p.x_base + o.x * p.x_n + o.w + h * p.x_h + w * p.x_w) / 4u]);
            let wins = beats4(value, best) | vec4<bool>(first);
            best = select(best, value, wins);
            place = select(place, vec4<u32>(kh * p.kernel_w + kw), wins);
            first = false;
        }
    }
    y[i] = narrow_Y(best);
    at[i] = kept_places(place);
}
