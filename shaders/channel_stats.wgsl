// Per channel c, over the batch and the positions: mean and biased variance of x.
//   x: strided [batch, channels, positions]; parts: [chunks, 2, channels], of each chunk the mean and the sum of squared
//   distances from it; y: [2, channels]
// Two walks over a chunk keep the digits that a single sum of squares would lose; chunks are joined as Chan, Golub and
// LeVeque do ("Updating formulae and a pairwise algorithm for computing sample variances", 1979).
// stats_chunks: one invocation takes one chunk of one channel, at most 2 x 1,024 iterations.
// stats_join: one invocation takes one channel, at most 32,768 chunks.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Channels;

@compute @workgroup_size(256)
fn stats_chunks(grid: Grid) {
    let i = index_of(grid);
    if i >= p.channels * p.chunks { return; }
    let c = i % p.channels;
    let first = (i / p.channels) * p.chunk;
    let end = min(first + p.chunk, p.batch * p.positions);
    var sum = 0.0;
    for (var r = first; r < end; r++) { sum += x[element_at(r, c, p)]; }
    let mean = sum / f32(end - first);
    var squares = 0.0;
    for (var r = first; r < end; r++) {
        let distance = x[element_at(r, c, p)] - mean;
        squares += distance * distance;
    }
    let at = (i / p.channels) * 2u * p.channels + c;
    parts[at] = mean;
    parts[at + p.channels] = squares;
}

@compute @workgroup_size(256)
fn stats_join(grid: Grid) {
    let c = index_of(grid);
    if c >= p.channels { return; }
    let all = p.batch * p.positions;
    var count = 0.0;
    var mean = 0.0;
    var squares = 0.0;
    for (var chunk = 0u; chunk < p.chunks; chunk++) {
        let more = f32(min(p.chunk, all - chunk * p.chunk));
        let at = chunk * 2u * p.channels + c;
        let distance = parts[at] - mean;
        let total = count + more;
        mean += distance * (more / total);
        squares += parts[at + p.channels] + distance * distance * (count * more / total);
        count = total;
    }
    y[c] = mean;
    y[p.channels + c] = squares / count;
}
