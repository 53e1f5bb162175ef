// parts[s, t, o] = the sum of dy[n, oh, ow, o] x[n, oh sh + kh dh - ph, ow sw + kw dw - pw, c of o's group] over the rows
// (n, oh) of split s, for each tap t = (kh, kw, c within the group); in the row after the last tap, the sum of dy
//   x: channels last, strided rows and columns; dy: [batch, oh, ow, out_channels];
//   parts: [splits, kh kw channels / groups + 1, out_channels]; x and dy of types IN and DY
// One invocation takes four channels and four results of a group, of up to four neighbours in a row of the kernel, and the
// rows of one split (p.images): rows * ow iterations, held under 65,535 by the splits. Pixels stay where they move by one
// tap from result to result. Channels and results of a group are multiples of 4.

@group(0) @binding(0) var<storage, read> x: array<IN>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read_write> parts: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Conv;

// Set by the variant: TAPS, the neighbours that there are at most; SLIDES, whether taps are as far apart as results; SUMS,
// whether the sum of dy is wanted.

fn pixel(line: u32, column: u32, end: u32) -> vec4<f32> {
    let inside = column < end;
    return select(vec4<f32>(), load_IN(x[select(0u, line + column * (p.x_w / 4u), inside)]), inside);
}

// The products of four channels and four results.
fn outer(v: vec4<f32>, g: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(v.x * g, v.y * g, v.z * g, v.w * g);
}

fn put(to: u32, step: u32, sums: mat4x4<f32>) {
    parts[to] = sums[0];
    parts[to + step] = sums[1];
    parts[to + 2u * step] = sums[2];
    parts[to + 3u * step] = sums[3];
}

@compute @workgroup_size(64)
fn conv_grouped_taps(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let step = p.out_channels / 4u;
    let quads = p.channels / p.groups / 4u;
    let blocks = (p.kernel_w + 3u) / 4u;
    let rows = p.batch * p.out_h;
    let splits = (rows + p.images - 1u) / p.images;
    if i >= splits * p.kernel_h * blocks * quads * step { return; }
    let square = divide(i, step);
    let j = i - square * step;
    let block = divide(square, quads);
    let c = square - block * quads;
    let kernel_row = divide(block, blocks);
    let kw = (block - kernel_row * blocks) * 4u;
    let split = divide(kernel_row, p.kernel_h);
    let kh = kernel_row - split * p.kernel_h;
    let own = divide(4u * j, p.out_channels / p.groups) * quads + c;
    let tap = p.dilation_w;
    var m0: mat4x4<f32>; var m1: mat4x4<f32>; var m2: mat4x4<f32>; var m3: mat4x4<f32>;
    var sum: vec4<f32>;
    for (var row = split * p.images; row < min((split + 1u) * p.images, rows); row++) {
        let n = divide(row, p.out_h);
        let h = (row - n * p.out_h) * p.stride_h + kh * p.dilation_h - p.padding_h;
        // Of a row that is none, no column is inside.
        let end = select(0u, p.width, h < p.height);
        let line = (p.x_base + n * p.x_n + h * p.x_h) / 4u + own;
        var column = kw * tap - p.padding_w;
        var source = row * p.out_w * step + j;
        if SLIDES {
            var x0 = pixel(line, column, end);
            var x1: vec4<f32>; var x2: vec4<f32>;
            if TAPS > 1u { x1 = pixel(line, column + tap, end); }
            if TAPS > 2u { x2 = pixel(line, column + 2u * tap, end); }
            for (var ow = 0u; ow < p.out_w; ow++) {
                let g = load_DY(dy[source]);
                m0 += outer(x0, g);
                column += tap;
                if TAPS == 1u {
                    x0 = pixel(line, column, end);
                } else {
                    m1 += outer(x1, g);
                    x0 = x1;
                    if TAPS == 2u {
                        x1 = pixel(line, column + tap, end);
                    } else {
                        m2 += outer(x2, g);
                        x1 = x2;
                        x2 = pixel(line, column + 2u * tap, end);
                        if TAPS == 4u { m3 += outer(x2, g); }
                    }
                }
                if SUMS { sum += g; }
                source += step;
            }
        } else {
            for (var ow = 0u; ow < p.out_w; ow++) {
                let g = load_DY(dy[source]);
                m0 += outer(pixel(line, column, end), g);
                if TAPS > 1u { m1 += outer(pixel(line, column + tap, end), g); }
                if TAPS > 2u { m2 += outer(pixel(line, column + 2u * tap, end), g); }
                if TAPS > 3u { m3 += outer(pixel(line, column + 3u * tap, end), g); }
                if SUMS { sum += g; }
                column += p.stride_w;
                source += step;
            }
        }
    }
    let taps = p.kernel_h * p.kernel_w * quads * 4u;
    let whole = split * (taps + 1u);
    let to = (whole + ((kh * p.kernel_w + kw) * quads + c) * 4u) * step + j;
    let next = quads * 4u * step;
    put(to, step, m0);
    if TAPS > 1u && kw + 1u < p.kernel_w { put(to + next, step, m1); }
    if TAPS > 2u && kw + 2u < p.kernel_w { put(to + 2u * next, step, m2); }
    if TAPS > 3u && kw + 3u < p.kernel_w { put(to + 3u * next, step, m3); }
    if SUMS && c + kh + kw == 0u { parts[(whole + taps) * step + j] = sum; }
}
