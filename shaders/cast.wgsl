// y[i] = x[i] as the other type; to integers, towards zero, the nearest there is, and 0 of NaN
//   x, y of n elements. One invocation takes four neighbours. No loops.
// Set by the variant are From and To, and HELD, of floats that become integers: WGSL leaves open what its own conversion makes of
// those that do not fit.

@group(0) @binding(0) var<storage, read> x: array<vec4<From>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<To>>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    n: u32,
}

@compute @workgroup_size(256)
fn cast_each(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i * 4u >= p.n { return; }
    let v = x[i];
    if !HELD {
        y[i] = vec4<To>(v);
        return;
    }
    let bits = bitcast<vec4<u32>>(v);
    let size = bits & vec4<u32>(0x7fffffffu);
    // From 2^31 on, and infinity, and behind that NaN.
    let is_far = size >= vec4<u32>(0x4f000000u);
    let near = bitcast<vec4<u32>>(vec4<To>(select(v, vec4<From>(), is_far)));
    let end = vec4<u32>(0x7fffffffu) + (bits >> vec4<u32>(31u));
    y[i] = bitcast<vec4<To>>(select(select(near, end, is_far), vec4<u32>(), size > vec4<u32>(0x7f800000u)));
}
