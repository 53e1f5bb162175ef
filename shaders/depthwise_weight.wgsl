// parts[s, t, o] = the sum of dy[n, oh, ow, o] x[n, oh sh + kh dh - ph, ow sw + kw dw - pw, o / m] over the rows (n, oh) of
// split s, for each tap t = (kh, kw); in the row after the last tap, the sum of dy
//   x: [batch, height, width, channels]; dy: [batch, oh, ow, out_channels]; parts: [splits, kh kw + 1, out_channels]
// One invocation takes a channel, or four, of up to four neighbours in a row of the kernel, and the rows of one split
// (p.images): rows * (ow + 1) iterations, held under 65,535 by the splits. Pixels stay where they move by one tap from
// result to result.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read_write> parts: array<ITEM>;
@group(0) @binding(3) var<uniform> p: Conv;

// x and dy are of types X and DY. Set by the variant: ITEM, a float, or a vec4 where p counts channels by fours; MULTIPLE, whether m = out_channels /
// channels > 1; SLIDES, whether taps are as far apart as results.

fn pixel(line: u32, column: u32, end: u32) -> ITEM {
    let inside = column < end;
    return select(ITEM(), load_X(x[select(0u, line + column * p.channels, inside)]), inside);
}

@compute @workgroup_size(64)
fn depthwise_weight(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let blocks = (p.kernel_w + 3u) / 4u;
    let rows = p.batch * p.out_h;
    let splits = (rows + p.images - 1u) / p.images;
    if i >= splits * p.kernel_h * blocks * p.out_channels { return; }
    let block = divide(i, p.out_channels);
    let o = i - block * p.out_channels;
    let kernel_row = divide(block, blocks);
    let kw = (block - kernel_row * blocks) * 4u;
    let split = divide(kernel_row, p.kernel_h);
    let kh = kernel_row - split * p.kernel_h;
    var c = o;
    if MULTIPLE { c = divide(o, divide(p.out_channels, p.channels)); }
    let step = p.dilation_w;
    var sum0 = ITEM();
    var sum1 = ITEM();
    var sum2 = ITEM();
    var sum3 = ITEM();
    var sum = ITEM();
    for (var row = split * p.images; row < min((split + 1u) * p.images, rows); row++) {
        let n = divide(row, p.out_h);
        let h = (row - n * p.out_h) * p.stride_h + kh * p.dilation_h - p.padding_h;
        // Of a row that is none, no column is inside.
        let end = select(0u, p.width, h < p.height);
        let line = (n * p.height + h) * p.width * p.channels + c;
        var column = kw * step - p.padding_w;
        var source = row * p.out_w * p.out_channels + o;
        if SLIDES {
            var x0 = pixel(line, column, end);
            var x1 = pixel(line, column + step, end);
            var x2 = pixel(line, column + 2u * step, end);
            for (var ow = 0u; ow < p.out_w; ow++) {
                let x3 = pixel(line, column + 3u * step, end);
                let g = load_DY(dy[source]);
                sum0 += g * x0;
                sum1 += g * x1;
                sum2 += g * x2;
                sum3 += g * x3;
                sum += g;
                x0 = x1;
                x1 = x2;
                x2 = x3;
                column += step;
                source += p.out_channels;
            }
        } else {
            for (var ow = 0u; ow < p.out_w; ow++) {
                let g = load_DY(dy[source]);
                sum0 += g * pixel(line, column, end);
                sum1 += g * pixel(line, column + step, end);
                sum2 += g * pixel(line, column + 2u * step, end);
                sum3 += g * pixel(line, column + 3u * step, end);
                sum += g;
                column += p.stride_w;
                source += p.out_channels;
            }
        }
    }
    let area = p.kernel_h * p.kernel_w;
    let to = (split * (area + 1u) + kh * p.kernel_w + kw) * p.out_channels + o;
    parts[to] = sum0;
    if kw + 1u < p.kernel_w { parts[to + p.out_channels] = sum1; }
    if kw + 2u < p.kernel_w { parts[to + 2u * p.out_channels] = sum2; }
    if kw + 3u < p.kernel_w { parts[to + 3u * p.out_channels] = sum3; }
    if kh + kw == 0u { parts[(split * (area + 1u) + area) * p.out_channels + o] = sum; }
}
