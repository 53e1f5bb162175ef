// Stands before the files of convolutions whose lanes hold spans of neighbouring positions. The files bind x, of elements IN; their
// variants set POOL, and SLIDES: taps lie as far apart as positions, so that a pixel is read once for all taps of a row.

// Image, row and first column of four neighbouring positions, and whether there are any.
struct Span {
    n: u32,
    oh: u32,
    ow: u32,
    is_there: bool,
}

// Spans in a row of positions.
fn strips() -> u32 { return (select(p.out_w, 2u * p.pooled_w, POOL) + 3u) / 4u; }

// The first or second span of a pair; with POOL one lies below the other.
fn span_of(i: u32, second: u32) -> Span {
    let height = select(p.out_h, p.pooled_h, POOL);
    let strips = strips();
    let own = select(2u * i + second, i, POOL);
    let row = divide(own, strips);
    let n = divide(row, height);
    let oh = row - n * height;
    return Span(n, select(oh, 2u * oh + second, POOL), 4u * (own - row * strips), n < p.batch);
}

// Where the pixels of a span under a row of taps start, the column of the first, and the columns that there are.
struct Sight {
    start: u32,
    first: u32,
    width: u32,
}

fn sight(s: Span, kh: u32) -> Sight {
    // In unsigned numbers, what lies before 0 is far past the end.
    let h = s.oh * p.stride_h + kh * p.dilation_h - p.padding_h;
    let is_row = s.is_there && h < p.height;
    return Sight((p.x_base + s.n * p.x_n + h * p.x_h) / 4u, s.ow * p.stride_w - p.padding_w, select(0u, p.width, is_row));
}

// Four channels of the pixel `right` of the first.
fn pixels(s: Sight, c: u32, right: u32) -> vec4<f32> {
    let v = s.first + right;
    let inside = v < s.width;
    return select(vec4<f32>(), load_IN(x[select(0u, s.start + v * (p.x_w / 4u) + c, inside)]), inside);
}

// The pixels that a lane's eight positions see.
alias Held = array<vec4<f32>, 8>;

// What the first tap of a row finds already read.
fn before(v: ptr<function, Held>, l0: Sight, l1: Sight, c: u32) {
    if SLIDES {
        (*v)[1] = pixels(l0, c, 0u);
        (*v)[2] = pixels(l0, c, p.stride_w);
        (*v)[3] = pixels(l0, c, 2u * p.stride_w);
        (*v)[5] = pixels(l1, c, 0u);
        (*v)[6] = pixels(l1, c, p.stride_w);
        (*v)[7] = pixels(l1, c, 2u * p.stride_w);
    }
}

// What tap kw of a row sees.
fn move_on(v: ptr<function, Held>, l0: Sight, l1: Sight, c: u32, kw: u32) {
    let right = kw * p.dilation_w;
    if SLIDES {
        (*v)[0] = (*v)[1]; (*v)[1] = (*v)[2]; (*v)[2] = (*v)[3];
        (*v)[4] = (*v)[5]; (*v)[5] = (*v)[6]; (*v)[6] = (*v)[7];
    } else {
        (*v)[0] = pixels(l0, c, right);
        (*v)[1] = pixels(l0, c, right + p.stride_w);
        (*v)[2] = pixels(l0, c, right + 2u * p.stride_w);
        (*v)[4] = pixels(l1, c, right);
        (*v)[5] = pixels(l1, c, right + p.stride_w);
        (*v)[6] = pixels(l1, c, right + 2u * p.stride_w);
    }
    (*v)[3] = pixels(l0, c, right + 3u * p.stride_w);
    (*v)[7] = pixels(l1, c, right + 3u * p.stride_w);
}

// The first position of a window in two spans that lie one below the other, as `place` counts; past all where there is none.
fn window_of(s: Span, i: u32) -> u32 {
    let column = s.ow / 2u + i;
    let own = (s.n * p.pooled_h + s.oh / 2u) * p.pooled_w + column;
    return select(positions(), 4u * own, s.is_there && column < p.pooled_w);
}
