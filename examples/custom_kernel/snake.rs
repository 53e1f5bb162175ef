//! An operation of one's own, by the crate's public interface alone: `snake.wgsl`, `snake_backward.wgsl`.
//!
//! Snake is an activation for what repeats itself (Ziyin, Hartwig and Ueda, 2020): y = x + sin(a x)^2 / a, with an a for
//! each feature that is learned like a weight.

use bytemuck::{Pod, Zeroable};
use wgrad::kernel::{Access, Call, Kernel, Pass, Shader, Tolerance, Uniform, Variant, groups};
use wgrad::ops::reduce::KeepDims;
use wgrad::{DType, Tensor};

/// What travels with each dispatch: the layout of the uniform at the end of both WGSL files.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct Params {
    n: u32,
    columns: u32,
}

/// WGSL promises a sine to 2^-11 between -pi and pi, and no more.
const TOLERANCE: Tolerance = Tolerance { relative: 1e-3, absolute: 1e-3 };

/// A WGSL file, and how it declares its bindings. Of two files with one name only the first would be built.
static SHADER: Shader = Shader {
    name: "example_snake",
    source: include_str!("snake.wgsl"),
    access: &[Access::Read, Access::Read, Access::Write],
};

/// What the operation means, and the ways to run it: here one, which every adapter can take.
static SNAKE: Kernel = Kernel::new("snake", SHADER.access, snake_definition, |d| d.cost(5 * d.len(0) as u64))
    .tolerance(TOLERANCE)
    .variants(&[Variant::new("flat", |_, d| {
        Pass::new(&SHADER, "snake", groups(d.params::<Params>().n as usize, 256)).alone()
    })]);

/// The definition: the CPU backend runs it, and the shader is held against it.
fn snake_definition(call: &mut Call) {
    let (p, x, a) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(1));
    for (i, y) in call.write::<f32>(2)[..p.n as usize].iter_mut().enumerate() {
        let a = a[i % p.columns as usize];
        *y = x[i] + (a * x[i]).sin().powi(2) / a;
    }
}

static BACKWARD_SHADER: Shader = Shader {
    name: "example_snake_backward",
    source: include_str!("snake_backward.wgsl"),
    access: &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write],
};

static SNAKE_BACKWARD: Kernel =
    Kernel::new("snake_backward", BACKWARD_SHADER.access, snake_backward_definition, |d| d.cost(11 * d.len(0) as u64))
        .tolerance(TOLERANCE)
        .variants(&[Variant::new("flat", |_, d| {
            Pass::new(&BACKWARD_SHADER, "snake_backward", groups(d.params::<Params>().n as usize, 256)).alone()
        })]);

fn snake_backward_definition(call: &mut Call) {
    let (p, dy, x, a) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let (dx, da) = (call.write::<f32>(3), call.write::<f32>(4));
    for i in 0..p.n as usize {
        let a = a[i % p.columns as usize];
        // The derivative of sin(a x)^2 / a, by x and by a.
        let slope = 2.0 * (a * x[i]).sin() * (a * x[i]).cos();
        dx[i] = dy[i] * (1.0 + slope);
        da[i] = dy[i] * (x[i] * slope / a - ((a * x[i]).sin() / a).powi(2));
    }
}

/// The operation: checks, a result, the kernel, and how its gradient goes on.
///
/// # Panics
/// If `x` is not `[rows, columns]`, or `a` not `[columns]`.
#[track_caller]
pub fn snake(x: &Tensor, a: &Tensor) -> Tensor {
    let fits = x.rank() == 2 && a.rank() == 1 && x.size(1) == a.size(0);
    assert!(fits, "snake: {} x {}: expected [rows, columns] and [columns]", x.shape(), a.shape());
    // A kernel that knows no strides gets packed copies; where a tensor is packed already this costs nothing.
    let (x, a) = (x.contiguous(), a.contiguous());
    let params = Params { n: x.numel() as u32, columns: a.numel() as u32 };
    let y = Tensor::empty(x.shape(), DType::F32, x.device());
    Tensor::run(&SNAKE, &[&x, &a, &y], &params);

    // What the gradient needs is saved; if an optimizer changed it before the gradient reads it, that would be told.
    let (saved_x, saved_a) = (x.saved(), a.saved());
    y.tracked("snake", &[&x, &a], move |dy, _| {
        let dx = Tensor::empty(dy.shape(), DType::F32, dy.device());
        let da = Tensor::empty(dy.shape(), DType::F32, dy.device());
        Tensor::run(&SNAKE_BACKWARD, &[&dy.contiguous(), &saved_x, &saved_a, &dx, &da], &params);
        vec![Some(dx), Some(da.sum_dims(&[0], KeepDims::No))]
    })
}
