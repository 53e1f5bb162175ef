// One step of a recurrent cell. With s[g] = x[b, t, g] + W[g] h + bias[g], and CELL
//   0: h' = tanh(s)   1: h' = relu(s)
//   2 (LSTM): c' = sigmoid(s1) c + sigmoid(s0) tanh(s2), h' = sigmoid(s3) tanh(c')
//   3 (GRU): q = W[2] h + bias[2], n = tanh(x[b, t, 2] + sigmoid(s0) q), h' = (1 - sigmoid(s1)) n + sigmoid(s1) h
//   x: [batch, steps, gates, hidden]; W: [gates, hidden, hidden]; bias: [gates, hidden], read where BIASED
//   lengths: [batch], past which the state stays; states: [parts, steps + 1, batch, hidden]
//   keeps: [steps, batch, kept, hidden], what the gradient needs: h', or the four gates, or the three and q
// One invocation takes four units of one sequence. step: hidden / 4 iterations, hidden up to 65,536. cell: no loops.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lengths: array<i32>;
@group(0) @binding(4) var<storage, read_write> states: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> keeps: array<vec4<f32>>;
@group(0) @binding(6) var<uniform> p: Params;

struct Params {
    batch: u32,
    hidden: u32,
    steps: u32,
    cell: u32,
    reverse: u32,
    biased: u32,
    now: u32,
    next: u32,
    before: u32,
    after: u32,
}

const LSTM = CELL == 2u;
const GRU = CELL == 3u;

// Four rows of W from `row` on, times four elements of h.
fn rows(row: u32, k: u32, units: u32, h: vec4<f32>) -> vec4<f32> {
    let at = row * units + k;
    return vec4<f32>(dot(w[at], h), dot(w[at + units], h), dot(w[at + 2u * units], h), dot(w[at + 3u * units], h));
}

fn bias_of(at: u32) -> vec4<f32> {
    if BIASED { return bias[at]; }
    return vec4<f32>();
}

struct Place {
    b: u32,
    j: u32,
    units: u32,
    // Where the states before and after the step lie, that of this invocation's units.
    before: u32,
    after: u32,
    is_there: bool,
}

fn place_of(at: u32) -> Place {
    let units = p.hidden / 4u;
    let b = divide(at, units);
    let j = at - b * units;
    return Place(b, j, units, (p.before * p.batch + b) * units + j, (p.after * p.batch + b) * units + j, b < p.batch);
}

// The step of four units, from what the state gives to each gate.
fn cell(q: Place, own0: vec4<f32>, own1: vec4<f32>, own2: vec4<f32>, own3: vec4<f32>) {
    let units = q.units;
    let part = (p.steps + 1u) * p.batch * units;
    let keep = (p.now * p.batch + q.b) * select(1u, 4u, LSTM || GRU) * units + q.j;
    if i32(p.now) >= lengths[q.b] {
        states[q.after] = states[q.before];
        if LSTM { states[part + q.after] = states[part + q.before]; }
        keeps[keep] = vec4<f32>();
        if LSTM || GRU {
            keeps[keep + units] = vec4<f32>();
            keeps[keep + 2u * units] = vec4<f32>();
            keeps[keep + 3u * units] = vec4<f32>();
        }
        return;
    }
    let gates = select(select(1u, 3u, GRU), 4u, LSTM);
    let input = (q.b * p.steps + p.now) * gates * units + q.j;
    let s0 = own0 + bias_of(q.j) + x[input];
    if !LSTM && !GRU {
        let h = select(tanh4(s0), relu4(s0), CELL == 1u);
        keeps[keep] = h;
        states[q.after] = h;
        return;
    }
    let k0 = sigmoid4(s0);
    let k1 = sigmoid4(own1 + bias_of(units + q.j) + x[input + units]);
    let s2 = own2 + bias_of(2u * units + q.j);
    keeps[keep] = k0;
    keeps[keep + units] = k1;
    if LSTM {
        let k2 = tanh4(s2 + x[input + 2u * units]);
        let k3 = sigmoid4(own3 + bias_of(3u * units + q.j) + x[input + 3u * units]);
        keeps[keep + 2u * units] = k2;
        keeps[keep + 3u * units] = k3;
        let c = k1 * states[part + q.before] + k0 * k2;
        states[part + q.after] = c;
        states[q.after] = k3 * tanh4(c);
    } else {
        let n = tanh4(x[input + 2u * units] + k0 * s2);
        keeps[keep + 2u * units] = n;
        keeps[keep + 3u * units] = s2;
        states[q.after] = (1.0 - k1) * n + k1 * states[q.before];
    }
}

@compute @workgroup_size(64)
fn recurrent_step(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let q = place_of(group_of(grid) * 64u + thread);
    if !q.is_there { return; }
    let source = q.before - q.j;
    var own0 = vec4<f32>();
    var own1 = vec4<f32>();
    var own2 = vec4<f32>();
    var own3 = vec4<f32>();
    for (var k = 0u; k < q.units; k++) {
        let h = states[source + k];
        own0 += rows(q.j * 4u, k, q.units, h);
        if LSTM || GRU {
            own1 += rows(p.hidden + q.j * 4u, k, q.units, h);
            own2 += rows(2u * p.hidden + q.j * 4u, k, q.units, h);
        }
        if LSTM { own3 += rows(3u * p.hidden + q.j * 4u, k, q.units, h); }
    }
    cell(q, own0, own1, own2, own3);
}

// After a pass that has made the products of all states and W, [batch, gates, hidden], which are bound in place of W.
@compute @workgroup_size(64)
fn recurrent_cell(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let q = place_of(group_of(grid) * 64u + thread);
    if !q.is_there { return; }
    let own = q.b * select(select(1u, 3u, GRU), 4u, LSTM) * q.units + q.j;
    var own1 = vec4<f32>();
    var own2 = vec4<f32>();
    var own3 = vec4<f32>();
    if LSTM || GRU {
        own1 = w[own + q.units];
        own2 = w[own + 2u * q.units];
    }
    if LSTM { own3 = w[own + 3u * q.units]; }
    cell(q, w[own], own1, own2, own3);
}
