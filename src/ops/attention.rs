//! Scaled dot-product attention in the manner of Dao et al., 2022: no matrix of weights is kept, the gradient computes
//! them again from the logarithm of each row's sum. `shaders/attention.wgsl`, `shaders/attention_subgroup.wgsl`,
//! `shaders/attention_delta.wgsl`, `shaders/attention_backward.wgsl`, `shaders/attention_backward_subgroup.wgsl`.

mod definition;
mod host;
mod lower;
mod rotary;

use crate::autograd::{Op, composed};
use crate::dtype::DType;
use crate::kernel::{Access, Cost, Dispatch, Kernel, Tolerance, Uniform, Variant};
use crate::ops::matmul::HALVES_OFF;
use crate::ops::random::Draw;
use crate::ops::reduce::KeepDims;
use crate::shape::{Layout, Shape};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, Write};

/// PyTorch's arguments of `scaled_dot_product_attention`, and its defaults.
#[derive(Debug, Clone, Default)]
pub struct AttentionOptions {
    /// Whether a query sees only keys up to its own position.
    pub is_causal: bool,
    /// Added to the scores `[.., queries, keys]`, to which it is broadcast; negative infinity hides a key. One of truth values
    /// (`bool`) is true where a key is *seen*, as in `scaled_dot_product_attention`; those of PyTorch's layers, which are true
    /// where it is hidden, are given by [`hidden`](AttentionOptions::hidden) and [`key_padding`](AttentionOptions::key_padding).
    /// Beside `is_causal`, both hide. One whose gradient is asked for goes by primitives.
    pub mask: Option<Tensor>,
    /// The factor of scores; 1 / sqrt(head_dim) where nothing is said.
    pub scale: Option<f32>,
    /// The probability with which a weight is dropped, the others growing (PyTorch's `dropout_p`), and the draw that tells
    /// which. It goes by primitives.
    pub dropout: Option<(f32, Draw)>,
    /// Whether keys and values may have fewer heads than queries, each for as many neighbouring ones (Ainslie et al., 2023):
    /// PyTorch's `enable_gqa`.
    pub enable_gqa: bool,
}

impl AttentionOptions {
    fn op(&self) -> Op {
        let mut op = Op::new("attention").with("is_causal", self.is_causal);
        if let Some(mask) = &self.mask {
            op = op.with("attn_mask", mask);
        }
        op = self.scale.into_iter().fold(op, |op, scale| op.with("scale", scale));
        self.dropout.iter().fold(op, |op, (p, _)| op.with("dropout_p", *p))
    }

    /// A query sees only keys up to its own position.
    pub fn causal() -> AttentionOptions {
        AttentionOptions { is_causal: true, ..AttentionOptions::default() }
    }

    /// The same, but keys past the length of their sequence are hidden: `lengths` `[batch]` (i32) of `keys` keys, for
    /// queries `[batch, heads, queries, head_dim]`. It adds `[batch, 1, 1, keys]` to a mask that is there.
    ///
    /// # Panics
    /// If the lengths are of another shape or type.
    #[track_caller]
    pub fn padded(self, lengths: &Tensor, keys: usize) -> AttentionOptions {
        let (shape, device) = (lengths.shape(), lengths.device());
        assert!(shape.rank() == 1, "padded: {shape}: expected lengths [batch] of i32 or i64");
        let lengths = lengths.indices("padded", "lengths");
        assert!(i32::try_from(keys).is_ok(), "padded: lengths of i32 cannot count {keys} keys");
        let hidden = Tensor::arange(0, keys as i32, device).ge(lengths.unsqueeze(1));
        self.hidden(&hidden.reshape_to(Shape::from([shape[0], 1, 1, keys])))
    }

    /// The same, but keys are hidden where `mask` is true, which is broadcast to the scores `[.., queries, keys]`: a mask of truth
    /// values as PyTorch's layers take it (`attn_mask` of `nn.MultiheadAttention`, `src_mask` of `nn.Transformer`). It is added to
    /// a mask that is there.
    ///
    /// ```
    /// use wgrad::{AttentionOptions, DType, Tensor};
    /// // PyTorch's torch.triu(torch.ones(3, 3), 1).bool()
    /// let ahead = Tensor::ones([3, 3], &wgrad::Device::cpu()).triu(1).cast(DType::Bool);
    /// let options = AttentionOptions::default().hidden(&ahead);
    /// ```
    ///
    /// What is not 0 counts as true. Floats that are meant to be added are a [`mask`](AttentionOptions::mask).
    #[track_caller]
    pub fn hidden(self, mask: &Tensor) -> AttentionOptions {
        let added = Tensor::zeros([], mask.device()).masked_fill(mask, f32::NEG_INFINITY);
        let mask = match self.added().mask {
            Some(mask) => mask.add(&added),
            None => added,
        };
        AttentionOptions { mask: Some(mask), ..self }
    }

    /// The same, but keys are hidden where `mask`, `[batch, keys]`, is true: PyTorch's `key_padding_mask` of
    /// `nn.MultiheadAttention`, `src_key_padding_mask` of `nn.Transformer`. Of lengths it is [`padded`](AttentionOptions::padded).
    ///
    /// # Panics
    /// If the mask is of another shape.
    #[track_caller]
    pub fn key_padding(self, mask: &Tensor) -> AttentionOptions {
        let shape = mask.shape();
        assert!(shape.rank() == 2, "key_padding: {shape}: expected a mask [batch, keys], true where a key is padding");
        self.hidden(&mask.reshape_to(Shape::from([shape[0], 1, 1, shape[1]])))
    }

    /// With a mask of truth values as one that is added: nothing where it is true, -infinity elsewhere.
    fn added(&self) -> AttentionOptions {
        let added = |mask: &Tensor| match mask.dtype() {
            DType::Bool => {
                mask.where_(&Tensor::zeros([], mask.device()), &Tensor::full([], f32::NEG_INFINITY, mask.device()))
            }
            _ => mask.clone(),
        };
        AttentionOptions { mask: self.mask.as_ref().map(added), ..self.clone() }
    }
}

const FORWARD_ACCESS: &[Access] = &[Read, Read, Read, Read, Write, Write];
const BACKWARD_ACCESS: &[Access] = &[Read, Read, Read, Read, Read, Read, Read, Write];

/// The struct `Attention` of the shaders. A place is the first vec4 and the strides of batch, head and row, in vec4.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable, Uniform)]
struct AttentionParams {
    queries: u32,
    keys: u32,
    heads: u32,
    batch: u32,
    scale: f32,
    causal: u32,
    /// The vec4 of a row.
    quads: u32,
    /// Invocations of a subgroup, where they matter.
    lanes: u32,
    /// The keys, or for dk and dv the queries, of one pass.
    first: u32,
    end: u32,
    /// The mask's stride of a key, in elements.
    mask_key: u32,
    masked: u32,
    q: [u32; 4],
    k: [u32; 4],
    v: [u32; 4],
    y: [u32; 4],
    dy: [u32; 4],
    dq: [u32; 4],
    dk: [u32; 4],
    dv: [u32; 4],
    /// In elements.
    mask: [u32; 4],
}

impl AttentionParams {
    /// Pairs of a query and a key that it sees, of all heads.
    fn pairs(&self) -> u64 {
        let [queries, keys] = [self.queries, self.keys].map(u64::from);
        let seen = if self.causal == 1 {
            let met = queries.min(keys);
            met * (met + 1) / 2 + (queries - met) * keys
        } else {
            queries * keys
        };
        seen * u64::from(self.heads) * u64::from(self.batch)
    }

    fn flops(&self, products: u64) -> u64 {
        2 * 4 * u64::from(self.quads) * products * self.pairs()
    }

    fn lse(&self) -> usize {
        (self.batch * self.heads * self.queries) as usize
    }

    /// The vec4 of a row of results that threads side by side have.
    fn across(&self) -> u32 {
        self.quads.next_power_of_two().max(8)
    }

    /// The rows that a workgroup of tiles takes.
    fn own_rows(&self) -> u32 {
        if self.across() == 8 { 64 } else { 32 }
    }
}

/// The most vec4 of a row that the shaders keep in registers.
const MAX_QUADS: usize = 32;

/// The cost of so many products for each pair; where there is no mask, the queries stand in its place.
fn cost(d: &Dispatch, products: u64) -> Cost {
    let p: AttentionParams = d.params();
    let stand_in = if p.masked == 1 { 0 } else { d.bindings[3].bytes };
    Cost { flops: p.flops(products), bytes: d.bytes() - stand_in }
}

/// For each head y = softmax(scale q k^T + mask) v, and lse.
static ATTENTION: Kernel = Kernel::new("attention", FORWARD_ACCESS, definition::forward, |d| cost(d, 2))
    .host(host::forward)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[2])
    .variants(&[
        Variant::new("cooperative", lower::forward_squares).fits(lower::fits_forward_squares).coarser(HALVES_OFF),
        Variant::new("subgroup", lower::forward_subgroup).fits(lower::fits_subgroup).suits(lower::suits_subgroup),
        Variant::new("tiles", lower::forward_tiles).fits(lower::fits_tiles),
    ]);

/// The gradients of q, k and v, in one buffer.
static ATTENTION_BACKWARD: Kernel =
    Kernel::new("attention_backward", BACKWARD_ACCESS, definition::backward, |d| cost(d, 5))
        .host(host::backward)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[6])
        .variants(&[
            Variant::new("cooperative", lower::backward_squares).fits(lower::fits_backward_squares).coarser(HALVES_OFF),
            Variant::new("subgroup", lower::backward_subgroup).fits(lower::fits_subgroup).suits(lower::suits_subgroup),
            Variant::new("tiles", lower::backward_tiles).fits(lower::fits_tiles),
        ]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&ATTENTION, &ATTENTION_BACKWARD];

/// Whether the kernels take it: a mask that asks for its gradient would need that of every weight.
fn is_fused(head_dim: usize, options: &AttentionOptions) -> bool {
    head_dim <= 4 * MAX_QUADS && options.dropout.is_none() && !options.mask.as_ref().is_some_and(Tensor::is_tracked)
}

/// The check that a mask broadcasts to the scores, queries and keys at its end.
#[track_caller]
fn check_mask(mask: &Tensor, scores: Shape) {
    let (shape, dtype) = (mask.shape(), mask.dtype());
    let fits = dtype.is_float() && mask.layout().expand(scores).is_some();
    assert!(
        fits,
        "scaled_dot_product_attention: a mask {shape} of {dtype}: expected floats that broadcast to {scores}"
    );
}

/// The places of the vec4 of [batch, heads, rows, head_dim], from `base` on; none where they are not whole vec4.
fn place(layout: &Layout, base: usize) -> Option<[u32; 4]> {
    let [batch, head, row, element] = layout.strides() else { return None };
    let at = [base, *batch, *head, *row];
    (*element == 1 && at.iter().all(|at| at % 4 == 0)).then(|| at.map(|at| at as u32 / 4))
}

/// The same elements where the kernels can walk them, and their place.
fn walkable(x: &Tensor) -> (Tensor, [u32; 4]) {
    let x = x.detach();
    match place(x.layout(), x.base()) {
        Some(place) => (x, place),
        None => {
            let x = x.contiguous();
            let place = place(x.layout(), x.base()).expect("rows are whole vec4");
            (x, place)
        }
    }
}

/// A fresh tensor [batch, heads, rows, head_dim] that lies in memory as [batch, rows, heads, head_dim].
fn merged(sizes: [usize; 4], x: &Tensor) -> Tensor {
    let [batch, heads, rows, head_dim] = sizes;
    x.new_empty([batch, rows, heads, head_dim]).permute(&[0, 2, 1, 3])
}

/// The tensors that a forward pass leaves for the gradient: the inputs, the mask or q in its place, y and lse, and the places.
struct Run {
    args: [Tensor; 6],
    p: AttentionParams,
}

impl Run {
    /// Runs on q, k and v, [batch, heads, rows, head_dim].
    fn new([q, k, v]: [&Tensor; 3], options: &AttentionOptions) -> Run {
        let (sizes, keys) = ([0, 1, 2, 3].map(|d| q.shape()[d]), k.shape()[2]);
        let [batch, heads, queries, head_dim] = sizes;
        let y = merged(sizes, q);
        let lse = Tensor::empty([batch, queries, heads], DType::F32, q.device());
        let [(q, of_q), (k, of_k), (v, of_v)] = [q, k, v].map(walkable);
        let (mask, of_mask) = match &options.mask {
            Some(mask) => {
                let mask = mask.detach().expand([batch, heads, queries, keys]);
                let steps: [usize; 4] = std::array::from_fn(|d| mask.layout().strides[d]);
                (mask, Some(steps.map(|step| step as u32)))
            }
            None => (q.clone(), None),
        };
        let [of_batch, of_head, of_query, of_key] = of_mask.unwrap_or_default();
        let p = AttentionParams {
            queries: queries as u32,
            keys: keys as u32,
            heads: heads as u32,
            batch: batch as u32,
            scale: options.scale.unwrap_or(1.0 / (head_dim as f32).sqrt()),
            causal: u32::from(options.is_causal),
            quads: head_dim as u32 / 4,
            masked: u32::from(of_mask.is_some()),
            mask: [mask.base() as u32, of_batch, of_head, of_query],
            mask_key: of_key,
            q: of_q,
            k: of_k,
            v: of_v,
            y: place(y.layout(), 0).expect("rows are whole vec4"),
            ..AttentionParams::zeroed()
        };
        Tensor::run(&ATTENTION, &[&q, &k, &v, &mask, &y, &lse], &p);
        Run { args: [q, k, v, mask, y, lse], p }
    }

    fn saved(&self) -> Run {
        Run { args: self.args.each_ref().map(Tensor::saved), p: self.p }
    }

    /// Writes the gradients to `grads`, each at its place.
    fn backward(&self, dy: &Tensor, grads: &Tensor, [dq, dk, dv]: [[u32; 4]; 3]) {
        let [q, k, v, mask, y, lse] = &self.args;
        let (dy, of_dy) = walkable(dy);
        let p = AttentionParams { dy: of_dy, dq, dk, dv, ..self.p };
        Tensor::run(&ATTENTION_BACKWARD, &[q, k, v, mask, y, lse, &dy, grads], &p);
    }
}

/// # Attention
impl Tensor {
    /// `softmax(scale q k^T + mask) v`: queries `[.., queries, head_dim]` (self) on keys and values
    /// `[.., keys, head_dim]` of the same batch, to `[.., queries, head_dim]`; batches broadcast, and the values' rows may be
    /// of another length than the keys'. A query whose scores are all -inf, as those of masked keys are, gives 0, and a
    /// gradient of 0, as in PyTorch.
    ///
    /// What `is_causal` hides has the weight 0 or is left out, as it suits the kernel. So an infinity or NaN in keys, values,
    /// queries or gradients may make NaN of what it is hidden from: PyTorch's own implementations differ there.
    ///
    /// Heads of up to 128 elements are one kernel whose memory grows with the rows, not with their square, unless a
    /// mask asks for its gradient. It reads masks and views that split heads as they are, and what it gives is merged
    /// into `[batch, rows, heads * head_dim]` without a copy; heads that are no multiple of 4 are copied for it.
    ///
    /// # Panics
    /// If the shapes do not fit, an element type is no float, or the mask does not broadcast to `[.., queries, keys]`.
    #[doc(alias("sdpa", "flash_attention"))]
    #[track_caller]
    pub fn scaled_dot_product_attention(&self, key: &Tensor, value: &Tensor, options: &AttentionOptions) -> Tensor {
        let [q, k, v] = [self, key, value].map(Tensor::shape);
        let title = "scaled_dot_product_attention";
        let is_deep = q.rank().min(k.rank()).min(v.rank()) >= 2;
        let fits = is_deep && q.last() == k.last() && k[k.rank() - 2] == v[v.rank() - 2];
        assert!(fits, "{title}: {q} x {k} x {v}: expected queries, keys and values [.., rows, head_dim] of one batch");
        if options.enable_gqa && is_deep && q.rank().min(k.rank()).min(v.rank()) >= 3 {
            let heads = |shape: &Shape| shape[shape.rank() - 3];
            let (all, keys, values) = (heads(&q), heads(&k), heads(&v));
            let whole = keys > 0 && values > 0 && all.is_multiple_of(keys) && all.is_multiple_of(values);
            assert!(whole, "{title}: {q} x {k} x {v}: expected a multiple of the heads of keys and values as queries");
            let more = |x: &Tensor, own: usize| x.repeat_interleave(all / own, -3);
            let options = AttentionOptions { enable_gqa: false, ..options.clone() };
            return self.scaled_dot_product_attention(&more(key, keys), &more(value, values), &options);
        }
        let batch_of = |shape: &Shape| Shape::new(&shape[..shape.rank() - 2]);
        let Some(batch) = batch_of(&q).broadcast(&batch_of(&k)).and_then(|both| both.broadcast(&batch_of(&v))) else {
            panic!("{title}: {q} x {k} x {v}: the batches do not broadcast")
        };
        if [q, k, v].iter().any(|shape| batch_of(shape) != batch) {
            let whole = |x: &Tensor| x.expand(Shape::from([&batch[..], &x.shape()[x.rank() - 2..]].concat()));
            return whole(self).scaled_dot_product_attention(&whole(key), &whole(value), options);
        }
        let rank = q.rank();
        for (what, x) in [("queries", self), ("keys", key), ("values", value)] {
            assert!(x.dtype().is_float(), "{title}: {what} of {}: expected floats", x.dtype());
        }
        let dtype = Tensor::promoted(title, &[self, key, value]);
        if [self, key, value].iter().any(|x| x.dtype() != dtype) {
            return self.cast(dtype).scaled_dot_product_attention(&key.cast(dtype), &value.cast(dtype), options);
        }
        let options = &options.added();
        let head_dim = q[rank - 1];
        let scores = Shape::from([&q[..rank - 1], &[k[rank - 2]]].concat());
        if let Some(mask) = &options.mask {
            check_mask(mask, scores);
        }
        let length = v[rank - 1];
        let whole_length = head_dim.max(length).next_multiple_of(4);
        if !is_fused(whole_length, options) || q.numel() * k.numel() * v.numel() == 0 {
            return self.attention_by_primitives(key, value, options);
        }
        if head_dim != whole_length || length != whole_length {
            // Zeros behind each row add nothing to a product.
            let whole = |x: &Tensor| x.pad(&[(0, whole_length - x.size(-1))], 0.0);
            let scale = options.scale.unwrap_or(1.0 / (head_dim as f32).sqrt());
            let options = AttentionOptions { scale: Some(scale), ..options.clone() };
            let y = whole(self).scaled_dot_product_attention(&whole(key), &whole(value), &options);
            return y.narrow(-1, 0, length);
        }
        if rank != 4 {
            // One head for each of a batch without heads; further dimensions are a part of the batch.
            let outer: usize = q[..rank - 2].iter().product();
            let (batch, heads) = if rank > 4 { (outer / q[rank - 3], q[rank - 3]) } else { (outer, 1) };
            let four = |x: &Tensor| x.reshape_to(Shape::from([batch, heads, x.shape()[rank - 2], x.shape()[rank - 1]]));
            let mask = options.mask.as_ref().map(|mask| four(&mask.expand(scores)));
            let options = AttentionOptions { mask, ..options.clone() };
            return four(self).scaled_dot_product_attention(&four(key), &four(value), &options).reshape_to(q);
        }
        let run = Run::new([self, key, value], options);
        let (saved, again) = (run.saved(), options.clone());
        let rows = [(0, self), (1, key), (2, value)].map(|(at, x): (usize, &Tensor)| run.args[at].saved_as(x));
        let y = run.args[4].clone();
        y.tracked(
            || options.op(),
            &[self, key, value],
            move |dy, needs| {
                let function = |x: &[Tensor]| x[0].attention_by_primitives(&x[1], &x[2], &again);
                if let Some(gradients) = composed(dy, needs, &rows.each_ref(), function) {
                    return gradients;
                }
                // Side by side, each in the order of memory of [batch, rows, heads, head_dim].
                let grads = dy.new_empty([q.numel() + 2 * k.numel()]);
                let part = |first: usize, shape: Shape| {
                    let [batch, heads, rows, head_dim] = [0, 1, 2, 3].map(|d| shape[d]);
                    grads
                        .narrow(0, first, shape.numel())
                        .reshape_to(Shape::from([batch, rows, heads, head_dim]))
                        .permute(&[0, 2, 1, 3])
                };
                let parts = [part(0, q), part(q.numel(), k), part(q.numel() + k.numel(), k)];
                let places =
                    parts.each_ref().map(|part| place(part.layout(), part.layout().offset).expect("whole vec4"));
                saved.backward(dy, &grads, places);
                parts.into_iter().zip(needs).map(|(part, needed)| needed.then_some(part)).collect()
            },
        )
    }

    /// [`Tensor::scaled_dot_product_attention`] of packed queries, keys and values: `[batch, rows, 3 * width]`, as one
    /// product gives them, with `heads` heads in each third, to `[batch, rows, width]`. The gradient is packed alike.
    ///
    /// # Panics
    /// If the last size is no multiple of 3 times the heads.
    #[doc(alias = "multi_head_attention_forward")]
    #[track_caller]
    pub fn self_attention(&self, heads: usize, options: &AttentionOptions) -> Tensor {
        let shape = self.shape();
        let fits = shape.rank() == 3 && heads > 0 && shape[2].is_multiple_of(heads.saturating_mul(3));
        assert!(fits, "self_attention: {shape}: expected [batch, rows, 3 * width] with a width of {heads} heads");
        let dtype = self.result_dtype("self_attention");
        if self.dtype() != dtype {
            return self.cast(dtype).self_attention(heads, options);
        }
        let [batch, rows, width] = [shape[0], shape[1], shape[2] / 3];
        let head_dim = width / heads;
        let split = move |x: &Tensor| {
            [0, 1, 2].map(|part| {
                let part = x.narrow(2, part * width, width);
                part.reshape_to(Shape::from([batch, rows, heads, head_dim])).permute(&[0, 2, 1, 3])
            })
        };
        let merge = move |y: &Tensor| y.permute(&[0, 2, 1, 3]).reshape_to(Shape::from([batch, rows, width]));
        let options = &options.added();
        if let Some(mask) = &options.mask {
            check_mask(mask, Shape::from([batch, heads, rows, rows]));
        }
        if !is_fused(head_dim, options) || !head_dim.is_multiple_of(4) || shape.numel() == 0 {
            let [q, k, v] = split(self);
            return merge(&q.scaled_dot_product_attention(&k, &v, options));
        }
        let [q, k, v] = split(&self.detach());
        let run = Run::new([&q, &k, &v], options);
        let (saved, packed, again) = (run.saved(), self.saved(), options.clone());
        merge(&run.args[4]).tracked(
            || options.op().with("heads", heads),
            &[self],
            move |dy, needs| {
                let function = |x: &[Tensor]| {
                    let [q, k, v] = split(&x[0]);
                    merge(&q.attention_by_primitives(&k, &v, &again))
                };
                if let Some(gradients) = composed(dy, needs, &[&packed], function) {
                    return gradients;
                }
                let grads = dy.new_empty(shape);
                let places = split(&grads).map(|part| place(part.layout(), part.layout().offset).expect("whole vec4"));
                let dy = dy.reshape_to(Shape::from([batch, rows, heads, head_dim])).permute(&[0, 2, 1, 3]);
                saved.backward(&dy, &grads, places);
                vec![Some(grads)]
            },
        )
    }

    /// [`Tensor::scaled_dot_product_attention`] that the kernels do not take.
    #[track_caller]
    fn attention_by_primitives(&self, key: &Tensor, value: &Tensor, options: &AttentionOptions) -> Tensor {
        let (rank, head_dim) = (self.rank(), self.size(-1));
        let scale = options.scale.unwrap_or(1.0 / (head_dim as f32).sqrt());
        let mut scores = self.matmul(&key.transpose(-2, -1)).affine(scale, 0.0);
        if options.is_causal {
            let [queries, keys] = [scores.shape()[rank - 2], scores.shape()[rank - 1]];
            let hidden = |i: usize| if i % keys > i / keys { f32::NEG_INFINITY } else { 0.0 };
            let mask: Vec<f32> = (0..queries * keys).map(hidden).collect();
            scores = scores.add(&Tensor::constant(&mask, [queries, keys], self.device()));
        }
        let kept = |weights: &Tensor| match &options.dropout {
            Some((p, draw)) => weights.dropout(*p, draw),
            None => weights.clone(),
        };
        let Some(mask) = &options.mask else { return kept(&scores.softmax(-1)).matmul(value) };
        scores = scores.add(mask);
        if scores.numel() == 0 {
            return scores.softmax(-1).matmul(value);
        }
        let hidden = scores.detach().amax(&[-1], KeepDims::Yes).eq_scalar(f32::NEG_INFINITY);
        kept(&scores.masked_fill(&hidden, 0.0).softmax(-1).masked_fill(&hidden, 0.0)).matmul(value)
    }
}
