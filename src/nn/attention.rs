//! Multi-head attention, and positions for rows that have no order of their own.

use super::ctx::{Ctx, Mode};
use super::dropout::Dropout;
use super::fits::{misfit, path, refuse};
use super::init;
use super::linear::Linear;
use super::module::{Init, Layer, Module, Path};
use super::parameter::Parameter;
use crate::device::Device;
use crate::dtype::DType;
use crate::ops::attention::AttentionOptions;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// PyTorch's arguments of `nn.MultiheadAttention` and, but for `batch_first`, its defaults.
#[doc(alias("kdim", "vdim", "add_bias_kv", "add_zero_attn"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MultiheadAttentionOptions {
    /// The chance that a weight of a key is 0, in training.
    pub dropout: f32,
    /// Whether something is added to queries, keys and values, and to what the heads give.
    pub bias: bool,
    /// Whether there is a key with its value behind those that are given, which is learnt.
    pub add_bias_kv: bool,
    /// Whether there is a key of zeros with a value of zeros behind those that are given.
    pub add_zero_attn: bool,
    /// The elements of a key before it is projected; as many as of a query where nothing is said.
    pub kdim: Option<usize>,
    /// The elements of a value before it is projected; as many as of a query where nothing is said.
    pub vdim: Option<usize>,
    /// Whether inputs and outputs are `[batch, rows, width]`, as here they are unless it is set; else `[rows, batch, width]`,
    /// PyTorch's default.
    pub batch_first: bool,
}

impl Default for MultiheadAttentionOptions {
    fn default() -> MultiheadAttentionOptions {
        MultiheadAttentionOptions {
            dropout: 0.0,
            bias: true,
            add_bias_kv: false,
            add_zero_attn: false,
            kdim: None,
            vdim: None,
            batch_first: true,
        }
    }
}

/// Attention of several heads side by side (Vaswani et al., 2017); parameters are named as those of PyTorch's
/// `nn.MultiheadAttention`.
#[doc(alias = "nn.MultiheadAttention")]
#[derive(Debug, Module)]
pub struct MultiheadAttention {
    /// `[3 * width, width]`: for queries, keys and values, Xavier's uniform values at first; none where keys or values have
    /// another width.
    pub in_proj_weight: Option<Parameter>,
    /// `[width, width]`, in the place of `in_proj_weight`.
    pub q_proj_weight: Option<Parameter>,
    /// `[width, kdim]`, likewise.
    pub k_proj_weight: Option<Parameter>,
    /// `[width, vdim]`, likewise.
    pub v_proj_weight: Option<Parameter>,
    /// `[3 * width]`, 0 at first.
    pub in_proj_bias: Option<Parameter>,
    /// `[1, 1, width]`: a key that is learnt, normally distributed at first.
    pub bias_k: Option<Parameter>,
    /// `[1, 1, width]`: its value.
    pub bias_v: Option<Parameter>,
    /// For what the heads give.
    pub out_proj: Linear,
    /// The heads.
    #[module(skip)]
    pub heads: usize,
    /// Whether a key of zeros with a value of zeros is seen, too.
    #[module(skip)]
    pub add_zero_attn: bool,
    /// Whether inputs are `[batch, rows, width]`.
    #[module(skip)]
    pub batch_first: bool,
    /// Where there is none to drop, it draws nothing, and no rank has a sequence of its own.
    dropout: Option<Dropout>,
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
        MultiheadAttention::with(width, heads, MultiheadAttentionOptions::default(), init)
    }

    /// With all options.
    ///
    /// # Panics
    /// If the width is no multiple of the heads, or the dropout is not in 0..=1.
    #[track_caller]
    pub fn with(width: usize, heads: usize, options: MultiheadAttentionOptions, init: &mut Init) -> MultiheadAttention {
        let fits = heads > 0 && width.is_multiple_of(heads);
        assert!(fits, "MultiheadAttention: a width of {width} is no multiple of {heads} heads");
        let MultiheadAttentionOptions { dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first } = options;
        let (keys, values) = (kdim.unwrap_or(width), vdim.unwrap_or(width));
        let drawn = |rows: usize, columns: usize, init: &mut Init| {
            let weight = Parameter::new(Tensor::zeros([rows, columns], &init.device));
            init::xavier_uniform(&weight, 1.0, &mut init.rng);
            weight
        };
        let packed = keys == width && values == width;
        let in_proj_weight = packed.then(|| drawn(3 * width, width, init));
        let [q_proj_weight, k_proj_weight, v_proj_weight] =
            [width, keys, values].map(|columns| (!packed).then(|| drawn(width, columns, init)));
        let zeros = |size: usize, init: &Init| bias.then(|| Parameter::new(Tensor::zeros([size], &init.device)));
        let out_proj = Linear { bias: zeros(width, init), ..Linear::without_bias(width, width, init) };
        let in_proj_bias = zeros(3 * width, init);
        let [bias_k, bias_v] = [(); 2].map(|()| {
            add_bias_kv.then(|| {
                let row = Parameter::new(Tensor::zeros([1, 1, width], &init.device));
                init::xavier_normal(&row, 1.0, &mut init.rng);
                row
            })
        });
        MultiheadAttention {
            in_proj_weight,
            q_proj_weight,
            k_proj_weight,
            v_proj_weight,
            in_proj_bias,
            bias_k,
            bias_v,
            out_proj,
            heads,
            add_zero_attn,
            batch_first,
            dropout: if dropout == 0.0 { None } else { Some(Dropout::new(dropout, init)) },
            path: Path::new(),
        }
    }

    /// Of `x`, `[batch, rows, width]`, to itself: queries, keys and values are one product. A mask is broadcast over
    /// `[batch, heads, rows, rows]`: PyTorch's `attn_mask` of floats as it is. One of truth values is true where a key is seen, as
    /// for `scaled_dot_product_attention`; PyTorch's of `nn.MultiheadAttention`, which are true where it is not, are given by
    /// [`AttentionOptions::hidden`], and a `key_padding_mask` by [`AttentionOptions::key_padding`], or of lengths by
    /// [`AttentionOptions::padded`]. A row that sees no key gives the bias of `out_proj`, where PyTorch gives NaN if it is asked
    /// for the weights, too.
    ///
    /// Where the layer is not [`batch_first`](MultiheadAttention::batch_first), inputs and outputs are `[rows, batch, width]`;
    /// masks are the same.
    ///
    /// # Panics
    /// If the shape does not fit.
    #[track_caller]
    pub fn attend_self(&self, x: &Tensor, options: &AttentionOptions, ctx: &Ctx) -> Tensor {
        refuse(self.check([x; 3]));
        ctx.enter(self, || self.title());
        let y = self.attended([x; 3], options, ctx);
        ctx.leave(&y);
        y
    }

    /// Of queries `[batch, rows, width]` to keys `[batch, keys, kdim]` and values `[batch, keys, vdim]`; a mask is broadcast
    /// over `[batch, heads, rows, keys]`, and means what it does in [`attend_self`](MultiheadAttention::attend_self).
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
        refuse(self.check([query, key, value]));
        ctx.enter(self, || self.title());
        let y = self.attended([query, key, value], options, ctx);
        ctx.leave(&y);
        y
    }

    /// The weights of keys by which each head mixes values, `[batch, heads, rows, keys]`: for a look at what is seen. PyTorch's
    /// `need_weights` gives their mean over heads, `weights.mean_dims(&[1], KeepDims::No)`. Nothing is dropped of them.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, MultiheadAttention};
    /// use wgrad::{AttentionOptions, Tensor};
    /// let device = wgrad::Device::cpu();
    /// let layer = MultiheadAttention::new(8, 2, &mut Init::new(0, &device));
    /// let x = Tensor::ones([1, 3, 8], &device);
    /// let weights = layer.weights(&x, &x, &AttentionOptions::causal(), &Ctx::eval());
    /// assert_eq!(weights.to_vec::<f32>()?[..6], [1.0, 0.0, 0.0, 0.5, 0.5, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If a shape does not fit.
    #[doc(alias("need_weights", "attn_output_weights"))]
    #[track_caller]
    pub fn weights(&self, query: &Tensor, key: &Tensor, options: &AttentionOptions, ctx: &Ctx) -> Tensor {
        if let (Some(query), Some(key)) = (query.batch_of_one(3), key.batch_of_one(3)) {
            let [query, key] = [query, key].map(|x| if self.batch_first { x } else { x.transpose(0, 1) });
            return self.weights(&query, &key, options, ctx).squeeze(0);
        }
        refuse(self.checked_as([query, key]));
        let [query, key] = [query, key].map(|x| self.turned(x));
        let [q, k] = [self.projected(&query, 0, ctx), self.projected(&key, 1, ctx)];
        let (k, options) = self.lengthened(k, 1, query.shape()[1], options, ctx);
        let scale = options.scale.unwrap_or(1.0 / (q.size(-1) as f32).sqrt());
        let mut scores = q.matmul(&k.transpose(-2, -1)).affine(scale, 0.0);
        if options.is_causal {
            scores = scores.masked_fill(&hidden_ahead(q.size(-2), k.size(-2), q.device()), f32::NEG_INFINITY);
        }
        match &options.mask {
            Some(mask) => scores.add(&added(mask).cast(scores.dtype())).softmax(-1),
            None => scores.softmax(-1),
        }
    }

    #[track_caller]
    fn attended(&self, inputs: [&Tensor; 3], options: &AttentionOptions, ctx: &Ctx) -> Tensor {
        if let [Some(q), Some(k), Some(v)] = inputs.map(|x| x.batch_of_one(3)) {
            let [q, k, v] = [q, k, v].map(|x| if self.batch_first { x } else { x.transpose(0, 1) });
            let options = AttentionOptions { mask: options.mask.as_ref().map(one_of_batch), ..options.clone() };
            return self.attended([&q, &k, &v], &options, ctx).squeeze(if self.batch_first { 0 } else { 1 });
        }
        let mut options = options.clone();
        if let (Mode::Train, Some(dropout), None) = (ctx.mode(), &self.dropout, &options.dropout) {
            options.dropout = Some((dropout.p, dropout.draw(inputs[0].device(), ctx)));
        }
        let is_plain = self.bias_k.is_none() && !self.add_zero_attn;
        if let (true, true, Some(weight)) = (same(inputs), is_plain, &self.in_proj_weight) {
            let (weight, bias) = (ctx.param(weight), self.in_proj_bias.as_ref().map(|bias| ctx.param(bias)));
            let projected = self.path.of(&self.turned(inputs[0]).linear(&weight, bias.as_ref()));
            return self.turned(&self.out_proj.forward(&projected.self_attention(self.heads, &options), ctx));
        }
        let [query, key, value] = inputs.map(|x| self.turned(x));
        let q = self.projected(&query, 0, ctx);
        let rows = query.shape()[1];
        let (v, _) = self.lengthened(self.projected(&value, 2, ctx), 2, rows, &options, ctx);
        let (k, options) = self.lengthened(self.projected(&key, 1, ctx), 1, rows, &options, ctx);
        let mixed = self.path.of(&q).scaled_dot_product_attention(&k, &v, &options).permute(&[0, 2, 1, 3]);
        self.turned(&self.out_proj.forward(&mixed.reshape_to(query.shape()), ctx))
    }

    /// With the batch first, or back.
    fn turned(&self, x: &Tensor) -> Tensor {
        if self.batch_first { x.clone() } else { x.transpose(0, 1) }
    }

    fn width(&self) -> usize {
        self.out_proj.weight.shape()[0]
    }

    /// Queries (0), keys (1) or values (2) as heads `[batch, heads, rows, head_dim]`.
    #[track_caller]
    fn projected(&self, x: &Tensor, part: usize, ctx: &Ctx) -> Tensor {
        let width = self.width();
        let weight = match (&self.in_proj_weight, [&self.q_proj_weight, &self.k_proj_weight, &self.v_proj_weight][part])
        {
            (Some(weight), _) => ctx.param(weight).narrow(0, part * width, width),
            (None, Some(weight)) => ctx.param(weight),
            (None, None) => {
                panic!("MultiheadAttention: there is no weight for {}", ["queries", "keys", "values"][part])
            }
        };
        let bias = self.in_proj_bias.as_ref().map(|bias| ctx.param(bias).narrow(0, part * width, width));
        let y = x.linear(&weight, bias.as_ref());
        let sizes = [x.shape()[0], x.shape()[1], self.heads, width / self.heads];
        y.reshape_to(Shape::from(sizes)).permute(&[0, 2, 1, 3])
    }

    /// Keys (1) or values (2) with those behind them that are learnt and that are 0, which every row sees.
    #[track_caller]
    fn lengthened(
        &self,
        x: Tensor,
        part: usize,
        rows: usize,
        options: &AttentionOptions,
        ctx: &Ctx,
    ) -> (Tensor, AttentionOptions) {
        let learnt = if part == 1 { &self.bias_k } else { &self.bias_v };
        let more = usize::from(learnt.is_some()) + usize::from(self.add_zero_attn);
        if more == 0 {
            return (x, options.clone());
        }
        let (shape, keys) = (x.shape(), x.size(-2));
        let mut all = x;
        if let Some(row) = learnt {
            let row = ctx.param(row).cast(all.dtype()).reshape_to(Shape::from([1, self.heads, 1, shape[3]]));
            all = Tensor::cat(&[&all, &row.expand([shape[0], self.heads, 1, shape[3]])], 2);
        }
        if self.add_zero_attn {
            all = all.pad(&[(0, 0), (0, 1)], 0.0);
        }
        let mut mask = options.mask.as_ref().map(|mask| {
            let mask = added(mask);
            let whole = if mask.size(-1) == keys {
                mask
            } else {
                mask.expand([&mask.shape()[..mask.rank() - 1], &[keys]].concat())
            };
            whole.pad(&[(0, more)], 0.0)
        });
        if options.is_causal {
            let ahead = hidden_ahead(rows, keys, all.device()).pad(&[(0, more)], 0.0);
            let causal = Tensor::zeros(ahead.shape(), all.device()).masked_fill(&ahead, f32::NEG_INFINITY);
            mask = Some(mask.map_or(causal.clone(), |mask| mask.add(&causal)));
        }
        (all, AttentionOptions { is_causal: false, mask, ..options.clone() })
    }

    #[must_use]
    fn check(&self, inputs: [&Tensor; 3]) -> Option<String> {
        if same(inputs) && self.in_proj_weight.is_some() {
            return self.checked_as([inputs[0]]);
        }
        self.checked_as(inputs)
    }

    /// The fault of queries, keys and values, of as many as there are.
    #[must_use]
    fn checked_as<const N: usize>(&self, inputs: [&Tensor; N]) -> Option<String> {
        let columns = |weight: &Option<Parameter>| weight.as_ref().map(|weight| weight.shape()[1]);
        let width = self.width();
        let widths =
            [width, columns(&self.k_proj_weight).unwrap_or(width), columns(&self.v_proj_weight).unwrap_or(width)];
        let weight =
            self.in_proj_weight.as_ref().or(self.q_proj_weight.as_ref()).unwrap_or(&self.out_proj.weight).tensor();
        let (order, rows) = if self.batch_first { ("batch, rows", 1) } else { ("rows, batch", 0) };
        let rank = inputs[0].rank();
        for (x, width) in inputs.iter().zip(widths) {
            let shape = x.shape();
            let fits = matches!(shape.rank(), 2 | 3) && shape.rank() == rank && shape.ends_with(&[width]);
            let expected = || format!("expected [{order}, {width}]");
            if let Some(wrong) = misfit(fits, "MultiheadAttention", x, &weight, expected) {
                return Some(wrong);
            }
        }
        let batch = |x: &Tensor| if rank == 3 { x.shape()[1 - rows] } else { 1 };
        let length = |x: &Tensor| if rank == 3 { x.shape()[rows] } else { x.shape()[0] };
        let fits =
            inputs.iter().all(|x| batch(x) == batch(inputs[0])) && (N < 3 || length(inputs[1]) == length(inputs[2]));
        let shapes = inputs.map(|x| x.shape().to_string()).join(" x ");
        (!fits).then(|| {
            let place = path(&weight, "MultiheadAttention");
            format!("{place}: {shapes}: expected keys and values of one length for each query's batch")
        })
    }
}

/// Whether all three are one tensor.
fn same(inputs: [&Tensor; 3]) -> bool {
    std::ptr::eq(inputs[0], inputs[1]) && std::ptr::eq(inputs[0], inputs[2])
}

/// 1 where a key comes after the row that looks, `[rows, keys]`.
fn hidden_ahead(rows: usize, keys: usize, device: &Device) -> Tensor {
    Tensor::arange(0, keys as i32, device).gt(Tensor::arange(0, rows as i32, device).unsqueeze(1))
}

/// A mask as one that is added: of truth values -infinity where it is false.
fn added(mask: &Tensor) -> Tensor {
    match mask.dtype() {
        DType::Bool => Tensor::zeros([], mask.device()).masked_fill(&mask.logical_not(), f32::NEG_INFINITY),
        _ => mask.clone(),
    }
}

/// A mask of one item's heads `[heads, rows, keys]` for a batch of one.
fn one_of_batch(mask: &Tensor) -> Tensor {
    if mask.rank() == 3 { mask.unsqueeze(0) } else { mask.clone() }
}

/// Attention to itself, in which every row sees all.
impl Layer for MultiheadAttention {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.attended([x; 3], &AttentionOptions::default(), ctx)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        self.check([x; 3])
    }

    fn title(&self) -> String {
        format!("MultiheadAttention({}, heads: {})", self.width(), self.heads)
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
