// Per image and group of channels: the means of weight * sums over all elements of the group, written for each channel of it.
//   sums, means: [2, batch, channels]; weight: [channels]
// One invocation takes one group, 2 * channels / groups iterations.

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> means: array<f32>;
@group(0) @binding(3) var<uniform> p: Groups;

@compute @workgroup_size(256)
fn group_means(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.groups { return; }
    let n = divide(i, p.groups);
    let size = p.channels / p.groups;
    let first = (i - n * p.groups) * size;
    let at = n * p.channels + first;
    let plain = p.batch * p.channels;
    var sum = vec2<f32>();
    for (var c = 0u; c < size; c++) { sum += weight[first + c] * vec2<f32>(sums[at + c], sums[plain + at + c]); }
    sum /= f32(p.positions * size);
    for (var c = 0u; c < size; c++) {
        means[at + c] = sum.x;
        means[plain + at + c] = sum.y;
    }
}
