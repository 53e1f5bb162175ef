// dx[i] = u * d loss(x[i], t[i]) / d x[i], with u = dy[i] where each pair has a loss of its own, else scale * dy[0]
//   x, t, dx of n elements, in one dense order; dy: [n] or [1]
// One invocation takes four neighbours. No loops.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> t: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> p: Params;

struct Params {
    n: u32,
    // The loss's own argument: beta, delta, margin.
    a: f32,
    scale: f32,
    // 1: a loss for each pair
    each: u32,
}

fn inside(i: u32) -> bool { return i * 4u < p.n; }

fn upstream(i: u32) -> vec4<f32> {
    if p.each == 1u { return dy[i]; }
    return vec4<f32>(p.scale * dy[0].x);
}

fn smooth_slope4(d: vec4<f32>) -> vec4<f32> { return select(sign4(d), d / p.a, abs(d) < vec4<f32>(p.a)); }

fn huber_slope4(d: vec4<f32>) -> vec4<f32> { return select(p.a * sign4(d), d, abs(d) < vec4<f32>(p.a)); }

// PyTorch holds the divisor above 1e-12.
fn binary_slope4(x: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    let fits = (x >= vec4<f32>()) & (x <= vec4<f32>(1.0)) & !is_nan4(x);
    return select(from_bits4(0x7fc00000u), (x - t) / larger4((1.0 - x) * x, vec4<f32>(1e-12)), fits);
}

fn hinge_slope4(x: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    let none = vec4<f32>();
    let apart = select(none, vec4<f32>(-1.0), x < vec4<f32>(p.a));
    return select(apart, none, t == vec4<f32>(1.0)) + select(vec4<f32>(1.0), none, t == vec4<f32>(-1.0));
}

@compute @workgroup_size(256) fn mse_loss_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * 2.0 * (x[i] - t[i]); } }
@compute @workgroup_size(256) fn l1_loss_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * slope_of_abs4(x[i] - t[i]); } }
@compute @workgroup_size(256) fn smooth_l1_loss_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * smooth_slope4(x[i] - t[i]); } }
@compute @workgroup_size(256) fn huber_loss_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * huber_slope4(x[i] - t[i]); } }
@compute @workgroup_size(256) fn binary_cross_entropy_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * binary_slope4(x[i], t[i]); } }
@compute @workgroup_size(256) fn binary_cross_entropy_with_logits_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * (sigmoid4(x[i]) - t[i]); } }
@compute @workgroup_size(256) fn kl_div_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * -t[i]; } }
@compute @workgroup_size(256) fn kl_div_log_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * -exp4(t[i]); } }
@compute @workgroup_size(256) fn soft_margin_loss_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * -t[i] * sigmoid4(-t[i] * x[i]); } }
@compute @workgroup_size(256) fn hinge_embedding_loss_slope(g: Grid, @builtin(local_invocation_index) thread: u32) { let i = index_of(g, thread); if inside(i) { dx[i] = upstream(i) * hinge_slope4(x[i], t[i]); } }
