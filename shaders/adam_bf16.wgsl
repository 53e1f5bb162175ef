// As adam.wgsl, with moments that are kept in bf16 and rounded up or down by chance, so that they are right on average:
// up with the probability of the part that is cut off.
//   g, x, m, v: slabs, x of type X, m and v of bf16; numbers: the factor that clips g, .., and from `at`, or from the slot of each
//   64 elements, on
//   lr, step_size = lr / (1 - b1^t), root = sqrt(1 - b2^t), b1, 1 - b1, t
//   weight decay w: coupled, g = g + w x; decoupled (AdamW), x = x - lr w x first
// One invocation takes four neighbours, which are one block of the generator: counter (i / 4, t, salt, stream). 10 iterations.

@group(0) @binding(0) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<X>;
@group(0) @binding(2) var<storage, read_write> m: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> v: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> numbers: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

struct Params {
    first: u32,
    n: u32,
    at: u32,
    beta2: f32,
    // 1 - beta2 to the last bit: f32 would lose it in the difference.
    rest2: f32,
    eps: f32,
    // One of the two is the weight decay, the other 0.
    coupled: f32,
    decoupled: f32,
    // Another for each slab.
    salt: u32,
}

const STREAM = 4u;

// By 16 random bits, which carry over from what is cut off; what is no finite number stays what it is.
fn rounded4(value: vec4<f32>, draws: vec4<u32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(value);
    let size = bits & vec4<u32>(0x7fffffffu);
    let lost = select(bits, bits | vec4<u32>(0x400000u), size > vec4<u32>(0x7f800000u));
    let halves = select(lost, bits + draws, size < vec4<u32>(0x7f800000u)) >> vec4<u32>(16u);
    return vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
}

@compute @workgroup_size(256)
fn adam_bf16(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    if at * 4u >= p.n || numbers[0].w == 1.0 { return; }
    let i = p.first / 4u + at;
    // Parameters that have seen different numbers of gradients have numbers of their own.
    var place = p.at / 4u;
    if numbers[0].z == 1.0 { place = slots[i / 16u]; }
    // lr, step_size, root, b1; 1 - b1, t
    let now = numbers[place];
    let more = numbers[place + 1u];
    var value = wide_X(x[i]);
    let slope = decayed4(numbers[0].x * g[i], p.coupled, value);
    value = decayed4(value, -now.x * p.decoupled, value);
    let mean = now.w * bf16_wide4(m[i]) + more.x * slope;
    let square = p.beta2 * bf16_wide4(v[i]) + p.rest2 * slope * slope;
    let words = philox(vec4<u32>(i, u32(more.y), p.salt, STREAM), vec2<u32>());
    m[i] = rounded4(mean, words & vec4<u32>(0xffffu));
    v[i] = rounded4(square, words >> vec4<u32>(16u));
    x[i] = narrow_X(value - now.y * mean / (sqrt(square) / now.z + p.eps));
}
