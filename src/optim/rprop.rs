//! Rprop (Riedmiller and Braun, 1993), by its definition.

use super::rule::Rule;
use super::{Stepper, checked};
use crate::error::Result;
use crate::tensor::Tensor;

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RpropOptions {
    /// The length of each value's first step.
    pub lr: f32,
    /// What a length is multiplied by where the sign of a gradient has changed, and where it has not.
    pub etas: (f32, f32),
    /// The least and the largest length.
    pub step_sizes: (f32, f32),
}

impl Default for RpropOptions {
    fn default() -> RpropOptions {
        RpropOptions { lr: 1e-2, etas: (0.5, 1.2), step_sizes: (1e-6, 50.0) }
    }
}

/// Each value moves against its gradient's sign, by a length of its own that grows as long as the sign stays: for gradients of all
/// items at once, not of batches. Rates that are set later change nothing.
#[doc(alias = "rprop")]
pub type Rprop = Stepper<RpropOptions>;

impl Rule for RpropOptions {
    const NAME: &'static str = "Rprop";

    fn check(&self) -> Result<()> {
        let ((down, up), (least, most)) = (self.etas, self.step_sizes);
        checked("etas.0", down, |eta| 0.0 < eta && eta < 1.0, "above 0 and below 1")?;
        checked("etas.1", up, |eta| 1.0 < eta && eta.is_finite(), "above 1")?;
        checked("step_sizes.0", least, |size| size >= 0.0, "a number from 0 up")?;
        checked("step_sizes.1", most, |size| size >= least, "at least `step_sizes.0`").map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], _: &[Tensor]) -> Tensor {
        let ((down, up), (least, most)) = (self.etas, self.step_sizes);
        let turn = (gradient * &moments[0]).sign();
        let (turned, kept) = (turn.lt(0.0), turn.gt(0.0));
        let factor = turned.ones_like().masked_fill(&turned, down).masked_fill(&kept, up);
        moments[1] = (&moments[1] * factor).clamp(least, most);
        moments[0] = gradient.masked_fill(&turned, 0.0);
        x - moments[0].sign() * &moments[1]
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("prev", 0.0), ("step_size", self.lr)]
    }

    fn counts(&self) -> bool {
        false
    }
}
