//! Inputs and outputs of steps: one tensor, an array of them, or as many as are known only at run time.

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Inputs of a step: `&x`, `[&x, &labels]`, or a slice. The step's code gets them as they were given.
pub trait Inputs: Copy {
    /// Each tensor in order.
    fn refs(&self) -> Vec<&Tensor>;
}

impl Inputs for &Tensor {
    fn refs(&self) -> Vec<&Tensor> {
        vec![self]
    }
}

impl<const N: usize> Inputs for [&Tensor; N] {
    fn refs(&self) -> Vec<&Tensor> {
        self.to_vec()
    }
}

impl Inputs for &[&Tensor] {
    fn refs(&self) -> Vec<&Tensor> {
        self.to_vec()
    }
}

impl Inputs for &[Tensor] {
    fn refs(&self) -> Vec<&Tensor> {
        self.iter().collect()
    }
}

/// Outputs of a step: a tensor, `[loss, right]`, a `Vec`, or `()`.
pub trait Outputs: Sized {
    /// Each tensor in order.
    fn into_vec(self) -> Vec<Tensor>;
    /// The same from tensors; `None` where it is of another number of them.
    fn from_vec(all: Vec<Tensor>) -> Option<Self>;
}

impl Outputs for Tensor {
    fn into_vec(self) -> Vec<Tensor> {
        vec![self]
    }

    fn from_vec(all: Vec<Tensor>) -> Option<Tensor> {
        <[Tensor; 1]>::from_vec(all).map(|[y]| y)
    }
}

impl<const M: usize> Outputs for [Tensor; M] {
    fn into_vec(self) -> Vec<Tensor> {
        self.into()
    }

    fn from_vec(all: Vec<Tensor>) -> Option<[Tensor; M]> {
        all.try_into().ok()
    }
}

impl Outputs for Vec<Tensor> {
    fn into_vec(self) -> Vec<Tensor> {
        self
    }

    fn from_vec(all: Vec<Tensor>) -> Option<Vec<Tensor>> {
        Some(all)
    }
}

impl Outputs for () {
    fn into_vec(self) -> Vec<Tensor> {
        Vec::new()
    }

    fn from_vec(all: Vec<Tensor>) -> Option<()> {
        all.is_empty().then_some(())
    }
}

/// The results of a step as its caller takes them.
pub(super) fn given<O: Outputs>(all: Vec<Tensor>) -> Result<O> {
    let got = all.len();
    O::from_vec(all).ok_or_else(|| {
        Error::Capture(format!(
            "run: the step was captured with {got} results and is asked for another number: one `Replay` replays one step"
        ))
    })
}
