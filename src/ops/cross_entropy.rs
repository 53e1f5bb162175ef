//! The loss of a classifier, from logits: `shaders/cross_entropy.wgsl`, `shaders/cross_entropy_backward.wgsl`.

mod host;

use crate::autograd::{Op, composed};
use crate::dtype::DType;
use crate::kernel::{
    Access, Call, Constant, Dispatch, Info, Kernel, Lowering, Pass, Shader, Tolerance, Uniform, Variant, groups,
    parallel, shader,
};
use crate::ops::reduce::KeepDims;
use crate::ops::reduction::Reduction;
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// PyTorch's arguments of `cross_entropy`, and its defaults.
#[derive(Debug, Clone)]
pub struct CrossEntropyOptions {
    /// A weight for each class, `[classes]`.
    pub weight: Option<Tensor>,
    /// Rows with this label count nothing.
    pub ignore_index: i32,
    /// The part of the target that is spread over all classes (Szegedy et al., 2016).
    pub label_smoothing: f32,
    /// The reduction of the losses.
    pub reduction: Reduction,
}

impl CrossEntropyOptions {
    fn op(&self, op: &'static str) -> Op {
        let op = Op::new(op).with("ignore_index", self.ignore_index).with("label_smoothing", self.label_smoothing);
        let op = op.with("reduction", format!("{:?}", self.reduction));
        self.weight.iter().fold(op, |op, weight| op.with("weight", weight))
    }
}

impl Default for CrossEntropyOptions {
    fn default() -> CrossEntropyOptions {
        CrossEntropyOptions { weight: None, ignore_index: -100, label_smoothing: 0.0, reduction: Reduction::Mean }
    }
}

use Access::{Read, Write};

static FORWARD: Shader = shader!("cross_entropy", ["halves"], &[Read, Read, Read, Write, Write]);

static BACKWARD: Shader = shader!("cross_entropy_backward", ["halves"], &[Read, Read, Read, Read, Read, Write]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct CrossEntropyParams {
    rows: u32,
    classes: u32,
    ignore: i32,
    smoothing: f32,
    mean: u32,
    each: u32,
    /// Whether there are class weights; where not, something else is bound in their place.
    weighted: u32,
    /// Whether the input are log-probabilities already.
    logged: u32,
}

/// Classes that one invocation may walk four times without passing 65,535 iterations.
const MAX_CLASSES: u32 = 16_383;

/// Rows that one workgroup may add up: 256 at a time, in under 65,535 iterations.
const MAX_ROWS: u32 = 15 << 20;

fn fits(_: &Info, d: &Dispatch) -> bool {
    let p: CrossEntropyParams = d.params();
    p.classes <= MAX_CLASSES && p.rows <= MAX_ROWS
}

fn specialised(pass: Pass, p: &CrossEntropyParams) -> Pass {
    pass.constant("WEIGHTED", Constant::Bool(p.weighted == 1)).constant("LOGITS", Constant::Bool(p.logged == 0))
}

fn two(d: &Dispatch) -> Lowering {
    let p: CrossEntropyParams = d.params();
    let rows = Pass::new(&FORWARD, "cross_entropy_rows", groups(p.rows as usize, 256));
    let finish = Pass::new(&FORWARD, "cross_entropy_finish", 1);
    let passes = [rows, finish].map(|pass| specialised(pass.elements(&["X", "", "W"]), &p));
    Lowering { passes: passes.into(), scratch: Vec::new() }
}

static CROSS_ENTROPY: Kernel =
    Kernel::new("cross_entropy", FORWARD.access, forward_definition, |d| d.cost(4 * d.len(0) as u64))
        .host(host::forward)
        .tolerance(Tolerance::SUMMED)
        .variants(&[
            Variant::new("whole", |_, d| {
                specialised(Pass::new(&FORWARD, "cross_entropy_whole", 1).elements(&["X", "", "W"]), &d.params())
                    .alone()
            })
            // One invocation's rows times three walks over the classes stay under 65,535 iterations.
            .fits(|i, d| {
                fits(i, d)
                    && d.params::<CrossEntropyParams>().rows.div_ceil(256)
                        * (3 * d.params::<CrossEntropyParams>().classes + 1)
                        < 60_000
            })
            .suits(|_, d| {
                d.params::<CrossEntropyParams>().rows <= 1024 && d.params::<CrossEntropyParams>().classes <= 64
            }),
            Variant::new("two", |_, d| two(d)).fits(fits),
        ]);

static CROSS_ENTROPY_BACKWARD: Kernel =
    Kernel::new("cross_entropy_backward", BACKWARD.access, backward_definition, |d| d.cost(6 * d.len(0) as u64))
        .host(host::backward)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[4])
        .variants(&[Variant::new("rows", |_, d| {
            let p: CrossEntropyParams = d.params();
            let pass = Pass::new(&BACKWARD, "cross_entropy_backward", groups(p.rows as usize, 64));
            // Halves share words, and no word has two writers.
            let pass = match p.classes.is_multiple_of(2) {
                true => pass.elements(&["X", "", "W", "", "", "DX"]),
                false => pass.elements(&["X", "", "W"]).constant("DX", Constant::Element(DType::F32)),
            };
            specialised(pass, &p).alone()
        })
        .fits(fits)]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&CROSS_ENTROPY, &CROSS_ENTROPY_BACKWARD];

/// The meaning of a row's label.
enum Target {
    Class(usize),
    /// The row counts nothing.
    Ignored,
    /// No class has this number: the loss is NaN.
    Outside,
}

fn target(label: i32, p: &CrossEntropyParams) -> Target {
    match usize::try_from(label) {
        _ if label == p.ignore => Target::Ignored,
        Ok(class) if class < p.classes as usize => Target::Class(class),
        _ => Target::Outside,
    }
}

/// The logarithm of the sum of exponentials: what log-probabilities have lost already.
fn log_sum_exp(x: &[f32], p: &CrossEntropyParams) -> f64 {
    if p.logged == 1 {
        return 0.0;
    }
    let top = f64::from(x.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x)));
    top + x.iter().map(|&x| (f64::from(x) - top).exp()).sum::<f64>().ln()
}

fn forward_definition(call: &mut Call) {
    let (p, x, labels, w) =
        (call.params::<CrossEntropyParams>(), call.read::<f32>(0), call.read::<i32>(1), call.read::<f32>(2));
    let (rows, classes) = (p.rows as usize, p.classes as usize);
    let weight = |c: usize| if p.weighted == 1 { f64::from(w[c]) } else { 1.0 };
    let smoothing = f64::from(p.smoothing);
    let (losses, weights) = call.write::<f32>(3).split_at_mut(rows);
    let mut sums = (0.0, 0.0);
    for row in 0..rows {
        let x = &x[row * classes..][..classes];
        let (loss, own) = match target(labels[row], &p) {
            Target::Ignored => (0.0, 0.0),
            Target::Outside => (f64::NAN, f64::NAN),
            Target::Class(c) => {
                let lse = log_sum_exp(x, &p);
                let own = (1.0 - smoothing) * (weight(c) * (lse - f64::from(x[c])));
                // Without smoothing the others are no part of it: their terms may be infinite.
                let each = x.iter().enumerate().filter(|_| smoothing > 0.0);
                let others: f64 = each.map(|(c, &x)| weight(c) * (lse - f64::from(x))).sum();
                (own + smoothing / classes as f64 * others, weight(c))
            }
        };
        losses[row] = loss as f32;
        weights[row] = own as f32;
        sums = (sums.0 + loss, sums.1 + own);
    }
    let total = if p.mean == 1 { sums.1 } else { 1.0 };
    call.write::<f32>(4).copy_from_slice(&[(sums.0 / total) as f32, total as f32]);
}

fn backward_definition(call: &mut Call) {
    let (p, x, labels, w) =
        (call.params::<CrossEntropyParams>(), call.read::<f32>(0), call.read::<i32>(1), call.read::<f32>(2));
    let (result, dy) = (call.read::<f32>(3), call.read::<f32>(4));
    let classes = p.classes as usize;
    let weight = |c: usize| if p.weighted == 1 { f64::from(w[c]) } else { 1.0 };
    let share = f64::from(p.smoothing) / classes as f64;
    parallel::rows(call.write::<f32>(5), classes, |row, dx| {
        let x = &x[row * classes..][..classes];
        let class = match target(labels[row], &p) {
            Target::Ignored => return dx.fill(0.0),
            Target::Outside => return dx.fill(f32::NAN),
            Target::Class(class) => class,
        };
        let scale = if p.each == 1 { f64::from(dy[row]) } else { f64::from(dy[0]) / f64::from(result[1]) };
        let lse = log_sum_exp(x, &p);
        let own = (1.0 - f64::from(p.smoothing)) * weight(class);
        let all = own + (0..classes).map(|c| share * weight(c)).sum::<f64>();
        for (c, (dx, &x)) in dx.iter_mut().zip(x).enumerate() {
            let hit = if c == class { own } else { 0.0 };
            // Log-probabilities move nothing but the loss's own terms.
            let softmax = if p.logged == 1 { 0.0 } else { all * (f64::from(x) - lse).exp() };
            *dx = (scale * (softmax - hit - share * weight(c))) as f32;
        }
    });
}

/// The reduction of the losses of rows by their weights.
fn reduced([losses, weights]: [Tensor; 2], options: &CrossEntropyOptions, labels: Shape) -> Tensor {
    match options.reduction {
        Reduction::None => losses.reshape_to(labels),
        Reduction::Mean => losses.sum().div(&weights.sum()),
        Reduction::Sum => losses.sum(),
        Reduction::BatchMean => losses.sum().affine(1.0 / labels.first().copied().unwrap_or(1) as f32, 0.0),
    }
}

/// The dimension of the classes: the second, or the only one.
fn class_dim(x: Shape) -> usize {
    usize::from(x.rank() > 1)
}

#[track_caller]
fn check(op: &str, x: Shape, classes: usize, options: &CrossEntropyOptions) {
    if let Some(weight) = &options.weight {
        let w = weight.shape();
        assert!(w[..] == [classes], "{op}: {x} x {w}: expected a weight for each of {classes} classes");
    }
    let smoothing = options.label_smoothing;
    assert!((0.0..=1.0).contains(&smoothing), "{op}: a label smoothing of {smoothing} is not in 0..=1");
}

/// # Losses of classes
impl Tensor {
    /// The mean cross-entropy of logits `[rows, classes]` and labels (i32) `[rows]`; rows labelled -100 count nothing,
    /// a label that is no class gives NaN. Logits `[classes]` with a label `[]`, and `[n, classes, ..]` with labels
    /// `[n, ..]`, are taken as PyTorch takes them.
    ///
    /// # Panics
    /// If the shapes do not fit or the labels are not i32.
    #[doc(alias("CrossEntropyLoss", "sparse_categorical_crossentropy"))]
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Tensor) -> Tensor {
        self.cross_entropy_with(labels, &CrossEntropyOptions::default())
    }

    /// [`Tensor::cross_entropy`] with weights, smoothing, another label to ignore or another reduction.
    ///
    /// # Panics
    /// If the shapes do not fit, the labels are not i32, or the smoothing is not in 0..=1.
    #[track_caller]
    pub fn cross_entropy_with(&self, labels: &Tensor, options: &CrossEntropyOptions) -> Tensor {
        self.classified("cross_entropy", labels, options, false)
    }

    /// The mean of `-x[label]` of log-probabilities `[rows, classes]`, as [`Tensor::log_softmax`] gives them;
    /// [`Tensor::cross_entropy`] does both at once.
    ///
    /// # Panics
    /// If the shapes do not fit or the labels are not i32.
    #[doc(alias = "NLLLoss")]
    #[track_caller]
    pub fn nll_loss(&self, labels: &Tensor) -> Tensor {
        self.nll_loss_with(labels, &CrossEntropyOptions::default())
    }

    /// [`Tensor::nll_loss`] with weights, another label to ignore or another reduction.
    ///
    /// # Panics
    /// If the shapes do not fit, the labels are not i32, or a smoothing is asked for.
    #[track_caller]
    pub fn nll_loss_with(&self, labels: &Tensor, options: &CrossEntropyOptions) -> Tensor {
        assert!(options.label_smoothing == 0.0, "nll_loss: smoothing needs cross_entropy");
        self.classified("nll_loss", labels, options, true)
    }

    #[track_caller]
    fn classified(&self, op: &'static str, labels: &Tensor, options: &CrossEntropyOptions, logged: bool) -> Tensor {
        let (x, y) = (self.shape(), labels.shape());
        let others = if x.rank() < 2 { Vec::new() } else { [&x[..1], &x[2..]].concat() };
        let fits = x.rank() > 0 && others == y[..] && x[class_dim(x)] > 0;
        assert!(fits, "{op}: {x} x {y}: expected logits [rows, classes] and labels [rows]");
        assert!(self.dtype().is_float(), "{op}: expected logits of floats, got {}", self.dtype());
        let (dtype, labels) = (self.result_dtype(op), &labels.indices(op, "labels"));
        let classes = x[class_dim(x)];
        check(op, x, classes, options);
        let logits = self.classes_last().reshape_to(Shape::from([y.numel(), classes])).contiguous();
        let (rows, each) = (y.numel(), options.reduction == Reduction::None);
        if classes > MAX_CLASSES as usize || rows > MAX_ROWS as usize {
            let losses = logits.cast(DType::F32).many_classes(&labels.reshape_to(Shape::from([rows])), options, logged);
            return reduced(losses, options, y).cast(dtype);
        }
        let p = CrossEntropyParams {
            rows: rows as u32,
            classes: classes as u32,
            ignore: options.ignore_index,
            smoothing: options.label_smoothing,
            mean: u32::from(options.reduction == Reduction::Mean),
            each: u32::from(each),
            weighted: u32::from(options.weight.is_some()),
            logged: u32::from(logged),
        };
        let weight = options.weight.as_ref().map_or(logits.detach(), |w| w.detach().contiguous());
        let labels = labels.reshape_to(Shape::from([rows])).contiguous();
        let losses = Tensor::empty([2, rows], DType::F32, self.device());
        let result = Tensor::empty([2], DType::F32, self.device());
        Tensor::run(&CROSS_ENTROPY, &[&logits.detach(), &labels, &weight, &losses, &result], &p);
        let out = if each { losses.narrow(0, 0, 1).squeeze(0) } else { result.narrow(0, 0, 1).squeeze(0) };
        let (x, saved, weight, result) = (logits.saved(), labels.saved(), weight.saved(), result.saved());
        let own = CrossEntropyOptions {
            // What divides a batch comes after.
            reduction: if options.reduction == Reduction::BatchMean { Reduction::Sum } else { options.reduction },
            ..options.clone()
        };
        let out = out.tracked(
            || options.op(op).with("labels", &labels),
            &[&logits],
            move |dy, needs| {
                let again = |x: &[Tensor]| {
                    reduced(x[0].cast(DType::F32).many_classes(&saved, &own, logged), &own, saved.shape())
                };
                if let Some(gradients) = composed(dy, needs, &[&x], again) {
                    return gradients;
                }
                let dx = x.new_empty(x.shape());
                Tensor::run(&CROSS_ENTROPY_BACKWARD, &[&x, &saved, &weight, &result, &dy.contiguous(), &dx], &p);
                vec![Some(dx)]
            },
        );
        let out = match options.reduction {
            Reduction::None => out.reshape_to(y),
            Reduction::BatchMean => out.affine(1.0 / y.first().copied().unwrap_or(1) as f32, 0.0),
            Reduction::Mean | Reduction::Sum => out,
        };
        out.cast(dtype)
    }

    /// The losses of rows and their weights, in primitives, for more classes than an invocation walks.
    fn many_classes(&self, labels: &Tensor, options: &CrossEntropyOptions, logged: bool) -> [Tensor; 2] {
        let (classes, smoothing) = (self.size(1), options.label_smoothing);
        let logs = if logged { self.clone() } else { self.log_softmax(-1) };
        let weight = options.weight.as_ref().map(Tensor::detach);
        let nothing = Tensor::zeros([], self.device());
        // Labels outside gather NaN; rows that count nothing are replaced as a whole.
        let own =
            weight.as_ref().map_or_else(|| Tensor::full(labels.shape(), 1.0, self.device()), |w| w.gather(0, labels));
        let mut losses = logs.gather(1, &labels.unsqueeze(1)).squeeze(1).mul(&own).affine(smoothing - 1.0, 0.0);
        if smoothing > 0.0 {
            let all = weight.as_ref().map_or(logs.clone(), |w| logs.mul(w)).sum_dims(&[1], KeepDims::No);
            losses = losses.sub(&all.affine(smoothing / classes as f32, 0.0));
        }
        let ignored = labels.eq(Tensor::full([], options.ignore_index, self.device()));
        [losses, own].map(|part| Tensor::where_(&ignored, &nothing, &part))
    }

    /// The classes as the last dimension.
    fn classes_last(&self) -> Tensor {
        let (rank, dim) = (self.rank(), class_dim(self.shape()));
        let order: Vec<usize> = (0..rank).filter(|d| *d != dim).chain([dim]).collect();
        if dim + 1 == rank { self.clone() } else { self.permute(&order) }
    }

    /// The mean cross-entropy of logits `[rows, classes]` and target distributions of the same shape; `[classes]` and
    /// `[n, classes, ..]` likewise.
    ///
    /// # Panics
    /// If the shapes differ.
    #[doc(alias = "categorical_crossentropy")]
    #[track_caller]
    pub fn cross_entropy_soft(&self, target: &Tensor) -> Tensor {
        self.cross_entropy_soft_with(target, &CrossEntropyOptions::default())
    }

    /// [`Tensor::cross_entropy_soft`] with weights, smoothing or another reduction; the mean divides by the number of
    /// rows, whatever the weights.
    ///
    /// # Panics
    /// If the shapes do not fit, the smoothing is not in 0..=1, or there is an `ignore_index` from 0 on.
    #[track_caller]
    pub fn cross_entropy_soft_with(&self, target: &Tensor, options: &CrossEntropyOptions) -> Tensor {
        let (op, x, t) = ("cross_entropy_soft", self.shape(), target.shape());
        assert!(x == t && x.rank() > 0, "{op}: {x} x {t}: expected two tensors [rows, classes]");
        let (classes, smoothing) = (x[class_dim(x)], options.label_smoothing);
        check(op, x, classes, options);
        let ignored = options.ignore_index;
        assert!(ignored < 0, "{op}: an ignore_index of {ignored} is for labels: expected none for probabilities");
        let (x, t) = (self.classes_last(), target.classes_last());
        let t = if smoothing == 0.0 { t } else { t.affine(1.0 - smoothing, smoothing / classes as f32) };
        let t = match &options.weight {
            Some(weight) => t.mul(&weight.detach()),
            None => t,
        };
        let losses = x.log_softmax(-1).mul(&t).sum_dims(&[-1], KeepDims::No).neg();
        match options.reduction {
            Reduction::None => losses,
            Reduction::Mean => losses.mean(),
            Reduction::Sum => losses.sum(),
            Reduction::BatchMean => losses.sum().affine(1.0 / losses.shape().first().copied().unwrap_or(1) as f32, 0.0),
        }
    }
}
