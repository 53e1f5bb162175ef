// s = g + w x, sum = sum + s^2, x = x - lr s / (sqrt(sum) + eps), over a stretch of slabs
//   g, x, sum: slabs; numbers: the factor that clips g, .., and from `at`, or from the slot of each 64
//   elements, on lr after its decay; w the weight decay
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> sum: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> numbers: array<f32>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    eps: f32,
    decay: f32,
}

@compute @workgroup_size(256)
fn adagrad(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[3] == 1.0 { return; }
    let i = p.first / 4u + at;
    // Parameters that have seen different numbers of gradients have numbers of their own.
    var place = p.at;
    if numbers[2] == 1.0 { place = 4u * slots[i / 16u]; }
    let slope = decayed4(numbers[0] * g[i], p.decay, x[i]);
    let total = sum[i] + slope * slope;
    sum[i] = total;
    x[i] -= numbers[place] * slope / (sqrt(total) + p.eps);
}
