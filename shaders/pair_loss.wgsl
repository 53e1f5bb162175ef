// y[i] = loss(x[i], t[i])
//   x (what a model says), t (what is wanted), y of n elements, in one dense order
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> t: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
    // The loss's own argument: beta, delta, margin.
    a: f32,
    scale: f32,
    each: u32,
}

fn inside(i: u32) -> bool { return i * 4u < p.n; }

// Half of a square near 0, of slope a from a on.
fn smooth4(d: vec4<f32>) -> vec4<f32> {
    return select(abs(d) - 0.5 * p.a, 0.5 * d * d / p.a, abs(d) < vec4<f32>(p.a));
}

fn huber4(d: vec4<f32>) -> vec4<f32> {
    return select(p.a * (abs(d) - 0.5 * p.a), 0.5 * d * d, abs(d) < vec4<f32>(p.a));
}

// log(1 - x): a series where the difference would lose digits.
fn log1m4(x: vec4<f32>) -> vec4<f32> {
    let near = -x * (1.0 + x * (0.5 + x * (0.33333333 + x * (0.25 + x * 0.2))));
    return select(log(1.0 - x), near, x < vec4<f32>(0.03));
}

// Logarithms are held above -100, as PyTorch holds them; what is no probability gives NaN.
fn binary4(x: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    let least = vec4<f32>(-100.0);
    let yes = select(least, larger4(log4(x), least), x > vec4<f32>());
    let no = select(least, larger4(log1m4(x), least), x < vec4<f32>(1.0));
    let fits = (x >= vec4<f32>()) & (x <= vec4<f32>(1.0)) & !is_nan4(x);
    return select(from_bits4(0x7fc00000u), -(t * yes + (1.0 - t) * no), fits);
}

// (1 - t) x - log(sigmoid(x)): what is left near the target is not the difference of large terms.
fn logits4(x: vec4<f32>, t: vec4<f32>) -> vec4<f32> { return (1.0 - t) * x + (relu4(-x) + log1p4(exp(-abs(x)))); }

// t log t - t x, where 0 log 0 is 0.
fn divergence4(x: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    let known = select(from_bits4(0x7fc00000u), t * (log(t) - x), t > vec4<f32>());
    return select(known, t * -x, t == vec4<f32>());
}

fn hinge4(x: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    let none = vec4<f32>();
    return select(relu4(p.a - x), none, t == vec4<f32>(1.0)) + select(x, none, t == vec4<f32>(-1.0));
}

@compute @workgroup_size(256) fn mse_loss_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { let d = x[i] - t[i]; y[i] = d * d; } }
@compute @workgroup_size(256) fn l1_loss_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = abs(x[i] - t[i]); } }
@compute @workgroup_size(256) fn smooth_l1_loss_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = smooth4(x[i] - t[i]); } }
@compute @workgroup_size(256) fn huber_loss_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = huber4(x[i] - t[i]); } }
@compute @workgroup_size(256) fn binary_cross_entropy_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = binary4(x[i], t[i]); } }
@compute @workgroup_size(256) fn binary_cross_entropy_with_logits_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = logits4(x[i], t[i]); } }
@compute @workgroup_size(256) fn kl_div_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = divergence4(x[i], t[i]); } }
@compute @workgroup_size(256) fn kl_div_log_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = exp4(t[i]) * (t[i] - x[i]); } }
@compute @workgroup_size(256) fn soft_margin_loss_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = softplus4(-t[i] * x[i]); } }
@compute @workgroup_size(256) fn hinge_embedding_loss_value(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { y[i] = hinge4(x[i], t[i]); } }
