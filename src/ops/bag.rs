//! Bags of rows of a table, of which each gives one row: made of other operations.

use crate::dtype::DType;
use crate::ops::embedding::EmbeddingOptions;
use crate::ops::reduce::KeepDims;
use crate::ops::scatter::ScatterReduction;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// The row that a bag of rows gives: PyTorch's `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BagMode {
    /// Their sum.
    Sum,
    /// Their mean.
    #[default]
    Mean,
    /// The largest of each element.
    Max,
}

/// PyTorch's arguments of `embedding_bag`, and its defaults.
#[derive(Debug, Clone)]
pub struct EmbeddingBagOptions {
    /// The row that a bag gives.
    pub mode: BagMode,
    /// A factor for each row that is taken, of the indices' shape; for sums alone.
    pub per_sample_weights: Option<Tensor>,
    /// The number of a row that counts nothing.
    pub padding: Option<i32>,
    /// Whether the gradient of the table is [`Rows`](crate::autograd::Rows), and not a whole table; not with [`BagMode::Max`].
    pub sparse: bool,
    /// The longest that a row may be: those that are taken are brought to it before, in place.
    pub max_norm: Option<f32>,
    /// The order of the norm that says how long a row is.
    pub norm_type: f32,
    /// Whether the gradient of a row is divided by how often it is taken; for sums and means, and not with `sparse`.
    pub scale_grad_by_freq: bool,
}

impl Default for EmbeddingBagOptions {
    fn default() -> EmbeddingBagOptions {
        EmbeddingBagOptions {
            mode: BagMode::Mean,
            per_sample_weights: None,
            padding: None,
            sparse: false,
            max_norm: None,
            norm_type: 2.0,
            scale_grad_by_freq: false,
        }
    }
}

/// # Bags of rows
impl Tensor {
    /// The same table, of whose gradient each row gets its share.
    #[track_caller]
    fn shared_by_frequency(&self, indices: &Tensor) -> Tensor {
        let (still, counts) = (self.detach(), self.taken(indices));
        let shares = counts.clamp(1.0, f32::INFINITY).reciprocal().unsqueeze(1);
        still.add(&self.sub(&still).mul(&shares.cast(self.dtype())))
    }

    /// The rows of this table `[size, width]` that are named together, as one: `indices` `[bags, items]`, i32 or i64, give
    /// `[bags, width]`. Where bags differ in length, `indices` are `[items]`, and `offsets` `[bags]` say where each begins, the
    /// first with 0: PyTorch's `embedding_bag`. A bag of nothing gives 0.
    ///
    /// # Panics
    /// If a shape or type does not fit, there are weights and no sums, or the largest are to have a sparse gradient or one by
    /// frequency.
    #[track_caller]
    pub fn embedding_bag(&self, indices: &Tensor, offsets: Option<&Tensor>, options: &EmbeddingBagOptions) -> Tensor {
        let (op, i) = ("embedding_bag", indices.shape());
        let fits = i.rank() == if offsets.is_some() { 1 } else { 2 };
        assert!(fits, "{op}: indices of {i}: expected [bags, items], or [items] with offsets");
        let EmbeddingBagOptions { mode, per_sample_weights, padding, sparse, .. } = options;
        let is_sum = *mode == BagMode::Sum;
        assert!(per_sample_weights.is_none() || is_sum, "{op}: weights for samples are for sums, not for {mode:?}");
        assert!(!sparse || *mode != BagMode::Max, "{op}: a sparse gradient is for sums and means, not for {mode:?}");
        let device = self.device();
        // The bag of each item, in order.
        let (bags, items) = (offsets.map_or(i[0], |offsets| offsets.numel()), i.numel());
        let count = Tensor::arange(0, items as i32, device);
        let bag = match offsets {
            Some(offsets) => {
                assert!(offsets.rank() == 1, "{op}: offsets of {}: expected [bags]", offsets.shape());
                let begun = count.unsqueeze(1).ge(offsets.indices(op, "offsets"));
                begun.sum_dims(&[1], KeepDims::No).affine(1.0, -1.0).cast(DType::I32)
            }
            None => count.floor_divide(Tensor::full([], i[1].max(1) as i32, device)),
        };
        let flat = indices.reshape_to(Shape::from([items]));
        if let Some(most) = options.max_norm {
            self.shorten_rows(&flat, most, options.norm_type);
        }
        let scaled = options.scale_grad_by_freq && self.is_tracked();
        assert!(
            !scaled || *mode != BagMode::Max,
            "{op}: gradients by frequency are for sums and means, not for {mode:?}"
        );
        assert!(
            !scaled || !sparse,
            "{op}: scale_grad_by_freq counts all rows of the table, and is not for a sparse one"
        );
        let table = if scaled { self.shared_by_frequency(&flat) } else { self.clone() };
        let rows = match sparse {
            true => table.embedding_with(
                &flat,
                &EmbeddingOptions { padding: *padding, sparse: true, ..EmbeddingOptions::default() },
            ),
            false => table.embedding(&flat),
        };
        let ones = Tensor::ones([items, 1], device).cast(rows.dtype());
        let counted = match padding {
            Some(row) => ones.masked_fill(&flat.eq(*row).unsqueeze(1), 0.0),
            None => ones,
        };
        let zeros = rows.new_zeros([bags, rows.size(1)]);
        if *mode == BagMode::Max {
            let least = rows.masked_fill(&counted.eq(0.0), f32::NEG_INFINITY);
            let places = bag.unsqueeze(1).expand(rows.shape());
            let lowest = rows.new_full(zeros.shape(), f32::NEG_INFINITY);
            let largest = lowest.scatter_reduce(0, &places, &least, ScatterReduction::Amax, true);
            return largest.masked_fill(&largest.detach().eq(f32::NEG_INFINITY), 0.0);
        }
        let weights = match per_sample_weights {
            Some(weights) => {
                let w = weights.shape();
                assert!(w == i, "{op}: {i} x {w}: expected a weight for each index");
                counted.mul(&weights.reshape_to(Shape::from([items, 1])))
            }
            None => counted.clone(),
        };
        let sums = zeros.index_add(0, &bag, &rows.mul(&weights));
        match is_sum {
            true => sums,
            false => {
                let counts = counted.new_zeros([bags, 1]).index_add(0, &bag, &counted);
                sums.div(&counts.clamp(1.0, f32::INFINITY))
            }
        }
    }
}
