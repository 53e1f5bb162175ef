//! Kin of Adam: NAdam (Dozat, 2016), RAdam (Liu et al., 2020) and Adamax (Kingma and Ba, 2015). `shaders/nadam.wgsl`,
//! `shaders/radam.wgsl`, `shaders/adamax.wgsl`.

use super::bucket::{Bucket, Place};
use super::rule::{Now, Rule, counted, decayed, update, with_decay};
use super::{Stepper, at_least_0, rest, share, unbiased};
use crate::dtype::decimal;
use crate::error::Result;
use crate::kernel::{Kernel, Uniform};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct VariantParams {
    place: Place,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    eps: f32,
    /// The part of each weight that is added to its gradient.
    decay: f32,
    /// 1: weights lose a part of themselves.
    shrinks: u32,
}

impl VariantParams {
    /// The gradient with its decay, and the first moment moved towards it.
    fn moved(&self, g: f32, x: f32, first: &mut f32) -> f32 {
        let slope = decayed(g, self.decay, x);
        *first = self.beta1 * *first + self.rest1 * slope;
        slope
    }

    /// A weight, or the part of it that is left.
    fn shrunk(&self, x: f32, left: f32) -> f32 {
        if self.shrinks == 1 { x * left } else { x }
    }
}

update!(NADAM, NADAM_SHADER, "nadam", VariantParams, moments 2, slots 1, flops 16, |call| {
    let p: VariantParams = call.params();
    counted(call, p.place, |now, g, [x, mut first, mut second]| {
        let slope = p.moved(g, x, &mut first);
        second = p.beta2 * second + p.rest2 * slope * slope;
        let step = (slope * now[0] + first * now[1]) / (second.sqrt() / now[2] + p.eps);
        [p.shrunk(x, now[3]) - step, first, second]
    });
});

update!(RADAM, RADAM_SHADER, "radam", VariantParams, moments 2, slots 1, flops 14, |call| {
    let p: VariantParams = call.params();
    counted(call, p.place, |now, g, [x, mut first, mut second]| {
        let slope = p.moved(g, x, &mut first);
        second = p.beta2 * second + p.rest2 * slope * slope;
        let step = first * (now[1] / (second.sqrt() + p.eps) + now[0]);
        [p.shrunk(x, now[2]) - step, first, second]
    });
});

update!(ADAMAX, ADAMAX_SHADER, "adamax", VariantParams, moments 2, slots 1, flops 10, |call| {
    let p: VariantParams = call.params();
    counted(call, p.place, |now, g, [x, mut first, mut largest]| {
        let slope = p.moved(g, x, &mut first);
        let (kept, size) = (p.beta2 * largest, slope.abs() + p.eps);
        // What is no number stays.
        largest = if kept > size || kept.is_nan() { kept } else { size };
        [x - first / largest * now[0], first, largest]
    });
});

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&NADAM, &RADAM, &ADAMAX];

macro_rules! options {
    ($($(#[$doc:meta])* $optimizer:ident, $options:ident, $kernel:ident, lr $lr:literal, second $second:literal
        $(, $(#[$more:meta])* $field:ident: $default:literal)? $(=> $decoupled:ident)?;)*) => {$(
        /// PyTorch's arguments and defaults.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $options {
            /// The learning rate.
            pub lr: f32,
            /// The parts of the two moments that a step keeps.
            pub betas: (f32, f32),
            /// Added to what a step is divided by.
            pub eps: f32,
            /// The part of each weight that is added to its gradient.
            pub weight_decay: f32,
            $($(#[$more])* pub $field: f32,)?
            $(
                /// Whether the decay, times the rate, is taken off the weights themselves, as AdamW does, and not added to gradients.
                pub $decoupled: bool,
            )?
        }

        impl Default for $options {
            fn default() -> $options {
                $options { lr: $lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 $(, $field: $default)? $(, $decoupled: false)? }
            }
        }

        impl $options {
            /// The gradient with its decay, and the first moment moved towards it.
            fn moved(&self, x: &Tensor, gradient: &Tensor, first: &mut Tensor) -> Tensor {
                let decay = if self.shrinks() { 0.0 } else { self.weight_decay };
                let slope = with_decay(gradient, decay, x);
                *first = &*first * self.betas.0 + &slope * rest(self.betas.0);
                slope
            }

            /// Whether weights lose a part of themselves.
            fn shrinks(&self) -> bool {
                (false $(|| self.$decoupled)?) && self.weight_decay != 0.0
            }

            fn fused(&self, bucket: &Bucket) {
                let ((beta1, beta2), shrinks) = (self.betas, self.shrinks());
                let params = VariantParams {
                    place: bucket.place(),
                    beta1,
                    rest1: rest(beta1),
                    beta2,
                    rest2: rest(beta2),
                    eps: self.eps,
                    decay: if shrinks { 0.0 } else { self.weight_decay },
                    shrinks: shrinks.into(),
                };
                bucket.run(&$kernel, &params);
            }
        }

        impl Rule for $options {
            const NAME: &'static str = stringify!($optimizer);
            const FUSED: Option<fn(&Self, &Bucket)> = Some(Self::fused);
            const SKIPS: bool = true;

            fn check(&self) -> Result<()> {
                share("beta1", self.betas.0)?;
                share("beta2", self.betas.1)?;
                $(at_least_0(stringify!($field), self.$field)?;)?
                at_least_0("eps", self.eps)?;
                at_least_0("weight decay", self.weight_decay).map(drop)
            }

            fn lr(&self) -> f32 {
                self.lr
            }

            fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
                let slope = self.moved(x, gradient, &mut moments[0]);
                match numbers.split_last() {
                    Some((left, numbers)) if self.shrinks() => self.after(&(x * left), slope, moments, numbers),
                    _ => self.after(x, slope, moments, numbers),
                }
            }

            fn moments(&self) -> Vec<(&'static str, f32)> {
                vec![("exp_avg", 0.0), ($second, 0.0)]
            }

            fn numbers(&self, now: Now) -> Vec<f32> {
                let left = 1.0 - decimal(now.lr) * decimal(self.weight_decay);
                self.numbers_of(now).into_iter().chain(self.shrinks().then_some(left as f32)).collect()
            }
        }

        $(#[$doc])*
        pub type $optimizer = Stepper<$options>;
    )*};
}

options! {
    /// Adam with Nesterov's momentum.
    #[doc(alias = "nadam")]
    NAdam, NAdamOptions, NADAM, lr 2e-3, second "exp_avg_sq",
        /// How slowly the momentum rises to `betas.0`.
        momentum_decay: 4e-3 => decoupled_weight_decay;
    /// Adam whose first steps, whose second moment says little yet, are those of a momentum alone.
    #[doc(alias = "radam")]
    RAdam, RAdamOptions, RADAM, lr 1e-3, second "exp_avg_sq" => decoupled_weight_decay;
    /// Adam by the largest gradient in the place of the root of the second moment.
    #[doc(alias = "adamax")]
    Adamax, AdamaxOptions, ADAMAX, lr 2e-3, second "exp_inf";
}

impl NAdamOptions {
    fn momentum_at(&self, step: u64) -> f64 {
        decimal(self.betas.0) * (1.0 - 0.5 * 0.96f64.powf(step as f64 * decimal(self.momentum_decay)))
    }

    /// The values from the gradient with its decay, whose first moment has moved; so of the others.
    fn after(&self, x: &Tensor, slope: Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        moments[1] = &moments[1] * self.betas.1 + slope.square() * rest(self.betas.1);
        let size = moments[1].sqrt() / &numbers[2] + self.eps;
        x - (slope * &numbers[0] + &moments[0] * &numbers[1]) / size
    }

    fn numbers_of(&self, Now { lr, steps, .. }: Now) -> Vec<f32> {
        let (now, next) = (self.momentum_at(steps), self.momentum_at(steps + 1));
        // It soon is nothing.
        let mut product = 1.0;
        for step in 1..=steps {
            product *= self.momentum_at(step);
            if product < 1e-12 {
                break;
            }
        }
        let lr = decimal(lr);
        let parts = [lr * (1.0 - now) / (1.0 - product), lr * next / (1.0 - product * next)];
        vec![parts[0] as f32, parts[1] as f32, unbiased(self.betas.1, steps).sqrt() as f32]
    }
}

impl RAdamOptions {
    fn after(&self, x: &Tensor, slope: Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        moments[1] = &moments[1] * self.betas.1 + slope.square() * rest(self.betas.1);
        // One of the two numbers is 0.
        x - &moments[0] * (&numbers[1] / (moments[1].sqrt() + self.eps) + &numbers[0])
    }

    fn numbers_of(&self, Now { lr, steps, .. }: Now) -> Vec<f32> {
        let (step, beta2) = (decimal(lr) / unbiased(self.betas.0, steps), decimal(self.betas.1));
        let (short, most) = (unbiased(self.betas.1, steps), 2.0 / (1.0 - beta2) - 1.0);
        let length = most - 2.0 * steps as f64 * (1.0 - short) / short;
        if length <= 5.0 {
            return vec![step as f32, 0.0];
        }
        let share = (length - 4.0) * (length - 2.0) * most / ((most - 4.0) * (most - 2.0) * length);
        vec![0.0, (step * share.sqrt() * short.sqrt()) as f32]
    }
}

impl AdamaxOptions {
    fn after(&self, x: &Tensor, slope: Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        moments[1] = (&moments[1] * self.betas.1).maximum(&(slope.abs() + self.eps));
        x - &moments[0] / &moments[1] * &numbers[0]
    }

    fn numbers_of(&self, Now { lr, steps, .. }: Now) -> Vec<f32> {
        vec![(decimal(lr) / unbiased(self.betas.0, steps)) as f32]
    }
}
