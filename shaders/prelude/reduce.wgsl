// Stands before the files of reductions.

struct Reduce {
    // Outputs, reduced elements (or candidates) of each, those of a chunk, chunks.
    n: u32,
    count: u32,
    chunk: u32,
    chunks: u32,
    base: u32,
    kept_rank: u32,
    reduced_rank: u32,
    scale: f32,
    // (kept size, kept stride, reduced size, reduced stride), the last dimension varying fastest
    dims: array<vec4<u32>, 6>,
}

// Where output o starts. What is left of the first dimension needs no division.
fn start_of(o: u32) -> u32 {
    var at = p.base;
    var rest = o;
    for (var d = p.kept_rank; d > 1u; d--) {
        let dim = p.dims[d - 1u];
        let outer = divide(rest, dim.x);
        at += (rest - outer * dim.x) * dim.y;
        rest = outer;
    }
    return at + rest * p.dims[0].y;
}

// Where reduced element r lies from there.
fn offset_of(r: u32) -> u32 {
    var at = 0u;
    var rest = r;
    for (var d = p.reduced_rank; d > 1u; d--) {
        let dim = p.dims[d - 1u];
        let outer = divide(rest, dim.z);
        at += (rest - outer * dim.z) * dim.w;
        rest = outer;
    }
    return at + rest * p.dims[0].w;
}
