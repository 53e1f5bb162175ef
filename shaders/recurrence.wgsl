// y[o, i, k] = a[o, i, k] + b[o, i + 1, k] * y[o, i + 1, k], from the end on, where the last is a alone
//   a, b, y: [outer, n, inner]
// One invocation takes a part of a line, of at most 4,096 iterations; the passes after the first go on from what is there.

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    outer: u32,
    n: u32,
    inner: u32,
    // How many elements, counted from the end, are done, and how many will be.
    first: u32,
    end: u32,
}

@compute @workgroup_size(64)
fn recurrence(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let line = group_of(grid) * 64u + thread;
    if line >= p.outer * p.inner { return; }
    let o = divide(line, p.inner);
    let start = o * p.n * p.inner + line - o * p.inner;
    for (var done = p.first; done < p.end; done++) {
        let at = start + (p.n - 1u - done) * p.inner;
        if done == 0u {
            y[at] = a[at];
        } else {
            y[at] = a[at] + b[at + p.inner] * y[at + p.inner];
        }
    }
}
