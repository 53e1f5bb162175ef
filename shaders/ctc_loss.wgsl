// losses[b] = -log of the probability of a path's labels in all alignments (Graves et al., 2006, equations 6 to 8, in logarithms)
//   seen: [batch, steps, places], log-probabilities of the path's classes; path: [batch, places], a blank before and behind each
//   label; steps, labels: [batch], how many count; reached: [batch, steps, places], of all ways to a place at a step, with it, where both
//   count, else -infinity
// A workgroup takes a path. A pass takes the steps from p.start to p.end, so that an invocation walks at most 60,000 places.

@group(0) @binding(0) var<storage, read> seen: array<f32>;
@group(0) @binding(1) var<storage, read> path: array<i32>;
@group(0) @binding(2) var<storage, read> steps: array<i32>;
@group(0) @binding(3) var<storage, read> labels: array<i32>;
@group(0) @binding(4) var<storage, read_write> reached: array<f32>;
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
@group(0) @binding(6) var<uniform> p: Ctc;

// Set by the lowering: THREADS.

@compute @workgroup_size(THREADS)
fn ctc_loss(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let b = group_of(grid);
    // A group past the last works on the last again and writes nothing, so that every barrier is met by all.
    let own = min(b, p.batch - 1u);
    let first = own * p.steps * p.places;
    let count = steps_of(steps[own], p);
    let end = ends(labels[own], p);
    for (var t = p.start; t < p.end; t++) {
        // The places of the step before must all be there.
        storageBarrier();
        for (var s = thread; s < p.places; s += THREADS) {
            let here = first + t * p.places + s;
            var ways = vec3<f32>(infinity(true));
            if t == 0u {
                if s < 2u { ways.x = 0.0; }
            } else {
                let before = here - p.places;
                ways.x = reached[before];
                if s > 0u { ways.y = reached[before - 1u]; }
                if s > 1u {
                    let class_here = path[own * p.places + s];
                    if leaps(class_here, path[own * p.places + s - 2u], p) { ways.z = reached[before - 2u]; }
                }
            }
            if b < p.batch { reached[here] = select(infinity(true), joined(ways) + seen[here], t < count && s <= end); }
        }
    }
    storageBarrier();
    if b >= p.batch || thread > 0u || p.end < p.steps { return; }
    let last = first + (count - 1u) * p.places;
    var ways = vec3<f32>(infinity(true));
    if end < p.places { ways.x = reached[last + end]; }
    if end > 0u && end < p.places { ways.y = reached[last + end - 1u]; }
    losses[own] = select(-joined(ways), not_a_number(), end >= p.places);
}
