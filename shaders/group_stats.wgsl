// Per image n and group of channels: mean and biased variance of x, written for each channel of the group.
//   x: [batch, positions, channels], of type X; parts: [batch, chunks, 2, channels], of each chunk the mean and the sum of squared distances
//   from it; stats: [2, batch, channels]
// As in channel_stats.wgsl, two walks over a chunk keep the digits that a single sum of squares would lose.
// group_chunks: one invocation takes one chunk of one channel, or of four, at most 2 x 1,024 iterations.
// group_join: one invocation takes one group, channels / groups * (chunks + 1) iterations.

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read_write> parts: array<ITEM>;
@group(0) @binding(1) var<storage, read_write> each: array<f32>;
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;
@group(0) @binding(3) var<uniform> p: Groups;

@compute @workgroup_size(256)
fn group_chunks(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let channels = p.channels / WIDTH;
    let part = divide(i, channels);
    if part >= p.batch * p.chunks { return; }
    let c = i - part * channels;
    let n = divide(part, p.chunks);
    let first = (part - n * p.chunks) * p.chunk;
    let end = min(first + p.chunk, p.positions);
    let start = n * p.positions;
    var sum = ITEM();
    for (var r = first; r < end; r++) { sum += wide_X(x[(start + r) * channels + c]); }
    let mean = sum / f32(end - first);
    var squares = ITEM();
    for (var r = first; r < end; r++) {
        let distance = wide_X(x[(start + r) * channels + c]) - mean;
        squares += distance * distance;
    }
    let to = part * 2u * channels + c;
    parts[to] = mean;
    parts[to + channels] = squares;
}

@compute @workgroup_size(256)
fn group_join(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.groups { return; }
    let n = divide(i, p.groups);
    let size = p.channels / p.groups;
    let first = (i - n * p.groups) * size;
    var count = 0.0;
    var mean = 0.0;
    var squares = 0.0;
    for (var chunk = 0u; chunk < p.chunks; chunk++) {
        let more = f32(min(p.chunk, p.positions - chunk * p.chunk));
        let at = (n * p.chunks + chunk) * 2u * p.channels + first;
        for (var c = 0u; c < size; c++) {
            let distance = each[at + c] - mean;
            let total = count + more;
            mean += distance * (more / total);
            squares += each[at + p.channels + c] + distance * distance * (count * more / total);
            count = total;
        }
    }
    for (var c = 0u; c < size; c++) {
        let to = n * p.channels + first + c;
        stats[to] = mean;
        stats[p.batch * p.channels + to] = squares / count;
    }
}
