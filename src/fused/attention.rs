//! Scaled dot-product attention in the manner of Dao et al., 2022: no matrix of weights is kept, the gradient computes
//! them again from the logarithm of each row's sum. `shaders/attention.wgsl`, `shaders/attention_subgroup.wgsl`,
//! `shaders/attention_backward.wgsl`, `shaders/attention_backward_subgroup.wgsl`.

mod rotary;
mod twin;

use crate::dtype::DType;
use crate::kernel::{
    Access, Class, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Variant,
};
use crate::shape::{Layout, Shape};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, ReadWrite, Write};

/// PyTorch's arguments of `scaled_dot_product_attention`, and its defaults.
#[derive(Debug, Clone, Default)]
pub struct AttentionOptions {
    /// Whether a query sees only keys up to its own position.
    pub is_causal: bool,
    /// Added to the scores, `[.., queries, keys]`, broadcast over the batch; negative infinity hides a key.
    pub mask: Option<Tensor>,
    /// What scores are multiplied by; 1 / sqrt(head_dim) where nothing is said.
    pub scale: Option<f32>,
}

impl AttentionOptions {
    /// A query sees only keys up to its own position.
    pub fn causal() -> AttentionOptions {
        AttentionOptions { is_causal: true, ..AttentionOptions::default() }
    }
}

const FORWARD_ACCESS: &[Access] = &[Read, Read, Read, Write, Write];

static FORWARD: Shader =
    Shader { name: "attention", source: include_str!("../../shaders/attention.wgsl"), access: FORWARD_ACCESS };
static FORWARD_SUBGROUP: Shader = Shader {
    name: "attention_subgroup",
    source: include_str!("../../shaders/attention_subgroup.wgsl"),
    access: FORWARD_ACCESS,
};

const BACKWARD_ACCESS: &[Access] = &[Read, Read, Read, Read, Read, Read, ReadWrite, Write];

static BACKWARD: Shader = Shader {
    name: "attention_backward",
    source: include_str!("../../shaders/attention_backward.wgsl"),
    access: BACKWARD_ACCESS,
};
static BACKWARD_SUBGROUP: Shader = Shader {
    name: "attention_backward_subgroup",
    source: include_str!("../../shaders/attention_backward_subgroup.wgsl"),
    access: BACKWARD_ACCESS,
};

/// The struct `Attention` of the shaders. A place is the first vec4 and the strides of batch, head and row, in vec4.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Params {
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
    pad: [u32; 2],
    q: [u32; 4],
    k: [u32; 4],
    v: [u32; 4],
    y: [u32; 4],
    dy: [u32; 4],
    dq: [u32; 4],
    dk: [u32; 4],
    dv: [u32; 4],
}

impl Params {
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
}

/// The most vec4 of a row that the shaders keep in registers.
const MAX_QUADS: usize = 32;

fn fits_subgroup(info: &Info, d: &Dispatch) -> bool {
    // Longer rows, unrolled, keep a software adapter's compiler busy for half a minute.
    matches!(info.subgroup, Some(8 | 16)) && d.params::<Params>().quads <= 16
}

fn suits_subgroup(info: &Info, _: &Dispatch) -> bool {
    info.class != Class::Gpu
}

fn fits_tiles(info: &Info, _: &Dispatch) -> bool {
    info.max_threads >= 64 && info.max_shared_bytes >= 16 << 10
}

fn any(_: &Info, _: &Dispatch) -> bool {
    true
}

fn groups_of(p: &Params, rows: u32, per_group: u32) -> u64 {
    u64::from(rows.div_ceil(per_group)) * u64::from(p.heads) * u64::from(p.batch)
}

/// A pass for each part of the `others` rows that all own rows meet. With its loops over vec4, which compilers may or may
/// not unroll, and over lanes, an invocation walks less than 3 D4 + 5 iterations for each.
fn parts<'a>(p: &Params, others: u32, pass: impl Fn(&Params) -> Pass + 'a) -> impl Iterator<Item = Pass> + 'a {
    let (p, part) = (*p, 60_000 / (3 * p.quads + 5) / 64 * 64);
    (0..others).step_by(part as usize).map(move |first| pass(&Params { first, end: (first + part).min(others), ..p }))
}

fn forward_subgroup(info: &Info, d: &Dispatch) -> Lowering {
    let p = Params { lanes: info.subgroup.unwrap_or(8), ..d.params() };
    let pass = |p: &Params| {
        Pass::new(&FORWARD_SUBGROUP, "attention_subgroup", groups_of(p, p.queries, 2 * p.lanes))
            .constant("LANES", Constant::U32(p.lanes))
            .constant("D4", Constant::U32(p.quads))
            .params(p)
    };
    Lowering { passes: parts(&p, p.keys, pass).collect(), scratch: Vec::new() }
}

/// Rows of two tensors that `vec4` of shared memory hold, a multiple of 4.
fn tile(p: &Params, vec4: u32) -> Constant {
    Constant::U32((vec4 / p.quads / 4 * 4).clamp(4, 32))
}

fn forward_tiles(_: &Info, d: &Dispatch) -> Lowering {
    let p: Params = d.params();
    let pass = |p: &Params| {
        Pass::new(&FORWARD, "attention", groups_of(p, p.queries, 64))
            .constant("D4", Constant::U32(p.quads))
            .constant("TILE", tile(p, 512))
            .params(p)
    };
    Lowering { passes: parts(&p, p.keys, pass).collect(), scratch: Vec::new() }
}

/// c = a b for each head: y = softmax(scale q k^T) v, and lse.
static ATTENTION: Kernel = Kernel {
    name: "attention",
    access: FORWARD_ACCESS,
    twin: twin::forward,
    cost: |d| Cost { flops: d.params::<Params>().flops(2), bytes: d.bytes() },
    tolerance: Tolerance::SUMMED,
    rewrites: &[],
    variants: &[
        Variant { name: "subgroup", fits: fits_subgroup, suits: suits_subgroup, lower: forward_subgroup },
        Variant { name: "tiles", fits: fits_tiles, suits: any, lower: forward_tiles },
    ],
};

/// The passes for dq, then those for dk and dv; the first leave the sums of dy y for the others. A pass is made of its
/// parameters and own rows.
fn backward(p: &Params, of_queries: impl Fn(&Params, u32) -> Pass, of_keys: impl Fn(&Params, u32) -> Pass) -> Lowering {
    let [q, k, v, y, lse, dy, grads] = std::array::from_fn(Slot::Arg);
    let delta = Slot::Scratch(0);
    let constant = Constant::U32(p.quads);
    let own_queries = |p: &Params| {
        let slots = [q, dy, k, v, y, lse, delta, grads];
        of_queries(p, p.queries).constant("D4", constant).slots(&slots).params(p)
    };
    let own_keys = |p: &Params| {
        let slots = [k, v, q, dy, y, lse, delta, grads];
        of_keys(p, p.keys).constant("D4", constant).slots(&slots).params(p)
    };
    let passes = parts(p, p.keys, own_queries).chain(parts(p, p.queries, own_keys)).collect();
    Lowering { passes, scratch: vec![p.lse() as u64 * 4] }
}

fn backward_subgroup(info: &Info, d: &Dispatch) -> Lowering {
    let p = Params { lanes: info.subgroup.unwrap_or(8), ..d.params() };
    let pass = |entry| {
        move |p: &Params, rows| {
            let pass = Pass::new(&BACKWARD_SUBGROUP, entry, groups_of(p, rows, 2 * p.lanes));
            pass.constant("LANES", Constant::U32(p.lanes))
        }
    };
    backward(&p, pass("attention_backward_queries_subgroup"), pass("attention_backward_keys_subgroup"))
}

fn backward_tiles(_: &Info, d: &Dispatch) -> Lowering {
    let p: Params = d.params();
    let pass = |entry| {
        move |p: &Params, rows| Pass::new(&BACKWARD, entry, groups_of(p, rows, 64)).constant("TILE", tile(p, 480))
    };
    backward(&p, pass("attention_backward_queries"), pass("attention_backward_keys"))
}

/// The gradients of q, k and v, in one buffer.
static ATTENTION_BACKWARD: Kernel = Kernel {
    name: "attention_backward",
    access: &[Read, Read, Read, Read, Read, Read, Write],
    twin: twin::backward,
    cost: |d| Cost { flops: d.params::<Params>().flops(5), bytes: d.bytes() },
    tolerance: Tolerance::SUMMED,
    rewrites: &[],
    variants: &[
        Variant { name: "subgroup", fits: fits_subgroup, suits: suits_subgroup, lower: backward_subgroup },
        Variant { name: "tiles", fits: fits_tiles, suits: any, lower: backward_tiles },
    ],
};

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&ATTENTION, &ATTENTION_BACKWARD];

/// Whether the kernels take it.
fn is_fused(head_dim: usize, options: &AttentionOptions) -> bool {
    head_dim.is_multiple_of(4) && head_dim <= 4 * MAX_QUADS && options.mask.is_none()
}

/// Where the vec4 of [batch, heads, rows, head_dim] lie, from `base` on; none where they are not whole vec4.
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
    Tensor::empty([batch, rows, heads, head_dim], DType::F32, x.device()).permute(&[0, 2, 1, 3])
}

/// What a forward pass leaves for the gradient: the inputs, y and lse, and the places.
struct Run {
    args: [Tensor; 5],
    p: Params,
}

impl Run {
    /// Runs on q, k and v, [batch, heads, rows, head_dim].
    fn new([q, k, v]: [&Tensor; 3], options: &AttentionOptions) -> Run {
        let (sizes, keys) = ([0, 1, 2, 3].map(|d| q.shape()[d]), k.shape()[2]);
        let [batch, heads, queries, head_dim] = sizes;
        let y = merged(sizes, q);
        let lse = Tensor::empty([batch, queries, heads], DType::F32, q.device());
        let [(q, of_q), (k, of_k), (v, of_v)] = [q, k, v].map(walkable);
        let p = Params {
            queries: queries as u32,
            keys: keys as u32,
            heads: heads as u32,
            batch: batch as u32,
            scale: options.scale.unwrap_or(1.0 / (head_dim as f32).sqrt()),
            causal: u32::from(options.is_causal),
            quads: head_dim as u32 / 4,
            q: of_q,
            k: of_k,
            v: of_v,
            y: place(y.layout(), 0).expect("rows are whole vec4"),
            ..Params::zeroed()
        };
        Tensor::run(&ATTENTION, &[&q, &k, &v, &y, &lse], &p);
        Run { args: [q, k, v, y, lse], p }
    }

    fn saved(&self) -> Run {
        Run { args: self.args.each_ref().map(Tensor::saved), p: self.p }
    }

    /// Writes the gradients to `grads`, each at its place.
    fn backward(&self, dy: &Tensor, grads: &Tensor, [dq, dk, dv]: [[u32; 4]; 3]) {
        let [q, k, v, y, lse] = &self.args;
        let (dy, of_dy) = walkable(dy);
        let p = Params { dy: of_dy, dq, dk, dv, ..self.p };
        Tensor::run(&ATTENTION_BACKWARD, &[q, k, v, y, lse, &dy, grads], &p);
    }
}

impl Tensor {
    /// `softmax(scale q k^T + mask) v`: queries `[.., queries, head_dim]` (self) on keys and values `[.., keys, head_dim]`
    /// of the same batch, to `[.., queries, head_dim]`. Without a mask it is one kernel whose memory grows with the
    /// rows, not with their square; it reads views that split heads as they are, and what it gives is merged into
    /// `[batch, rows, heads * head_dim]` without a copy.
    ///
    /// # Panics
    /// If the shapes do not fit, or a causal mask is asked for beside another.
    #[track_caller]
    pub fn scaled_dot_product_attention(&self, key: &Tensor, value: &Tensor, options: &AttentionOptions) -> Tensor {
        let [q, k, v] = [self, key, value].map(Tensor::shape);
        let rank = q.rank();
        let title = "scaled_dot_product_attention";
        assert!(
            rank >= 2 && k == v && k.rank() == rank && q[..rank - 2] == k[..rank - 2] && q[rank - 1] == k[rank - 1],
            "{title}: {q} x {k} x {v}: queries, keys and values [.., rows, head_dim] of one batch are due"
        );
        assert!(
            !options.is_causal || options.mask.is_none(),
            "{title}: a causal mask is asked for beside another: add them"
        );
        let head_dim = q[rank - 1];
        if !is_fused(head_dim, options) || q.numel() * k.numel() == 0 {
            return self.attention_definition(key, value, options);
        }
        if rank != 4 {
            // One head for each of a batch without heads; further dimensions are a part of the batch.
            let outer: usize = q[..rank - 2].iter().product();
            let (batch, heads) = if rank > 4 { (outer / q[rank - 3], q[rank - 3]) } else { (outer, 1) };
            let four = |x: &Tensor| x.reshape_to(Shape::from([batch, heads, x.shape()[rank - 2], head_dim]));
            return four(self).scaled_dot_product_attention(&four(key), &four(value), options).reshape_to(q);
        }
        let run = Run::new([self, key, value], options);
        let saved = run.saved();
        let y = run.args[3].clone();
        y.tracked("attention", &[self, key, value], move |dy, needs| {
            // Side by side, each in the order of memory of [batch, rows, heads, head_dim].
            let grads = Tensor::empty([q.numel() + 2 * k.numel()], DType::F32, dy.device());
            let part = |first: usize, shape: Shape| {
                let [batch, heads, rows, head_dim] = [0, 1, 2, 3].map(|d| shape[d]);
                grads
                    .narrow(0, first, shape.numel())
                    .reshape_to(Shape::from([batch, rows, heads, head_dim]))
                    .permute(&[0, 2, 1, 3])
            };
            let parts = [part(0, q), part(q.numel(), k), part(q.numel() + k.numel(), k)];
            let places = parts.each_ref().map(|part| place(part.layout(), part.layout().offset).expect("whole vec4"));
            saved.backward(dy, &grads, places);
            parts.into_iter().zip(needs).map(|(part, needed)| needed.then_some(part)).collect()
        })
    }

    /// [`Tensor::scaled_dot_product_attention`] of packed queries, keys and values: `[batch, rows, 3 * width]`, as one
    /// product gives them, with `heads` heads in each third, to `[batch, rows, width]`. The gradient is packed alike.
    ///
    /// # Panics
    /// If the last size is no multiple of 3 times the heads.
    #[track_caller]
    pub fn self_attention(&self, heads: usize, options: &AttentionOptions) -> Tensor {
        let shape = self.shape();
        let fits = shape.rank() == 3 && heads > 0 && shape[2].is_multiple_of(3 * heads);
        assert!(fits, "self_attention: {shape}: [batch, rows, 3 * width] with a width of {heads} heads is due");
        let [batch, rows, width] = [shape[0], shape[1], shape[2] / 3];
        let head_dim = width / heads;
        let split = move |x: &Tensor| {
            [0, 1, 2].map(|part| {
                let part = x.narrow(2, part * width, width);
                part.reshape_to(Shape::from([batch, rows, heads, head_dim])).permute(&[0, 2, 1, 3])
            })
        };
        let merge = |y: &Tensor| y.permute(&[0, 2, 1, 3]).reshape_to(Shape::from([batch, rows, width]));
        if !is_fused(head_dim, options) || shape.numel() == 0 {
            let [q, k, v] = split(self);
            return merge(&q.scaled_dot_product_attention(&k, &v, options));
        }
        let [q, k, v] = split(&self.detach());
        let run = Run::new([&q, &k, &v], options);
        let saved = run.saved();
        merge(&run.args[3]).tracked("attention", &[self], move |dy, _| {
            let grads = Tensor::empty(shape, DType::F32, dy.device());
            let places = split(&grads).map(|part| place(part.layout(), part.layout().offset).expect("whole vec4"));
            let dy = dy.reshape_to(Shape::from([batch, rows, heads, head_dim])).permute(&[0, 2, 1, 3]);
            saved.backward(&dy, &grads, places);
            vec![Some(grads)]
        })
    }

    /// The definition of [`Tensor::scaled_dot_product_attention`] in primitives.
    #[track_caller]
    pub fn attention_definition(&self, key: &Tensor, value: &Tensor, options: &AttentionOptions) -> Tensor {
        let (rank, head_dim) = (self.rank(), self.size(-1));
        let scale = options.scale.unwrap_or(1.0 / (head_dim as f32).sqrt());
        let mut scores = self.matmul(&key.transpose(-2, -1)).affine(scale, 0.0);
        if options.is_causal {
            let [queries, keys] = [scores.shape()[rank - 2], scores.shape()[rank - 1]];
            let hidden = |i: usize| if i % keys > i / keys { f32::NEG_INFINITY } else { 0.0 };
            let mask: Vec<f32> = (0..queries * keys).map(hidden).collect();
            scores = scores.add(&Tensor::constant(&mask, [queries, keys], self.device()));
        }
        if let Some(mask) = &options.mask {
            scores = scores.add(mask);
        }
        scores.softmax(-1).matmul(value)
    }
}
