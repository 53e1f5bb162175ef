//! Whole numbers near the elements, and their signs: `shaders/rounding.wgsl`. Their gradients are 0, as in PyTorch.

use crate::kernel::{Access, Dispatch, Kernel, Pass, Shader, Tolerance, Uniform, Variant, groups, parallel, shader};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("rounding", &[Access::Read, Access::Write]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct RoundingParams {
    n: u32,
}

fn n(d: &Dispatch) -> usize {
    d.params::<RoundingParams>().n as usize
}

macro_rules! functions {
    ($($constant:ident: $name:literal, $entry:literal, $value:expr;)*) => {
        $(static $constant: Kernel = Kernel::new(
            $name,
            SHADER.access,
            |call| {
                let (p, x) = (call.params::<RoundingParams>(), call.read::<f32>(0));
                parallel::map(&mut call.write::<f32>(1)[..p.n as usize], x, $value);
            },
            |d| d.cost(n(d) as u64),
        )
        .tolerance(Tolerance::EXACT)
        .variants(&[Variant::new("flat", |_, d| Pass::new(&SHADER, $entry, groups(n(d), 4 * 256)).alone())]);)*

        /// The kernels of this page.
        pub static KERNELS: &[&Kernel] = &[$(&$constant),*];
    };
}

functions! {
    SIGN: "sign", "sign", |x| if x == 0.0 || x.is_nan() { 0.0 } else { x.signum() };
    ROUND: "round", "round_to_even", f32::round_ties_even;
    FLOOR: "floor", "round_down", f32::floor;
    CEIL: "ceil", "round_up", f32::ceil;
    TRUNC: "trunc", "round_to_zero", f32::trunc;
}

/// # Whole numbers and signs
impl Tensor {
    #[track_caller]
    fn stepped(&self, kernel: &'static Kernel) -> Tensor {
        let x = self.packed(kernel.name);
        let y = x.new_like();
        Tensor::run(kernel, &[&x, &y], &RoundingParams { n: x.numel() as u32 });
        y.tracked(kernel.name, &[&x], |dy, _| vec![Some(dy.zeros_like())])
    }

    /// 1 where positive, -1 where negative, else 0, of NaN too; its gradient is 0.
    #[track_caller]
    pub fn sign(&self) -> Tensor {
        self.stepped(&SIGN)
    }

    /// The nearest whole number, of two the even one; its gradient is 0.
    #[track_caller]
    pub fn round(&self) -> Tensor {
        self.stepped(&ROUND)
    }

    /// The largest whole number that is not above; its gradient is 0.
    #[track_caller]
    pub fn floor(&self) -> Tensor {
        self.stepped(&FLOOR)
    }

    /// The smallest whole number that is not below; its gradient is 0.
    #[track_caller]
    pub fn ceil(&self) -> Tensor {
        self.stepped(&CEIL)
    }

    /// The whole number towards 0; its gradient is 0.
    #[track_caller]
    pub fn trunc(&self) -> Tensor {
        self.stepped(&TRUNC)
    }

    /// What is left of the elements without their whole numbers, with their signs: `x - x.trunc()`.
    #[track_caller]
    pub fn frac(&self) -> Tensor {
        self.sub(&self.trunc())
    }
}
