//! The operators of Rust on tensors and numbers: the methods of the same names.

use crate::autograd::Grads;
use crate::tensor::Tensor;
use std::ops::MulAssign;

/// `scale * x + shift`, which goes by the operator's name where it is refused.
#[track_caller]
fn scaled(op: &str, x: &Tensor, scale: f32, shift: f32) -> Tensor {
    let dtype = x.dtype();
    assert!(
        dtype.is_float(),
        "{op}: expected a tensor of floats beside a number of f32, got {dtype}: cast it first, or take a whole number"
    );
    x.affine(scale, shift)
}

macro_rules! operators {
    ($($operator:ident $method:ident $scale:expr, $shift:expr;)*) => {$(
        impl std::ops::$operator<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::$method(self, other)
            }
        }
        impl std::ops::$operator<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::$method(self, &other)
            }
        }
        impl std::ops::$operator<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::$method(&self, other)
            }
        }
        impl std::ops::$operator<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::$method(&self, &other)
            }
        }
        impl std::ops::$operator<f32> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, value: f32) -> Tensor {
                scaled(stringify!($method), self, $scale(value), $shift(value))
            }
        }
        impl std::ops::$operator<f32> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, value: f32) -> Tensor {
                scaled(stringify!($method), &self, $scale(value), $shift(value))
            }
        }
        impl std::ops::$operator<i32> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, value: i32) -> Tensor {
                match self.dtype().is_float() {
                    true => std::ops::$operator::$method(self, value as f32),
                    false => Tensor::$method(self, &Tensor::full([], value, self.device())),
                }
            }
        }
        impl std::ops::$operator<i32> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, value: i32) -> Tensor {
                std::ops::$operator::$method(&self, value)
            }
        }
    )*};
}

operators! {
    Add add |_| 1.0, |v: f32| v;
    Sub sub |_| 1.0, |v: f32| -v;
    Mul mul |v: f32| v, |_| 0.0;
    Div div |v: f32| 1.0 / v, |_| 0.0;
}

macro_rules! number_first {
    ($($operator:ident $method:ident |$value:ident, $x:ident| $result:expr;)*) => {$(
        impl std::ops::$operator<&Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, $x: &Tensor) -> Tensor {
                let $value = self;
                $result
            }
        }
        impl std::ops::$operator<Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, x: Tensor) -> Tensor {
                std::ops::$operator::$method(self, &x)
            }
        }
    )*};
}

macro_rules! rebinding {
    ($($operator:ident $method:ident $by:ident $with:ident;)*) => {$(
        rebinding!(@ $operator $method $by $with &Tensor, Tensor, f32, i32);
    )*};
    (@ $operator:ident $method:ident $by:ident $with:ident $($other:ty),*) => {$(
        /// Binds the name to the result: other handles of the tensor, and gradients that read it, keep what they have.
        impl std::ops::$operator<$other> for Tensor {
            #[track_caller]
            fn $method(&mut self, other: $other) {
                *self = std::ops::$by::$with(&*self, other);
            }
        }
    )*};
}

rebinding! {
    AddAssign add_assign Add add;
    SubAssign sub_assign Sub sub;
    MulAssign mul_assign Mul mul;
    DivAssign div_assign Div div;
}

number_first! {
    Add add |value, x| scaled("add", x, 1.0, value);
    Sub sub |value, x| scaled("sub", x, -1.0, value);
    Mul mul |value, x| scaled("mul", x, value, 0.0);
    Div div |value, x| Tensor::in_f32("reciprocal", [x], |[x]| x.reciprocal().affine(value, 0.0));
}

impl std::ops::Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(self)
    }
}

impl std::ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(&self)
    }
}

impl MulAssign<f32> for Grads {
    #[track_caller]
    fn mul_assign(&mut self, factor: f32) {
        self.scale(|gradient| gradient * factor);
    }
}

/// By a scalar on the device, such as the factor that clips.
impl MulAssign<&Tensor> for Grads {
    #[track_caller]
    fn mul_assign(&mut self, factor: &Tensor) {
        self.scale(|gradient| gradient * factor);
    }
}
