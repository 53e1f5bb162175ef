// Per channel c, over the batch and the positions: mean and biased variance of x.
//   x: strided [batch, channels, positions], of type X; parts: [chunks, 2, channels], of each chunk the mean and the sum of squared
//   distances from it; y: [2, channels]
// Two walks over a chunk keep the digits that a single sum of squares would lose; chunks are joined as Chan, Golub and
// LeVeque do ("Updating formulae and a pairwise algorithm for computing sample variances", 1979).
// stats_chunks: one invocation takes one chunk of one channel, or of four, at most 2 x 1,024 iterations.
// stats_join: one invocation takes one channel, or four, at most 32,768 chunks. stats_join_wide: a workgroup does, for GPUs, where
// there are as many chunks as fill it.

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

// So many elements, their mean and the sum of squared distances from it.
struct Moments {
    count: f32,
    mean: ITEM,
    squares: ITEM,
}

// Those of both; `b` has elements.
fn both(a: Moments, b: Moments) -> Moments {
    let distance = b.mean - a.mean;
    let total = a.count + b.count;
    let squares = a.squares + b.squares + distance * distance * (a.count * b.count / total);
    return Moments(total, a.mean + distance * (b.count / total), squares);
}

// Those of every `step`th chunk from `first` on, of channel c.
fn chunks_of(c: u32, first: u32, step: u32) -> Moments {
    let all = p.batch * p.positions;
    var sum: Moments;
    for (var chunk = first; chunk < p.chunks; chunk += step) {
        let at = chunk * 2u * (p.channels / WIDTH) + c;
        sum = both(sum, Moments(f32(min(p.chunk, all - chunk * p.chunk)), parts[at], parts[at + p.channels / WIDTH]));
    }
    return sum;
}

fn store(c: u32, sum: Moments) {
    y[c] = sum.mean;
    y[p.channels / WIDTH + c] = sum.squares / sum.count;
}

@compute @workgroup_size(256)
fn stats_join(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let c = index_of(grid, thread);
    if c < p.channels / WIDTH { store(c, chunks_of(c, 0u, 1u)); }
}

var<workgroup> lanes: array<Moments, 64>;

@compute @workgroup_size(64)
fn stats_join_wide(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    // The grid's spill past the last channel repeats it.
    let c = min(group_of(grid), p.channels / WIDTH - 1u);
    lanes[thread] = chunks_of(c, thread, 64u);
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        // Of few chunks, the last lanes have none.
        if thread < half && lanes[thread + half].count > 0.0 { lanes[thread] = both(lanes[thread], lanes[thread + half]); }
    }
    if thread == 0u { store(c, lanes[0]); }
}
