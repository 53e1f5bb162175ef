// One step of a recurrent cell. With s[g] = x[b, t, g] + W[g] h + bias[g], and CELL
//   0: h' = tanh(s)   1: h' = relu(s)
//   2 (LSTM): c' = sigmoid(s1) c + sigmoid(s0) tanh(s2), h' = sigmoid(s3) tanh(c')
//   3 (GRU): q = W[2] h + bias[2], n = tanh(x[b, t, 2] + sigmoid(s0) q), h' = (1 - sigmoid(s1)) n + sigmoid(s1) h
//   x: [batch, steps, gates, hidden]; W: [gates, hidden, hidden]; bias: [gates, hidden], read where BIASED
//   lengths: [batch], past which the state stays; states: [parts, steps + 1, batch, hidden]
//   keeps: [steps, batch, kept, hidden], what the gradient needs: h', or the four gates, or the three and q
// One invocation takes four units of one sequence: hidden / 4 iterations, hidden up to 65,536.

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

@compute @workgroup_size(64)
fn recurrent_step(grid: Grid) {
    let units = p.hidden / 4u;
    let at = group_of(grid) * 64u + grid.thread;
    let b = divide(at, units);
    if b >= p.batch { return; }
    let j = at - b * units;
    let part = (p.steps + 1u) * p.batch * units;
    let source = (p.before * p.batch + b) * units;
    let to = (p.after * p.batch + b) * units + j;
    let keep = (p.now * p.batch + b) * select(1u, 4u, LSTM || GRU) * units + j;
    if i32(p.now) >= lengths[b] {
        states[to] = states[source + j];
        if LSTM { states[part + to] = states[part + source + j]; }
        keeps[keep] = vec4<f32>();
        if LSTM || GRU {
            keeps[keep + units] = vec4<f32>();
            keeps[keep + 2u * units] = vec4<f32>();
            keeps[keep + 3u * units] = vec4<f32>();
        }
        return;
    }
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var k = 0u; k < units; k++) {
        let h = states[source + k];
        s0 += rows(j * 4u, k, units, h);
        if LSTM || GRU {
            s1 += rows(p.hidden + j * 4u, k, units, h);
            s2 += rows(2u * p.hidden + j * 4u, k, units, h);
        }
        if LSTM { s3 += rows(3u * p.hidden + j * 4u, k, units, h); }
    }
    let gates = select(select(1u, 3u, GRU), 4u, LSTM);
    let input = (b * p.steps + p.now) * gates * units + j;
    s0 += bias_of(j) + x[input];
    if !LSTM && !GRU {
        let h = select(tanh4(s0), select(s0, vec4<f32>(), s0 < vec4<f32>()), CELL == 1u);
        keeps[keep] = h;
        states[to] = h;
        return;
    }
    s1 = sigmoid4(s1 + bias_of(units + j) + x[input + units]);
    s0 = sigmoid4(s0);
    s2 += bias_of(2u * units + j);
    keeps[keep] = s0;
    keeps[keep + units] = s1;
    if LSTM {
        s2 = tanh4(s2 + x[input + 2u * units]);
        s3 = sigmoid4(s3 + bias_of(3u * units + j) + x[input + 3u * units]);
        keeps[keep + 2u * units] = s2;
        keeps[keep + 3u * units] = s3;
        let c = s1 * states[part + source + j] + s0 * s2;
        states[part + to] = c;
        states[to] = s3 * tanh4(c);
    } else {
        let n = tanh4(x[input + 2u * units] + s0 * s2);
        keeps[keep + 2u * units] = n;
        keeps[keep + 3u * units] = s2;
        states[to] = (1.0 - s1) * n + s1 * states[source + j];
    }
}
