// s = g + w x, first = b1 first + (1 - b1) s, second = b2 second + (1 - b2) s^2,
// x = x - (s n0 + first n1) / (sqrt(second) / n2 + eps), over a stretch of slabs
//   g, x, first, second: slabs; numbers: the factor that clips g, .., and from `at`, or from the slot of each 64
//   elements, on n0, n1, n2, and the part of x that its decay leaves; w the weight decay
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> first: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> second: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> numbers: array<f32>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    beta1: f32,
    // 1 - beta to the last bit
    rest1: f32,
    beta2: f32,
    rest2: f32,
    eps: f32,
    decay: f32,
    // 1: weights lose a part of themselves
    shrinks: u32,
}

@compute @workgroup_size(256)
fn nadam(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[3] == 1.0 { return; }
    let i = p.first / 4u + at;
    // Parameters that have seen different numbers of gradients have numbers of their own.
    var place = p.at;
    if numbers[2] == 1.0 { place = 4u * slots[i / 16u]; }
    let slope = decayed4(numbers[0] * g[i], p.decay, x[i]);
    let moved = p.beta1 * first[i] + p.rest1 * slope;
    first[i] = moved;
    let square = p.beta2 * second[i] + p.rest2 * slope * slope;
    second[i] = square;
    let step = (slope * numbers[place] + moved * numbers[place + 1u]) / (sqrt(square) / numbers[place + 2u] + p.eps);
    var kept = x[i];
    if p.shrinks == 1u { kept *= numbers[place + 3u]; }
    x[i] = kept - step;
}
