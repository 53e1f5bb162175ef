//! Multi-head attention, and positions for rows that have no order of their own.

use super::ctx::Ctx;
use super::fits::{misfit, path, refuse};
use super::init;
use super::linear::Linear;
use super::module::{Init, Layer, Module, Path};
use super::parameter::Parameter;
use crate::device::Device;
use crate::ops::attention::AttentionOptions;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Attention of several heads side by side (Vaswani et al., 2017), the batch first; parameters are named as those of
/// PyTorch's `nn.MultiheadAttention`.
#[derive(Debug, Module)]
pub struct MultiheadAttention {
    /// `[3 * width, width]`: for queries, keys and values, Xavier's uniform values at first.
    pub in_proj_weight: Parameter,
    /// `[3 * width]`, 0 at first.
    pub in_proj_bias: Parameter,
    /// For what the heads give.
    pub out_proj: Linear,
    /// The heads.
    #[module(skip)]
    pub heads: usize,
    /// Its path in the model.
    pub path: Path,
}

impl MultiheadAttention {
    /// `heads` heads share rows of `width` elements.
    ///
    /// # Panics
    /// If the width is no multiple of the heads.
    #[track_caller]
    pub fn new(width: usize, heads: usize, init: &mut Init) -> MultiheadAttention {
        let fits = heads > 0 && width.is_multiple_of(heads);
        assert!(fits, "MultiheadAttention: a width of {width} is no multiple of {heads} heads");
        let zeros = |size: usize, init: &Init| Parameter::new(Tensor::zeros([size], &init.device));
        let in_proj_weight = Parameter::new(Tensor::zeros([3 * width, width], &init.device));
        init::xavier_uniform(&in_proj_weight, 1.0, &mut init.rng);
        let out_proj = Linear { bias: Some(zeros(width, init)), ..Linear::without_bias(width, width, init) };
        MultiheadAttention { in_proj_weight, in_proj_bias: zeros(3 * width, init), out_proj, heads, path: Path::new() }
    }

    /// Of `x`, `[batch, rows, width]`, to itself: queries, keys and values are one product. A mask is broadcast over
    /// `[batch, heads, rows, rows]`: PyTorch's `attn_mask` as it is, a `key_padding_mask` as `[batch, 1, 1, rows]` of 0
    /// and negative infinity, which [`AttentionOptions::padded`] makes of lengths. A row that sees no key gives the
    /// bias of `out_proj`, where PyTorch gives NaN if it is asked for the weights, too.
    ///
    /// # Panics
    /// If the shape does not fit.
    #[track_caller]
    pub fn attend_self(&self, x: &Tensor, options: &AttentionOptions, ctx: &Ctx) -> Tensor {
        if let Some(batch) = x.batch_of_one(3) {
            return self.attend_self(&batch, options, ctx).squeeze(0);
        }
        refuse(check(x, &self.in_proj_weight.tensor()));
        ctx.enter(self, || self.title());
        let y = self.attended(x, options, ctx);
        ctx.leave(&y);
        y
    }

    #[track_caller]
    fn attended(&self, x: &Tensor, options: &AttentionOptions, ctx: &Ctx) -> Tensor {
        let (weight, bias) = (ctx.param(&self.in_proj_weight), ctx.param(&self.in_proj_bias));
        let projected = self.path.of(&x.linear(&weight, Some(&bias)));
        self.out_proj.forward(&projected.self_attention(self.heads, options), ctx)
    }

    /// Of queries `[batch, rows, width]` to keys and values `[batch, keys, width]`; a mask is broadcast over
    /// `[batch, heads, rows, keys]`: padding is `[batch, 1, 1, keys]`.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn attend(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        options: &AttentionOptions,
        ctx: &Ctx,
    ) -> Tensor {
        if let (Some(q), Some(k), Some(v)) = (query.batch_of_one(3), key.batch_of_one(3), value.batch_of_one(3)) {
            return self.attend(&q, &k, &v, options, ctx).squeeze(0);
        }
        let (weight, bias) = (ctx.param(&self.in_proj_weight), ctx.param(&self.in_proj_bias));
        let width = weight.shape()[1];
        for x in [query, key, value] {
            refuse(check(x, &weight));
        }
        let projected = |x: &Tensor, part: usize| {
            let (weight, bias) = (weight.narrow(0, part * width, width), bias.narrow(0, part * width, width));
            let y = x.linear(&weight, Some(&bias));
            let sizes = [x.shape()[0], x.shape()[1], self.heads, width / self.heads];
            y.reshape_to(Shape::from(sizes)).permute(&[0, 2, 1, 3])
        };
        let [q, k, v] = [projected(query, 0), projected(key, 1), projected(value, 2)];
        let fits = k.shape()[0] == q.shape()[0] && k.shape() == v.shape();
        assert!(
            fits,
            "{}: {} x {} x {}: expected keys and values of one length for each query's batch",
            path(&weight, "MultiheadAttention"),
            query.shape(),
            key.shape(),
            value.shape()
        );
        let mixed = self.path.of(&q).scaled_dot_product_attention(&k, &v, options).permute(&[0, 2, 1, 3]);
        ctx.enter(self, || self.title());
        let y = self.out_proj.forward(&mixed.reshape_to(query.shape()), ctx);
        ctx.leave(&y);
        y
    }
}

#[must_use]
fn check(x: &Tensor, weight: &Tensor) -> Option<String> {
    let (shape, width) = (x.shape(), weight.shape()[1]);
    let fits = shape.rank() == 3 && shape[2] == width;
    misfit(fits, "MultiheadAttention", x, weight, || format!("expected [batch, rows, {width}]"))
}

/// Attention to itself, in which every row sees all.
impl Layer for MultiheadAttention {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.attended(x, &AttentionOptions::default(), ctx)
    }

    fn batched_rank(&self) -> Option<usize> {
        Some(3)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        check(x, &self.in_proj_weight.tensor())
    }

    fn title(&self) -> String {
        format!("MultiheadAttention({}, heads: {})", self.out_proj.weight.shape()[0], self.heads)
    }
}

/// Sines and cosines of falling frequencies for each position, `[rows, width]`, to be added to rows (Vaswani et al.,
/// 2017): sin(row / 10000^(2 i / width)) in the even columns 2 i, the cosine in the odd ones.
pub fn sinusoidal_positions(rows: usize, width: usize, device: &Device) -> Tensor {
    let angle = |at: usize| (at / width) as f64 / 10_000f64.powf((at % width / 2 * 2) as f64 / width as f64);
    let value = |at: usize| if (at % width).is_multiple_of(2) { angle(at).sin() } else { angle(at).cos() };
    let values: Vec<f32> = (0..rows * width).map(|at| value(at) as f32).collect();
    Tensor::constant(&values, [rows, width], device)
}
