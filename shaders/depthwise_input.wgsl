// dx[n, h, w, c] = the sum of dy[n, oh, ow, o] w[kh, kw, o] over the taps of the m = out_channels / channels results o of
// the channel with oh sh + kh dh - ph = h and ow sw + kw dw - pw = w
//   dy: [batch, oh, ow, out_channels]; w: [kh, kw, out_channels]; dx: [batch, height, width, channels]
// One invocation takes a channel of a pixel, or four, and asks the results from the first to the last that may see it:
// at most rows + kh * (columns + kw * m) iterations, with as many rows and columns of results as lie in a pixel's reach,
// dilation * (kernel - 1) / stride + 2.

@group(0) @binding(0) var<storage, read> dy: array<DY>;
@group(0) @binding(1) var<storage, read> weight: array<ITEM>;
@group(0) @binding(2) var<storage, read_write> dx: array<DX>;
@group(0) @binding(3) var<uniform> p: Conv;

// dy and dx are of types DY and DX. Set by the variant: ITEM, a float, or a vec4 where p counts channels by fours and m = 1.

// The first result along a dimension that may see a pixel, `at` pixels from the first with the padding, and the one past
// the last.
fn seers(at: u32, out: u32, stride: u32, reach: u32) -> vec2<u32> {
    let first = divide(max(at + stride, reach) - reach, stride);
    return vec2<u32>(first, min(out, divide(at, stride) + 1u));
}

@compute @workgroup_size(64)
fn depthwise_input(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    if i >= p.batch * p.height * p.width * p.channels { return; }
    let spot = divide(i, p.channels);
    let c = i - spot * p.channels;
    let row = divide(spot, p.width);
    let w = spot - row * p.width + p.padding_w;
    let n = divide(row, p.height);
    let h = row - n * p.height + p.padding_h;
    let multiple = divide(p.out_channels, p.channels);
    let rows = seers(h, p.out_h, p.stride_h, p.dilation_h * (p.kernel_h - 1u) + 1u);
    let columns = seers(w, p.out_w, p.stride_w, p.dilation_w * (p.kernel_w - 1u) + 1u);
    var sum = ITEM();
    for (var oh = rows.x; oh < rows.y; oh++) {
        let down = h - oh * p.stride_h;
        let kh = divide(down, p.dilation_h);
        if kh * p.dilation_h != down { continue; }
        for (var ow = columns.x; ow < columns.y; ow++) {
            let right = w - ow * p.stride_w;
            let kw = divide(right, p.dilation_w);
            if kw * p.dilation_w != right { continue; }
            let source = ((n * p.out_h + oh) * p.out_w + ow) * p.out_channels + c * multiple;
            let tap = (kh * p.kernel_w + kw) * p.out_channels + c * multiple;
            for (var j = 0u; j < multiple; j++) { sum += load_DY(dy[source + j]) * weight[tap + j]; }
        }
    }
    dx[i] = narrow_DX(sum);
}
