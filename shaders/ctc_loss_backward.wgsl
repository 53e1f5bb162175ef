// dx[b, t, s] = -dy[b] times the probability that an alignment of path b is at place s at step t (Graves et al., 2006, equations
// 9 to 14, in logarithms)
//   seen, path, steps, labels, reached: as ctc_loss.wgsl has them; dy: [batch]; dx: [batch, steps, places]
//   later: [batch, 2, places], scratch: of all ways on from a place, of a step and the one after it
// Where dy is 0, dx is: so nothing comes of paths that cannot be.
// A workgroup takes a path. A pass takes the steps from p.start to p.end, counted from the last one.

@group(0) @binding(0) var<storage, read> seen: array<f32>;
@group(0) @binding(1) var<storage, read> path: array<i32>;
@group(0) @binding(2) var<storage, read> steps: array<i32>;
@group(0) @binding(3) var<storage, read> labels: array<i32>;
@group(0) @binding(4) var<storage, read> reached: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
@group(0) @binding(7) var<storage, read_write> later: array<f32>;
@group(0) @binding(8) var<uniform> p: Ctc;

// Set by the lowering: THREADS.

@compute @workgroup_size(THREADS)
fn ctc_loss_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let b = group_of(grid);
    // A group past the last works on the last again and writes nothing, so that every barrier is met by all.
    let own = min(b, p.batch - 1u);
    let first = own * p.steps * p.places;
    let count = steps_of(steps[own], p);
    let given = ends(labels[own], p);
    let end = min(given, p.places - 1u);
    let last = first + (count - 1u) * p.places;
    var whole = vec3<f32>(infinity(true));
    whole.x = reached[last + end];
    if end > 0u { whole.y = reached[last + end - 1u]; }
    let loss = select(-joined(whole), not_a_number(), given >= p.places);
    for (var i = p.start; i < p.end; i++) {
        let t = p.steps - 1u - i;
        // The places of the step after must all be there.
        storageBarrier();
        for (var s = thread; s < p.places; s += THREADS) {
            let here = first + t * p.places + s;
            var ways = vec3<f32>(infinity(true));
            if t + 1u == count {
                if s == end || s + 1u == end { ways.x = 0.0; }
            } else if t < count && s <= end {
                let after = here + p.places;
                let on = (own * 2u + (t + 1u) % 2u) * p.places + s;
                ways.x = later[on] + seen[after];
                if s + 1u <= end { ways.y = later[on + 1u] + seen[after + 1u]; }
                if s + 2u <= end {
                    let class_here = path[own * p.places + s];
                    if leaps(path[own * p.places + s + 2u], class_here, p) { ways.z = later[on + 2u] + seen[after + 2u]; }
                }
            }
            let way = joined(ways);
            let share = exp4(vec4<f32>((reached[here] + loss) + way)).x;
            if b < p.batch {
                later[(own * 2u + t % 2u) * p.places + s] = way;
                dx[here] = select(-dy[own] * share, 0.0, t >= count || s > end || dy[own] == 0.0);
            }
        }
    }
}
