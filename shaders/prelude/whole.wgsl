// Stands before files whose workgroups of THREADS invocations add up by a tree in shared memory.

// One float for each invocation.
var<workgroup> part: array<f32, THREADS>;

// The sum over all invocations, for each of them.
fn whole(value: f32, t: u32) -> f32 {
    part[t] = value;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        // Every partial sum must be there before another invocation takes it.
        workgroupBarrier();
        if t < half { part[t] += part[t + half]; }
    }
    workgroupBarrier();
    let sum = part[0];
    // The next sum may not overwrite this one before all have read it.
    workgroupBarrier();
    return sum;
}
