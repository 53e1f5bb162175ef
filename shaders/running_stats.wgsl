// running = (1 - momentum) * running + momentum * stats, the variance made unbiased; batches = batches + 1
//   stats: [2, channels]; mean, variance: [channels]; batches: [1]
// One invocation takes one channel. No loops.

@group(0) @binding(0) var<storage, read> stats: array<f32>;
@group(0) @binding(1) var<storage, read_write> mean: array<f32>;
@group(0) @binding(2) var<storage, read_write> variance: array<f32>;
@group(0) @binding(3) var<storage, read_write> batches: array<i32>;
@group(0) @binding(4) var<uniform> p: Params;

struct Params {
    channels: u32,
    momentum: f32,
    // m / (m - 1) for m elements of a channel
    unbias: f32,
}

@compute @workgroup_size(256)
fn running_stats(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let c = index_of(grid, thread);
    if c == 0u { batches[0] += 1; }
    if c >= p.channels { return; }
    mean[c] = (1.0 - p.momentum) * mean[c] + p.momentum * stats[c];
    variance[c] = (1.0 - p.momentum) * variance[c] + p.momentum * (stats[p.channels + c] * p.unbias);
}
