// The gradient of one step of a recurrent cell: see recurrent.wgsl for CELL and the shapes. Of the state after the step,
//   dh = dstates + dsums of the step after it times W + what that step carries, dc likewise without W
// and from it dsums [steps, batch, kept, hidden], the gradients of what each gate adds up; of a GRU's third gate first that
// of x's part, then that of h's. carried: [parts, batch, hidden], what goes to the state before without W, and after the
// start pass the gradient of the first state.
// One invocation takes four units of one sequence. step and start: gates x hidden / 4 iterations, gates x hidden up to
// 200,000. cell and begin, after a pass that has made the products: no loops.

@group(0) @binding(0) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> states: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keeps: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dstates: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> lengths: array<i32>;
@group(0) @binding(5) var<storage, read_write> dsums: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> carried: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> p: Params;

struct Params {
    batch: u32,
    hidden: u32,
    steps: u32,
    cell: u32,
    reverse: u32,
    biased: u32,
    now: u32,
    // 0xffffffff where no step comes after
    next: u32,
    before: u32,
    after: u32,
}

const LSTM = CELL == 2u;
const GRU = CELL == 3u;

struct Place {
    b: u32,
    j: u32,
    units: u32,
    // Elements of the output's part of all states, and of one state.
    part: u32,
    one: u32,
    is_there: bool,
}

fn place_of(at: u32) -> Place {
    let units = p.hidden / 4u;
    let b = divide(at, units);
    let one = p.batch * units;
    return Place(b, at - b * units, units, (p.steps + 1u) * one, one, b < p.batch);
}

// The gradient that arrives at the output after the step, but for what comes through W.
fn arriving(at: u32, q: Place) -> vec4<f32> {
    let d = dstates[p.after * q.one + at];
    if p.next == 0xffffffffu { return d; }
    return d + carried[at];
}

// Whether nothing comes through W, be W infinite: no step comes after, or one that does not count.
fn is_last(q: Place) -> bool { return p.next == 0xffffffffu || i32(p.next) >= lengths[q.b]; }

// What comes through W.
fn through(q: Place) -> vec4<f32> {
    var d = vec4<f32>();
    if is_last(q) { return d; }
    let row = (p.next * p.batch + q.b) * select(1u, 4u, LSTM || GRU) * q.units;
    let count = select(select(1u, 3u, GRU), 4u, LSTM) * q.units;
    for (var k = 0u; k < count; k++) {
        let sum = dsums[row + k + select(0u, q.units, GRU && k >= 2u * q.units)];
        let source = k * 4u * q.units + q.j;
        d += sum.x * w[source] + sum.y * w[source + q.units] + sum.z * w[source + 2u * q.units]
            + sum.w * w[source + 3u * q.units];
    }
    return d;
}

// The same after a pass that has made the products, which are bound in place of W: [batch, hidden], of a GRU two.
fn made(at: u32, q: Place) -> vec4<f32> {
    if is_last(q) { return vec4<f32>(); }
    if GRU { return w[at] + w[q.one + at]; }
    return w[at];
}

fn arriving_at_memory(at: u32, q: Place) -> vec4<f32> {
    let d = dstates[q.part + p.after * q.one + at];
    if p.next == 0xffffffffu { return d; }
    return d + carried[q.one + at];
}

fn cell_backward(at: u32, q: Place, dh: vec4<f32>) {
    var dc = vec4<f32>();
    if LSTM { dc = arriving_at_memory(at, q); }
    let units = q.units;
    let keep = (p.now * p.batch + q.b) * select(1u, 4u, LSTM || GRU) * units + q.j;
    let zero = vec4<f32>();
    if i32(p.now) >= lengths[q.b] {
        carried[at] = dh;
        dsums[keep] = zero;
        if LSTM { carried[q.one + at] = dc; }
        if LSTM || GRU {
            dsums[keep + units] = zero;
            dsums[keep + 2u * units] = zero;
            dsums[keep + 3u * units] = zero;
        }
        return;
    }
    let k0 = keeps[keep];
    if !LSTM && !GRU {
        dsums[keep] = select(dh * (1.0 - k0 * k0), past_relu4(dh, k0), CELL == 1u);
        carried[at] = zero;
        return;
    }
    let k1 = keeps[keep + units];
    let k2 = keeps[keep + 2u * units];
    let k3 = keeps[keep + 3u * units];
    let before = p.before * q.one + at;
    if LSTM {
        let seen = tanh4(states[q.part + p.after * q.one + at]);
        dc += dh * k3 * (1.0 - seen * seen);
        dsums[keep] = dc * k2 * k0 * (1.0 - k0);
        dsums[keep + units] = dc * states[q.part + before] * k1 * (1.0 - k1);
        dsums[keep + 2u * units] = dc * k0 * (1.0 - k2 * k2);
        dsums[keep + 3u * units] = dh * seen * k3 * (1.0 - k3);
        carried[at] = zero;
        carried[q.one + at] = dc * k1;
    } else {
        let dn = dh * (1.0 - k1) * (1.0 - k2 * k2);
        dsums[keep] = dn * k3 * k0 * (1.0 - k0);
        dsums[keep + units] = dh * (states[before] - k2) * k1 * (1.0 - k1);
        dsums[keep + 2u * units] = dn;
        dsums[keep + 3u * units] = dn * k0;
        carried[at] = dh * k1;
    }
}

fn start(at: u32, q: Place, dh: vec4<f32>) {
    carried[at] = dh;
    if LSTM { carried[q.one + at] = arriving_at_memory(at, q); }
}

@compute @workgroup_size(64)
fn recurrent_step_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    let q = place_of(at);
    if q.is_there { cell_backward(at, q, arriving(at, q) + through(q)); }
}

@compute @workgroup_size(64)
fn recurrent_start_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    let q = place_of(at);
    if q.is_there { start(at, q, arriving(at, q) + through(q)); }
}

@compute @workgroup_size(64)
fn recurrent_cell_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    let q = place_of(at);
    if q.is_there { cell_backward(at, q, arriving(at, q) + made(at, q)); }
}

@compute @workgroup_size(64)
fn recurrent_begin_backward(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    let q = place_of(at);
    if q.is_there { start(at, q, arriving(at, q) + made(at, q)); }
}
