// dx[n, h, w, c] = sum of dy / (pixels of the window) over the windows that hold the pixel
//   dy: [batch, oh, ow, channels]; dx: [batch, height, width, channels]; of types DY and DX
// One invocation takes one channel of a pixel, or four, and asks the windows from the first to the last that may hold
// it, which lie side by side: at most rows * (columns + 1) iterations, with kernel / stride of each, rounded up, or where
// the image is cut into parts, outputs / pixels + 1.

@group(0) @binding(0) var<storage, read> dy: array<DY>;
@group(0) @binding(1) var<storage, read_write> dx: array<DX>;
@group(0) @binding(2) var<uniform> p: Pool;

// Set by the variant: ITEM, a float, or a vec4 where p is in steps of vec4.

// The first output whose window may hold `at`, and the one past the last.
fn outputs(at: u32, size: u32, out: u32, stride: u32, kernel: u32, padding: u32) -> vec2<u32> {
    if p.adaptive == 1u { return vec2<u32>(divide(at * out, size), min(out, divide((at + 1u) * out + size - 1u, size))); }
    let first = select(0u, divide(at + padding - min(kernel, at + padding), stride) + 1u, at + padding >= kernel);
    return vec2<u32>(first, min(out, divide(at + padding, stride) + 1u));
}

@compute @workgroup_size(256)
fn avg_pool_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.size_h * p.size_w * p.channels { return; }
    let pixel = pixel_at(i, p);
    let n = pixel.x;
    let h = pixel.y;
    let w = pixel.z;
    let c = pixel.w;
    let rows = outputs(h, p.size_h, p.out_h, p.stride_h, p.kernel_h, p.padding_h);
    let columns = outputs(w, p.size_w, p.out_w, p.stride_w, p.kernel_w, p.padding_w);
    var sum = ITEM();
    for (var oh = rows.x; oh < rows.y; oh++) {
        let down = window(oh, p.size_h, p.out_h, p.stride_h, p.kernel_h, p.padding_h, p.adaptive);
        if h < down.x || h >= down.y { continue; }
        for (var ow = columns.x; ow < columns.y; ow++) {
            let right = window(ow, p.size_w, p.out_w, p.stride_w, p.kernel_w, p.padding_w, p.adaptive);
            if w < right.x || w >= right.y { continue; }
            sum += wide_DY(dy[((n * p.out_h + oh) * p.out_w + ow) * p.channels + c]) / f32(down.z * right.z);
        }
    }
    dx[i] = narrow_DX(sum);
}
