// y[n, oh, ow, o] = relu(b[o] + the sum of x[n, oh sh + kh dh - ph, ow sw + kw dw - pw, o / m] w[kh, kw, o] over the taps),
// where relu and b may be left out, and m = out_channels / channels
//   x: [batch, height, width, channels]; w: [kh, kw, out_channels]; b: [out_channels]; y: [batch, oh, ow, out_channels]
// One invocation takes a channel, or four, of four neighbours in a row, whose pixels it keeps where these move by one
// from tap to tap: kh * (kw + 1) iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> weight: array<ITEM>;
@group(0) @binding(2) var<storage, read> bias: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> y: array<Y>;
@group(0) @binding(4) var<uniform> p: Conv;

// x and y are of types X and Y. Set by the variant: ITEM, a float, or a vec4 where p counts channels by fours; MULTIPLE, whether m > 1; SLIDES, whether
// taps are as far apart as results; KERNEL_W, the kernel's width where it is known to the compiler, else 0.

// Pixels past either end are 0: in unsigned numbers, what lies before 0 is far past the end.
fn pixel(line: u32, column: u32) -> ITEM {
    let inside = column < p.width;
    return select(ITEM(), load_X(x[line + select(0u, column, inside) * p.channels]), inside);
}

@compute @workgroup_size(64)
fn depthwise(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let across = (p.out_w + 3u) / 4u;
    if i >= p.batch * p.out_h * across * p.out_channels { return; }
    let spot = divide(i, p.out_channels);
    let o = i - spot * p.out_channels;
    let row = divide(spot, across);
    let ow = (spot - row * across) * 4u;
    let n = divide(row, p.out_h);
    let oh = row - n * p.out_h;
    var c = o;
    if MULTIPLE { c = divide(o, divide(p.out_channels, p.channels)); }
    var sum0 = ITEM();
    if p.bias == 1u { sum0 = bias[o]; }
    var sum1 = sum0;
    var sum2 = sum0;
    var sum3 = sum0;
    let step = p.stride_w;
    let wide = select(p.kernel_w, KERNEL_W, KERNEL_W > 0u);
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        let h = oh * p.stride_h + kh * p.dilation_h - p.padding_h;
        if h >= p.height { continue; }
        let line = (n * p.height + h) * p.width * p.channels + c;
        var column = ow * step - p.padding_w;
        var tap = kh * p.kernel_w * p.out_channels + o;
        if SLIDES {
            var x0 = pixel(line, column);
            var x1 = pixel(line, column + step);
            var x2 = pixel(line, column + 2u * step);
            for (var kw = 0u; kw < wide; kw++) {
                let x3 = pixel(line, column + 3u * step);
                let w = weight[tap];
                sum0 += x0 * w;
                sum1 += x1 * w;
                sum2 += x2 * w;
                sum3 += x3 * w;
                x0 = x1;
                x1 = x2;
                x2 = x3;
                column += step;
                tap += p.out_channels;
            }
        } else {
            for (var kw = 0u; kw < wide; kw++) {
                let w = weight[tap];
                sum0 += pixel(line, column) * w;
                sum1 += pixel(line, column + step) * w;
                sum2 += pixel(line, column + 2u * step) * w;
                sum3 += pixel(line, column + 3u * step) * w;
                column += p.dilation_w;
                tap += p.out_channels;
            }
        }
    }
    let to = (row * p.out_w + ow) * p.out_channels + o;
    put(to, sum0);
    if ow + 1u < p.out_w { put(to + p.out_channels, sum1); }
    if ow + 2u < p.out_w { put(to + 2u * p.out_channels, sum2); }
    if ow + 3u < p.out_w { put(to + 3u * p.out_channels, sum3); }
}

// As `relu4`; BITS has as many elements as ITEM.
fn relu(sum: ITEM) -> ITEM {
    return select(sum, ITEM(), bitcast<BITS>(sum) - BITS(0x80000001u) <= BITS(0x7f7fffffu));
}

fn put(to: u32, sum: ITEM) {
    if p.relu == 1u { y[to] = narrow_Y(relu(sum)); } else { y[to] = narrow_Y(sum); }
}
