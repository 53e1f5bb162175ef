// norm = sqrt(sum of sums), numbers[0] = min(1, max_norm / (norm + 1e-6)), numbers[1] = norm
//   sums: [n], of the squares of each parameter's gradient; numbers: what the optimizer's kernels read
// One workgroup: n / 256 iterations (n up to 15.7 million) and a tree of 8 steps.

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> numbers: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    n: u32,
    max_norm: f32,
}

var<workgroup> part: array<f32, 256>;

@compute @workgroup_size(256)
fn clip_factor(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    var sum = 0.0;
    for (var i = thread; i < p.n; i += 256u) { sum += sums[i]; }
    part[thread] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        // Every partial sum must be there before another invocation adds it.
        workgroupBarrier();
        if thread < half { part[thread] += part[thread + half]; }
    }
    if thread == 0u {
        let norm = sqrt(part[0]);
        numbers[0] = smaller4(vec4<f32>(1.0), vec4<f32>(p.max_norm / (norm + 1e-6))).x;
        numbers[1] = norm;
    }
}
