//! Marks of mixed precision: what the tensors of a pass tell of the types that it computes in.
//!
//! A pass in mixed precision hands out marked parameters, and what an operation makes of marked tensors is marked. So an
//! operation knows from its operands what it is a part of: no mode of a thread says so, and a model's own operations
//! follow the same rules as the crate's layers.

use super::Tensor;
use crate::dtype::DType;

/// The half type of the pass that a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mixed {
    /// A parameter, or what is made of parameters alone: it takes the type of what it meets.
    Parameter(DType),
    /// What a pass has made of its input.
    Result(DType),
}

impl Mixed {
    fn half(self) -> DType {
        match self {
            Mixed::Parameter(half) | Mixed::Result(half) => half,
        }
    }
}

impl Tensor {
    /// The same elements as a parameter of a pass that computes in `half`.
    pub(crate) fn of_pass(self, half: DType) -> Tensor {
        Tensor { mixed: Some(Mixed::Parameter(half)), ..self }
    }

    /// The same elements as what such a pass works on, and not as a parameter of it.
    pub(crate) fn entered(&self) -> Tensor {
        Tensor { mixed: self.mixed.map(|mixed| Mixed::Result(mixed.half())), ..self.clone() }
    }

    /// The same elements outside of such a pass, in f32.
    pub(crate) fn left(&self) -> Tensor {
        match self.mixed {
            Some(_) if self.dtype.is_half() => Tensor { mixed: None, ..self.cast(DType::F32) },
            _ => Tensor { mixed: None, ..self.clone() },
        }
    }

    /// Whether it belongs to such a pass.
    pub(crate) fn is_of_pass(&self) -> bool {
        self.mixed.is_some()
    }

    /// The type that a pass works in which hands this out as a parameter; of any other tensor its own.
    pub(crate) fn pass_dtype(&self) -> DType {
        self.mixed.filter(|_| self.adapts()).map_or(self.dtype, Mixed::half)
    }

    /// The mark of what is made of `inputs`.
    pub(crate) fn marked_by(mut self, inputs: &[&Tensor]) -> Tensor {
        if let Some(mixed) = inputs.iter().find_map(|input| input.mixed) {
            let is_parameter = |input: &&Tensor| matches!(input.mixed, Some(Mixed::Parameter(_)));
            let all = inputs.iter().all(is_parameter);
            self.mixed = Some(if all { Mixed::Parameter(mixed.half()) } else { Mixed::Result(mixed.half()) });
        }
        self
    }

    /// Whether it is a parameter of a mixed pass, which takes the type of what it meets.
    pub(crate) fn adapts(&self) -> bool {
        matches!(self.mixed, Some(Mixed::Parameter(_)))
    }

    /// The type of its gradient on the way to its leaf: sums that end at a parameter are never rounded.
    pub(crate) fn gradient_dtype(&self) -> DType {
        if self.adapts() { DType::F32 } else { self.dtype }
    }

    /// The half type of the pass that it belongs to.
    pub(crate) fn half_of_pass(&self) -> Option<DType> {
        self.mixed.map(Mixed::half)
    }
}
