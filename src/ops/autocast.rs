//! Mixed precision: the operations that a pass of half size computes in the half type, and those whose results stay f32. Which
//! tensors belong to such a pass, they tell themselves.

use crate::dtype::DType;
use crate::tensor::Tensor;

/// The type that an operation of a mixed pass has its result in: PyTorch's lists for `autocast`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The half type, in which operands are taken too.
    Half,
    /// f32, whatever the operands are.
    F32,
    /// As outside of such a pass.
    Operands,
}

/// Sums of products, which are computed in f32 and pay most in the half type.
const HALF: &[&str] = &[
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "linear",
    "matmul",
    "recurrent",
    "scaled_dot_product_attention",
    "self_attention",
];

/// Functions that leave the range of f16 or lose its digits, sums over many elements, and losses.
const WIDE: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosh",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "cumprod",
    "cumsum",
    "erfinv",
    "exp",
    "expm1",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "kl_div_log",
    "l1_loss",
    "log",
    "log10",
    "log1p",
    "log2",
    "log_softmax",
    "logsumexp",
    "margin_ranking_loss",
    "mean",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "nll_loss",
    "norm",
    "poisson_nll_loss",
    "pow",
    "pow_scalar",
    "prod",
    "reciprocal",
    "rsqrt",
    "sinh",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softplus",
    "square",
    "sum",
    "tan",
    "triplet_margin_loss",
    "var",
];

fn rule(op: &str) -> Rule {
    match op {
        _ if HALF.contains(&op) => Rule::Half,
        _ if WIDE.contains(&op) => Rule::F32,
        _ => Rule::Operands,
    }
}

impl Tensor {
    /// The type that `op` has its result in, where a mixed pass says so.
    pub(crate) fn ruled(op: &str, all: &[&Tensor]) -> Option<DType> {
        let half = all.iter().find_map(|x| x.half_of_pass())?;
        match rule(op) {
            Rule::Half => Some(half),
            Rule::F32 => Some(DType::F32),
            Rule::Operands => None,
        }
    }

    /// Floats of several types as those of one, where a mixed pass made them so.
    pub(crate) fn of_one_type(op: &str, all: &[&Tensor]) -> Option<Vec<Tensor>> {
        let differs = all.iter().any(|x| x.half_of_pass().is_some()) && all.iter().any(|x| x.dtype() != all[0].dtype());
        if !differs || all.iter().any(|x| !x.dtype().is_float()) {
            return None;
        }
        let dtype = Tensor::promoted(op, all);
        Some(all.iter().map(|x| x.cast(dtype)).collect())
    }

    /// The type of what `op` makes of this tensor alone.
    pub(crate) fn result_dtype(&self, op: &str) -> DType {
        Tensor::ruled(op, &[self]).unwrap_or(self.dtype())
    }
}

#[cfg(test)]
mod tests {
    use super::{HALF, WIDE};

    #[test]
    fn an_operation_stands_in_one_list_once() {
        let mut all = [HALF, WIDE].concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
