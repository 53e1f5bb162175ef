//! Muon (Jordan et al., 2024): momentum whose directions are made orthogonal.

use super::rule::Rule;
use super::{Stepper, at_least_0, checked, share};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// How the rate depends on a matrix' shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MuonRate {
    /// Times the root of rows by columns, where there are more rows: PyTorch's `original`.
    #[default]
    Original,
    /// Times 0.2 and the root of the longer side, so that steps are as large as AdamW's and its rates and decay fit:
    /// `match_rms_adamw`.
    MatchRmsAdamW,
    /// Times the root of rows by columns, whichever are more: `spectral_unclamped`.
    SpectralUnclamped,
}

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MuonOptions {
    /// The learning rate.
    pub lr: f32,
    /// The part of each weight, times the rate, that a step takes off.
    pub weight_decay: f32,
    /// The part of the last direction that a step keeps.
    pub momentum: f32,
    /// Whether the gradient counts once more beside the momentum.
    pub nesterov: bool,
    /// The factors of a step of Newton and Schulz: of X, of X X' X, and of X X' X X' X.
    pub ns_coefficients: (f32, f32, f32),
    /// The least length that a direction is divided by.
    pub eps: f32,
    /// The steps of Newton and Schulz.
    pub ns_steps: usize,
    /// How the rate depends on a matrix' shape.
    pub rate: MuonRate,
}

impl Default for MuonOptions {
    fn default() -> MuonOptions {
        MuonOptions {
            lr: 1e-3,
            weight_decay: 0.1,
            momentum: 0.95,
            nesterov: true,
            ns_coefficients: (3.4445, -4.775, 2.0315),
            eps: 1e-7,
            ns_steps: 5,
            rate: MuonRate::Original,
        }
    }
}

/// Momentum whose directions are made nearly orthogonal matrices, in f32 where PyTorch's are in bf16. It takes matrices alone;
/// [`Split`](super::Split) gives the other parameters to another optimizer, as embeddings and last layers are better given to,
/// too.
///
/// ```
/// use wgrad::nn::{Init, Linear};
/// use wgrad::optim::{AdamW, AdamWOptions, Muon, MuonOptions, Optimizer, Split};
/// let device = wgrad::Device::cpu();
/// let model = Linear::new(3, 2, &mut Init::new(0, &device));
/// let mut optimizer = Split::new(
///     &model,
///     |_path, shape| shape.rank() == 2,
///     |matrices| Muon::new(matrices, MuonOptions { lr: 0.02, ..MuonOptions::default() }),
///     |others| AdamW::new(others, AdamWOptions::default()),
/// )?;
/// assert_eq!(optimizer.lrs(), [0.02, 1e-3]);
/// # use wgrad::nn::{Ctx, Layer};
/// # let x = wgrad::Tensor::ones([4, 3], &device);
/// # let loss = model.forward(&x, &Ctx::train()).square().mean();
/// optimizer.step(&loss.backward());
/// # Ok::<(), wgrad::Error>(())
/// ```
pub type Muon = Stepper<MuonOptions>;

impl MuonOptions {
    /// What the rate is multiplied by for such a matrix.
    fn scale(&self, rows: usize, columns: usize) -> f32 {
        let (rows, columns) = (rows as f32, columns.max(1) as f32);
        match self.rate {
            MuonRate::Original => (rows / columns).max(1.0).sqrt(),
            MuonRate::MatchRmsAdamW => 0.2 * rows.max(columns).sqrt(),
            MuonRate::SpectralUnclamped => (rows / columns).sqrt(),
        }
    }

    /// A matrix with the same directions, whose singular values are all near 1.
    fn orthogonal(&self, direction: &Tensor) -> Tensor {
        let wide = direction.size(0) <= direction.size(1);
        let x = if wide { direction.clone() } else { direction.t() };
        let length = x.square().sum().sqrt().clamp(self.eps, f32::INFINITY);
        let mut x = x / length;
        let (a, b, c) = self.ns_coefficients;
        for _ in 0..self.ns_steps {
            let gram = x.matmul(&x.t());
            let more = &gram * b + gram.matmul(&gram) * c;
            x = &x * a + more.matmul(&x);
        }
        if wide { x } else { x.t() }
    }
}

impl Rule for MuonOptions {
    const NAME: &'static str = "Muon";

    fn check(&self) -> Result<()> {
        self.takes_momentum(self.momentum)?;
        at_least_0("weight decay", self.weight_decay)?;
        checked("ns_steps", self.ns_steps as f32, |steps| steps < 100.0, "below 100")?;
        at_least_0("eps", self.eps).map(drop)
    }

    fn takes(&self, path: &str, shape: Shape) -> Result<()> {
        match shape.rank() {
            2 => Ok(()),
            _ => Err(Error::Option(format!(
                "Muon: `{path}` is {shape}, and no matrix: give such parameters to another optimizer by `Split`"
            ))),
        }
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn momentum(&self) -> Option<f32> {
        Some(self.momentum)
    }

    fn takes_momentum(&self, momentum: f32) -> Result<()> {
        share("momentum", momentum).map(drop)
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("momentum_buffer", 0.0)]
    }

    fn counts(&self) -> bool {
        false
    }

    fn by_parameter(&self) -> bool {
        true
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let [lr, momentum] = numbers else { unreachable!("these are the numbers of a rule with a momentum") };
        let new = gradient * momentum.affine(-1.0, 1.0);
        moments[0] = &moments[0] * momentum + &new;
        let direction = if self.nesterov { &moments[0] * momentum + new } else { moments[0].clone() };
        let scale = self.scale(x.size(0), x.size(1));
        x - (x * self.weight_decay + self.orthogonal(&direction) * scale) * lr
    }
}
