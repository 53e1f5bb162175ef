//! `x` where positive, else times a slope that is learnt: `shaders/binary.wgsl`.

use super::binary::{floating, flops};
use crate::autograd::is_differentiated;
use crate::kernel::Kernel;
use crate::kernel::elementwise::{self, BINARY, binary_variants};
use crate::tensor::Tensor;

macro_rules! functions {
    ($($constant:ident: $name:literal, $value:expr, $wgsl:literal;)*) => {
        $(static $constant: Kernel =
            Kernel::new($name, BINARY, |call| elementwise::definition::<f32, f32>(call, $value), flops)
                .host(|call| elementwise::host::<f32, f32>(call, $value))
                .variants(binary_variants!($wgsl));)*

        /// The kernels of this page.
        pub static KERNELS: &[&Kernel] = &[$(&$constant),*];
    };
}

// What is not known is not positive.
functions! {
    PRELU: "prelu", |x, w| if x > 0.0 { x } else { x * w }, "select(a * b, a, a > vec4<f32>())";
    SLOPE: "prelu_slope", |x, w| if x > 0.0 { 1.0 } else { w },
        "select(b, vec4<f32>(1.0), vec4<bool>(vec4<f32>(a > vec4<f32>()) * both_known4(a, a)))";
    REST: "prelu_rest", |x, dy| if x > 0.0 { 0.0 } else { x * dy },
        "select(a * b, vec4<f32>(), vec4<bool>(vec4<f32>(a > vec4<f32>()) * both_known4(a, a)))";
}

/// # Rarer activations
impl Tensor {
    /// `x` where positive, else `weight * x`, with a slope for each channel, the second dimension, or one for all (He et
    /// al., 2015); the gradient at 0 is `weight`.
    ///
    /// # Panics
    /// If the weight is neither of one element nor of as many as there are channels.
    #[track_caller]
    pub fn prelu(&self, weight: &Tensor) -> Tensor {
        let (x, w) = (self.shape(), weight.shape());
        let channels = if x.rank() > 1 { x[1] } else { 1 };
        let fits = w.numel() == 1 || w.rank() == 1 && w[0] == channels;
        assert!(fits, "prelu: {x} x {w}: expected a slope for all or for each of {channels} channels");
        let mut sizes = vec![1; x.rank()];
        if w.numel() > 1 {
            sizes[1] = channels;
        }
        self.sloped(&weight.reshape_to(sizes.into()))
    }

    /// The same with slopes that broadcast.
    #[track_caller]
    pub(crate) fn sloped(&self, weight: &Tensor) -> Tensor {
        let (x, w) = (self.saved(), weight.saved());
        let [of_x, of_w] = [self, weight].map(Tensor::gradient_dtype);
        floating(&PRELU, self, weight).tracked("prelu", &[self, weight], move |dy, needs| {
            let again = is_differentiated();
            // What is 0 is chosen: an infinite number times 0 would be NaN.
            let dx = || match again {
                true => Tensor::where_(&x.gt(0.0), dy, &dy.mul(&w)),
                false => dy.mul(&floating(&SLOPE, &x, &w)),
            };
            let dw = || match again {
                true => Tensor::where_(&x.gt(0.0), &dy.new_zeros([]), &x.mul(dy)),
                false => floating(&REST, &x, dy),
            };
            vec![needs[0].then(|| dx().sum_to_as(x.shape(), of_x)), needs[1].then(|| dw().sum_to_as(w.shape(), of_w))]
        })
    }
}
