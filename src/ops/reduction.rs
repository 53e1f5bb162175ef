//! What losses of many rows become, in all losses alike.

/// What becomes of the losses of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Their mean, weighted where there are weights.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// Their sum divided by the size of the first dimension.
    BatchMean,
    /// They stay apart: to be weighed, item by item, and summed up by hand.
    #[doc(alias = "sample_weight")]
    None,
}
