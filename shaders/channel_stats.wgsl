// Per channel c, over the batch and the positions: mean and biased variance of x.
//   x: strided [batch, channels, positions], of type X; parts: [chunks, 2, channels], of each chunk the mean and the sum of squared
//   distances from it; y: [2, channels]
// Two walks over a chunk keep the digits that a single sum of squares would lose; chunks are joined as Chan, Golub and
// LeVeque do ("Updating formulae and a pairwise algorithm for computing sample variances", 1979).
// stats_chunks: one invocation takes one chunk of one channel, or of four, at most 2 x 1,024 iterations.
// stats_join: one invocation takes one channel, or four, at most 32,768 chunks.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read_write> parts: array<ITEM>;
@group(0) @binding(2) var<storage, read_write> y: array<ITEM>;
@group(0) @binding(3) var<uniform> p: Channels;

// Set by the variant: ITEM and WIDTH, a vec4 and 4 where the channels are neighbours, a multiple of 4, else a float and 1.

fn at(r: u32, c: u32) -> u32 {
    if WIDTH == 1u { return element_at(r, c, p); }
    return r * (p.channels / WIDTH) + c;
}

@compute @workgroup_size(256)
fn stats_chunks(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    if i >= channels * p.chunks { return; }
    let chunk = divide(i, channels);
    let c = i - chunk * channels;
    let first = chunk * p.chunk;
    let end = min(first + p.chunk, p.batch * p.positions);
    var sum = ITEM();
    for (var r = first; r < end; r++) { sum += wide_X(x[at(r, c)]); }
    let mean = sum / f32(end - first);
    var squares = ITEM();
    for (var r = first; r < end; r++) {
        let distance = wide_X(x[at(r, c)]) - mean;
        squares += distance * distance;
    }
    let to = chunk * 2u * channels + c;
    parts[to] = mean;
    parts[to + channels] = squares;
}

@compute @workgroup_size(256)
fn stats_join(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let c = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    if c >= channels { return; }
    let all = p.batch * p.positions;
    var count = 0.0;
    var mean = ITEM();
    var squares = ITEM();
    for (var chunk = 0u; chunk < p.chunks; chunk++) {
        let more = f32(min(p.chunk, all - chunk * p.chunk));
        let from_part = chunk * 2u * channels + c;
        let distance = parts[from_part] - mean;
        let total = count + more;
        mean += distance * (more / total);
        squares += parts[from_part + channels] + distance * distance * (count * more / total);
        count = total;
    }
    y[c] = mean;
    y[channels + c] = squares / count;
}
