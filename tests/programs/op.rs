//! What a step of a program does, as data: it can be run and printed as Rust.

use super::cases::{self, Case};
use std::sync::LazyLock;
use wgrad::KeepDims::{self, Yes};
use wgrad::ops::attention::AttentionOptions;
use wgrad::{
    AvgPool2dOptions, Conv2dOptions, ConvTranspose2dOptions, DType, Draw, EmbeddingOptions, Extreme, MaxPool2dOptions,
    Shape, Tensor, Upsampling,
};

/// A table's gradient as rows.
pub const SPARSE: EmbeddingOptions =
    EmbeddingOptions { padding: None, max_norm: None, norm_type: 2.0, scale_grad_by_freq: false, sparse: true };

/// Every case there is: a new operation joins by its cases.
pub static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases::all);

#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    One(usize),
    Two(usize),
    Affine(f32, f32),
    Reduce(usize, Vec<isize>, KeepDims),
    Along(usize, isize),
    Reshape(Vec<usize>),
    Permute(Vec<usize>),
    Narrow(isize, usize, usize),
    Expand(Vec<usize>),
    Pad(Vec<(usize, usize)>, f32),
    Diagonal(isize, isize),
    TopK(usize, isize, Extreme),
    Matmul,
    /// With or without a bias, by the number of operands.
    Linear,
    Cat(isize),
    Stack(usize),
    Select,
    Conv2d(Conv2dOptions),
    ConvTranspose2d(ConvTranspose2dOptions),
    MaxPool2d(MaxPool2dOptions),
    AvgPool2d(AvgPool2dOptions),
    AdaptiveAvgPool2d([usize; 2]),
    AdaptiveMaxPool2d([usize; 2]),
    Interpolate([usize; 2], Upsampling),
    LayerNorm(Vec<usize>),
    RmsNorm(Vec<usize>),
    GroupNorm(usize),
    BatchNorm,
    Attention(bool),
    Dropout(f32, u32),
    Embedding,
    /// With a gradient of rows.
    EmbeddingRows,
    IndexSelect(isize),
    Gather(isize),
    CrossEntropy,
    Cast(DType),
    Detach,
    /// The first operand in place by the second; the value is the first.
    Assign,
    /// The gradient of the first operand's sum with respect to the second, which is an input.
    Gradient,
    /// A case's function, by the number of the case.
    Case(usize),
}

type One = fn(&Tensor) -> Tensor;
type Two = fn(&Tensor, &Tensor) -> Tensor;
type Reduce = fn(&Tensor, &[isize], KeepDims) -> Tensor;
type Along = fn(&Tensor, isize) -> Tensor;

/// Calls, each with its text.
macro_rules! table {
    ([$($x:ident),*] $($call:expr),* $(,)?) => { table!(@all [$($x),*] $($call),*) };
    (@all $x:tt $($call:expr),*) => { &[$(table!(@one $x $call)),*] };
    (@one [$($x:ident),*] $call:expr) => { (stringify!($call), |$($x),*| $call) };
}

/// What is defined everywhere.
pub static ONES: &[(&str, One)] = table!(
    [x] x.exp(),
    x.abs(),
    x.sin(),
    x.cos(),
    x.tanh(),
    x.sigmoid(),
    x.relu(),
    x.leaky_relu(0.1),
    x.elu(0.7),
    x.gelu(),
    x.gelu_tanh(),
    x.silu(),
    x.softplus(),
    x.square(),
    x.clamp(-0.5, 1.0),
    x.erf(),
    x.hardtanh(-0.5, 1.0),
    x.relu6(),
    x.hardswish(),
    x.hardsigmoid(),
    x.softsign(),
    x.mish(),
    x.selu(),
    x.celu(0.7),
    x.logsigmoid(),
    x.threshold(0.3, -2.0),
    x.hardshrink(0.6),
    x.softshrink(0.6),
    x.tanhshrink(),
    x.atan(),
    x.asinh(),
    x.sinh(),
    x.cosh(),
    x.expm1(),
    x.sign(),
    x.round(),
    x.floor(),
    x.ceil(),
    x.trunc(),
    x.neg(),
    x.copy(),
    x.contiguous(),
    x.flatten(0),
    x.sum(),
    x.mean(),
    x.max(),
    x.min(),
    x.var(0),
);

/// What is defined above 0.
pub static POSITIVE: &[(&str, One)] = table!([x] x.log(), x.sqrt(), x.rsqrt(), x.reciprocal(), x.pow_scalar(2.5), x.pow_scalar(-1.0), x.pow_scalar(0.0), x.log1p(), x.log2(), x.log10());

/// Those with a broadcast, the last two with operands above 0.
pub static TWOS: &[(&str, Two)] = table!(
    [a, b] a.add(b),
    a.sub(b),
    a.mul(b),
    a.maximum(b),
    a.minimum(b),
    a.lt(b),
    a.le(b),
    a.gt(b),
    a.ge(b),
    a.eq(b),
    a.ne(b),
    a.div(b),
    a.pow(b),
);

pub static REDUCTIONS: &[(&str, Reduce)] = table!(
    [x, dims, keep] x.sum_dims(dims, keep),
    x.mean_dims(dims, keep),
    x.amax(dims, keep),
    x.amin(dims, keep),
    x.var_dims(dims, 0, keep),
    x.logsumexp(dims, keep),
    x.norm(dims, keep),
);

pub static ALONG: &[(&str, Along)] =
    table!([x, dim] x.softmax(dim), x.log_softmax(dim), x.cumsum(dim), x.flip(&[dim]), x.argmax(dim),);

fn one(at: usize) -> (&'static str, One) {
    ONES.iter().chain(POSITIVE).copied().nth(at).expect("an entry of the tables")
}

/// Without a layer's seed of its own: the mask depends on the stream and the step, which is an input.
pub fn draw(stream: u32, step: &Tensor) -> Draw {
    Draw { seed: 17, stream, step: step.clone(), offset: 0 }
}

pub fn attention(is_causal: bool) -> AttentionOptions {
    if is_causal { AttentionOptions::causal() } else { AttentionOptions::default() }
}

/// A case's function of tensors of the shapes that its inputs have before they are viewed.
pub fn case(name: &str, x: &[&Tensor]) -> Tensor {
    let case = CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case `{name}`"));
    let seen: Vec<Tensor> = case.inputs.iter().zip(x).map(|(input, base)| input.seen(base)).collect();
    (case.run)(&seen)
}

impl Op {
    /// Whether the gradient of a table may be rows, which not every optimizer takes.
    pub fn has_rows(&self) -> bool {
        match self {
            Op::Case(at) => CASES[*at].name.contains("with rows"),
            _ => *self == Op::EmbeddingRows,
        }
    }

    /// Whether it moves elements and computes nothing.
    pub fn is_exact(&self) -> bool {
        match self {
            Op::One(at) => matches!(one(*at).0, "x.copy()" | "x.contiguous()" | "x.flatten(0)" | "x.neg()"),
            Op::Reshape(_) | Op::Permute(_) | Op::Narrow(..) | Op::Expand(_) | Op::Pad(..) | Op::Diagonal(..) => true,
            Op::Cat(_) | Op::Stack(_) | Op::Detach | Op::Assign | Op::Cast(_) => true,
            Op::Embedding | Op::EmbeddingRows | Op::IndexSelect(_) | Op::Gather(_) | Op::Gradient => true,
            _ => false,
        }
    }

    /// The word under which it is counted.
    pub fn title(&self) -> String {
        match self {
            Op::One(at) => one(*at).0.to_string(),
            Op::Two(at) => TWOS[*at].0.to_string(),
            Op::Reduce(kind, ..) => REDUCTIONS[*kind].0.to_string(),
            Op::Along(kind, _) => ALONG[*kind].0.to_string(),
            Op::Case(at) => CASES[*at].name.clone(),
            other => format!("{other:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_string(),
        }
    }

    pub fn apply(&self, x: &[&Tensor]) -> Tensor {
        match self {
            Op::One(at) => one(*at).1(x[0]),
            Op::Two(at) => TWOS[*at].1(x[0], x[1]),
            Op::Affine(scale, shift) => x[0].affine(*scale, *shift),
            Op::Reduce(kind, dims, keep) => REDUCTIONS[*kind].1(x[0], dims, *keep),
            Op::Along(kind, dim) => ALONG[*kind].1(x[0], *dim),
            Op::Reshape(shape) => x[0].reshape_to(Shape::new(shape)),
            Op::Permute(order) => x[0].permute(order),
            Op::Narrow(dim, start, len) => x[0].narrow(*dim, *start, *len),
            Op::Expand(shape) => x[0].expand(Shape::new(shape)),
            Op::Pad(widths, value) => x[0].pad(widths, *value),
            Op::Diagonal(a, b) => x[0].diagonal(*a, *b),
            Op::TopK(k, dim, extreme) => x[0].topk(*k, *dim, *extreme).0,
            Op::Matmul => x[0].matmul(x[1]),
            Op::Linear => x[0].linear(x[1], x.get(2).copied()),
            Op::Cat(dim) => Tensor::cat(x, *dim),
            Op::Stack(dim) => Tensor::stack(x, *dim),
            Op::Select => Tensor::where_(&x[0].detach().gt(Tensor::zeros([], x[0].device())), x[1], x[2]),
            Op::Conv2d(options) => x[0].conv2d(x[1], x.get(2).copied(), *options),
            Op::ConvTranspose2d(options) => x[0].conv_transpose2d(x[1], x.get(2).copied(), *options),
            Op::MaxPool2d(options) => x[0].max_pool2d(*options),
            Op::AvgPool2d(options) => x[0].avg_pool2d(*options),
            Op::AdaptiveAvgPool2d(size) => x[0].adaptive_avg_pool2d(*size),
            Op::AdaptiveMaxPool2d(size) => x[0].adaptive_max_pool2d(*size),
            Op::Interpolate(size, mode) => x[0].interpolate(*size, *mode),
            Op::LayerNorm(sizes) => x[0].layer_norm(sizes, x.get(1).copied(), x.get(2).copied(), 0.1),
            Op::RmsNorm(sizes) => x[0].rms_norm(sizes, x.get(1).copied(), 0.1),
            Op::GroupNorm(groups) => x[0].group_norm(*groups, x.get(1).copied(), x.get(2).copied(), 0.1),
            Op::BatchNorm => x[0].batch_norm(x.get(1).copied(), x.get(2).copied(), 0.1).output,
            Op::Attention(causal) => x[0].scaled_dot_product_attention(x[1], x[2], &attention(*causal)),
            Op::Dropout(p, stream) => x[0].dropout(*p, &draw(*stream, x[1])),
            Op::Embedding => x[0].embedding(x[1]),
            Op::EmbeddingRows => x[0].embedding_with(x[1], &SPARSE),
            Op::IndexSelect(dim) => x[0].index_select(*dim, x[1]),
            Op::Gather(dim) => x[0].gather(*dim, x[1]),
            Op::CrossEntropy => x[0].cross_entropy(x[1]),
            Op::Cast(dtype) => x[0].cast(*dtype),
            Op::Detach => x[0].detach(),
            Op::Assign => {
                x[0].assign(x[1]);
                x[0].clone()
            }
            Op::Gradient => {
                let gradient = x[0].sum().backward().of(x[1]).map(Tensor::detach);
                gradient.expect("gradient: the sum depends on the input")
            }
            Op::Case(at) => case(&CASES[*at].name, x),
        }
    }

    /// The same as an expression in Rust.
    pub fn code(&self, x: &[String]) -> String {
        let first = &x[0];
        let others = || x[1..].iter().map(|name| format!("&{name}")).collect::<Vec<_>>();
        let some = |count: usize| {
            let given = others();
            (0..count).map(|at| given.get(at).map_or("None".into(), |name| format!("Some({name})"))).collect::<Vec<_>>()
        };
        let all = || x.iter().map(|name| format!("&{name}")).collect::<Vec<_>>().join(", ");
        match self {
            Op::One(at) => one(*at).0.replacen('x', first, 1),
            Op::Two(at) => TWOS[*at].0.replacen('a', first, 1).replace("(b)", &format!("({})", others()[0])),
            Op::Affine(scale, shift) => format!("{first}.affine({scale:?}, {shift:?})"),
            Op::Reduce(kind, dims, keep) => {
                let text = REDUCTIONS[*kind].0.replacen('x', first, 1).replace("dims,", &format!("&{dims:?},"));
                text.replace("keep)", if *keep == Yes { "Yes)" } else { "No)" })
            }
            Op::Along(kind, dim) => ALONG[*kind].0.replacen('x', first, 1).replace("dim", &dim.to_string()),
            Op::Reshape(shape) => format!("{first}.reshape_to(Shape::from({shape:?}))"),
            Op::Permute(order) => format!("{first}.permute(&{order:?})"),
            Op::Narrow(dim, start, len) => format!("{first}.narrow({dim}, {start}, {len})"),
            Op::Expand(shape) => format!("{first}.expand({shape:?})"),
            Op::Pad(widths, value) => format!("{first}.pad(&{widths:?}, {value:?})"),
            Op::Diagonal(a, b) => format!("{first}.diagonal({a}, {b})"),
            Op::TopK(k, dim, extreme) => format!("{first}.topk({k}, {dim}, Extreme::{extreme:?}).0"),
            Op::Matmul => format!("{first}.matmul({})", others()[0]),
            Op::Linear => format!("{first}.linear({}, {})", others()[0], some(2)[1]),
            Op::Cat(dim) => format!("Tensor::cat(&[{}], {dim})", all()),
            Op::Stack(dim) => format!("Tensor::stack(&[{}], {dim})", all()),
            Op::Select => {
                let mask = format!("{first}.detach().gt(&Tensor::zeros([], {first}.device()))");
                format!("Tensor::where_(&{mask}, {})", others().join(", "))
            }
            Op::Conv2d(options) => format!("{first}.conv2d({}, {}, {options:?})", others()[0], some(2)[1]),
            Op::ConvTranspose2d(options) => {
                format!("{first}.conv_transpose2d({}, {}, {options:?})", others()[0], some(2)[1])
            }
            Op::MaxPool2d(options) => format!("{first}.max_pool2d({options:?})"),
            Op::AvgPool2d(options) => format!("{first}.avg_pool2d({options:?})"),
            Op::AdaptiveAvgPool2d(size) => format!("{first}.adaptive_avg_pool2d({size:?})"),
            Op::AdaptiveMaxPool2d(size) => format!("{first}.adaptive_max_pool2d({size:?})"),
            Op::Interpolate(size, mode) => format!("{first}.interpolate({size:?}, Upsampling::{mode:?})"),
            Op::LayerNorm(sizes) => format!("{first}.layer_norm(&{sizes:?}, {}, 0.1)", some(2).join(", ")),
            Op::RmsNorm(sizes) => format!("{first}.rms_norm(&{sizes:?}, {}, 0.1)", some(1)[0]),
            Op::GroupNorm(groups) => format!("{first}.group_norm({groups}, {}, 0.1)", some(2).join(", ")),
            Op::BatchNorm => format!("{first}.batch_norm({}, 0.1).output", some(2).join(", ")),
            Op::Attention(causal) => {
                format!("{first}.scaled_dot_product_attention({}, &attention({causal}))", others().join(", "))
            }
            Op::Dropout(p, stream) => format!("{first}.dropout({p:?}, &draw({stream}, {}))", others()[0]),
            Op::Embedding => format!("{first}.embedding({})", others()[0]),
            Op::EmbeddingRows => format!("{first}.embedding_with({}, &SPARSE)", others()[0]),
            Op::IndexSelect(dim) => format!("{first}.index_select({dim}, {})", others()[0]),
            Op::Gather(dim) => format!("{first}.gather({dim}, {})", others()[0]),
            Op::CrossEntropy => format!("{first}.cross_entropy({})", others()[0]),
            Op::Cast(dtype) => format!("{first}.cast(DType::{dtype:?})"),
            Op::Detach => format!("{first}.detach()"),
            Op::Assign => format!("{{ {first}.assign({}); {first}.clone() }}", others()[0]),
            Op::Gradient => format!("{first}.sum().backward().of({}).expect(\"a gradient\").detach()", others()[0]),
            Op::Case(at) => format!("case({:?}, &[{}])", CASES[*at].name, all()),
        }
    }
}
