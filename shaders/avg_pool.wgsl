// y[n, oh, ow, c] = the mean of x[n, c, h, w] over a window
//   x: strided [batch, channels, height, width]; y: [batch, oh, ow, channels]; of types X and Y
//   fixed windows: zeros of the padding count; adaptive: from floor(oh * height / out_h) to ceil((oh + 1) * height / out_h)
// One invocation takes one output, or four of four channels: at most window + rows of the window iterations, windows of
// up to 16,384 pixels, or of one row or column.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read_write> y: array<Y>;
@group(0) @binding(2) var<uniform> p: Pool;

// Set by the variant: ITEM, a float, or a vec4 where the channels are neighbours and p in steps of vec4.

@compute @workgroup_size(256)
fn avg_pool(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.out_h * p.out_w * p.channels { return; }
    let o = output_at(i, p);
    let down = window(o.y, p.size_h, p.out_h, p.stride_h, p.kernel_h, p.padding_h, p.adaptive);
    let right = window(o.z, p.size_w, p.out_w, p.stride_w, p.kernel_w, p.padding_w, p.adaptive);
    var sum = ITEM();
    for (var h = down.x; h < down.y; h++) {
        for (var w = right.x; w < right.y; w++) {
            sum += wide_X(x[p.x_base + o.x * p.x_n + o.w * p.x_c + h * p.x_h + w * p.x_w]);
        }
    }
    y[i] = narrow_Y(sum / f32(down.z * right.z));
}
