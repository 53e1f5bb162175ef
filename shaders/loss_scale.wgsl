// After an overflow scale = backoff scale, else after `interval` good steps in a row scale = growth scale, where that is finite
//   found: [1], whether there was one, 0 from now on; state: [4], the scale, good steps, steps that were given up
// One invocation does it all. No loops.

@group(0) @binding(0) var<storage, read_write> found: array<f32>;
@group(0) @binding(1) var<storage, read_write> state: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

struct Params {
    growth: f32,
    backoff: f32,
    interval: f32,
}

@compute @workgroup_size(1)
fn loss_scale() {
    if found[0] > 0.0 {
        state[0] *= p.backoff;
        state[1] = 0.0;
        state[2] += 1.0;
    } else {
        state[1] += 1.0;
        if state[1] >= p.interval {
            let grown = state[0] * p.growth;
            if (bitcast<u32>(grown) & 0x7f800000u) != 0x7f800000u { state[0] = grown; }
            state[1] = 0.0;
        }
    }
    found[0] = 0.0;
}
