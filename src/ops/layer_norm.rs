//! Layer normalisation (Ba, Kiros and Hinton, 2016) and its form without means (Zhang and Sennrich, 2019):
//! `shaders/layer_norm.wgsl`, `shaders/layer_norm_subgroup.wgsl`, `shaders/layer_norm_backward.wgsl`,
//! `shaders/layer_norm_backward_subgroup.wgsl`, `shaders/layer_norm_columns.wgsl`, `shaders/layer_norm_rows.wgsl`,
//! `shaders/layer_norm_backward_rows.wgsl`.

mod definition;
mod host;
mod lower;

use crate::autograd;
use crate::autograd::{Op, composed};
use crate::dtype::DType;
use crate::kernel::rewrite::{Change, Rewrite, View};
use crate::kernel::strided::Strided;
use crate::kernel::{self, Access, Kernel, Tolerance, Uniform, Variant};
use crate::ops::reduce::KeepDims;
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, Write};

/// The struct `Norm` of the shaders.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable, Uniform)]
struct LayerNormParams {
    rows: u32,
    cols: u32,
    chunk: u32,
    parts: u32,
    eps: f32,
    /// 1: another gradient is added to that of x. Where not, something else is bound in its place.
    add: u32,
}

/// Which of the two kernels: the one with means and biases or the one without.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Layer,
    Rms,
}

/// An offset of all values leaves few digits to what is normalised.
const TOLERANCE: Tolerance = Tolerance { relative: 1e-4, absolute: 1e-5 };

macro_rules! kernels {
    ($($form:expr, $forward:ident $forward_name:literal $inputs:expr,
        $backward:ident $backward_name:literal $outputs:expr;)*) => {$(
        static $forward: Kernel = Kernel::new($forward_name, $inputs, |call| definition::forward($form, call), |d| d.cost(8 * d.len(0) as u64))
            .host(|call| host::forward($form, call))
            .tolerance(TOLERANCE)
            .variants(&[
                Variant::new("rows", |info, d| lower::forward_rows($form, info, d))
                    .fits(lower::fits_rows)
                    .suits(lower::suits_subgroup),
                Variant::new("subgroup", |info, d| lower::forward_subgroup($form, info, d))
                    .fits(lower::fits_subgroup)
                    .suits(lower::suits_subgroup),
                Variant::new("group", |_, d| lower::forward_group($form, d)).fits(lower::fits_group),
            ]);
        static $backward: Kernel = Kernel::new($backward_name, $outputs, |call| definition::backward($form, call), |d| d.cost(14 * d.len(0) as u64))
            .host(|call| host::backward($form, call))
            .tolerance(Tolerance::SUMMED)
            .proportional_to(&[1])
            .rewrites(&[Rewrite { name: "added to another gradient", apply: added }])
            .variants(&[
                Variant::new("rows", |info, d| lower::backward_rows($form, info, d))
                    .fits(lower::fits_rows)
                    .suits(lower::suits_subgroup),
                Variant::new("subgroup", |info, d| lower::backward_subgroup($form, info, d))
                    .fits(lower::fits_subgroup)
                    .suits(lower::suits_subgroup),
                Variant::new("group", |info, d| lower::backward_group($form, info, d)).fits(lower::fits_group),
            ]);
    )*};
}

kernels! {
    Form::Layer, LAYER_NORM "layer_norm" &[Read, Read, Read, Write, Write],
        LAYER_NORM_BACKWARD "layer_norm_backward" &[Read, Read, Read, Read, Read, Write, Write, Write];
    Form::Rms, RMS_NORM "rms_norm" &[Read, Read, Write, Write],
        RMS_NORM_BACKWARD "rms_norm_backward" &[Read, Read, Read, Read, Read, Write, Write];
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&LAYER_NORM, &LAYER_NORM_BACKWARD, &RMS_NORM, &RMS_NORM_BACKWARD];

/// If dx meets the gradient that came by another way, as around every residual block, it is added here.
fn added(view: &View, at: usize) -> Option<Change> {
    let norm = view.dispatch(at);
    let p: LayerNormParams = norm.params();
    let dx = norm.bindings[5];
    let meets = view.reader(dx.buffer)?;
    let sum = view.dispatch(meets);
    let is_sum = std::ptr::eq(sum.kernel, &autograd::ACCUMULATE) && sum.params::<Strided>().is_flat(2);
    if !is_sum || p.add == 1 {
        return None;
    }
    let other = if sum.bindings[0] == dx { sum.bindings[1] } else { sum.bindings[0] };
    if other.bytes != dx.bytes || sum.bindings[2].bytes != dx.bytes {
        return None;
    }
    let mut by = norm.clone();
    by.params = kernel::Params::new(&LayerNormParams { add: 1, ..p });
    (by.bindings[4], by.bindings[5]) = (other, sum.bindings[2]);
    Some(Change { replace: vec![at, meets], by, picks: false })
}

/// # Normalisation of rows and groups
impl Tensor {
    /// The number of values that are normalised together.
    #[track_caller]
    fn normalised_size(&self, op: &str, sizes: &[usize], parts: &[Option<&Tensor>]) -> usize {
        let shape = self.shape();
        let fits = shape.ends_with(sizes) && !sizes.is_empty() && self.dtype().is_float();
        assert!(fits, "{op}: {shape} x {sizes:?}: expected a tensor of floats whose last sizes are these");
        for part in parts.iter().flatten() {
            let got = part.shape();
            assert!(got[..] == *sizes, "{op}: {shape} x {got}: expected one value for each of {sizes:?}");
        }
        sizes.iter().product()
    }

    /// Normalises over the last dimensions, of `sizes`, by their mean and variance, then scales by `weight` and shifts
    /// by `bias`, both of `sizes`: PyTorch's `layer_norm`, whose eps is 1e-5.
    ///
    /// # Panics
    /// If the last dimensions, `weight` or `bias` are not of `sizes`.
    #[track_caller]
    pub fn layer_norm(&self, sizes: &[usize], weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Tensor {
        let cols = self.normalised_size("layer_norm", sizes, &[weight, bias]);
        self.normalised(Form::Layer, "layer_norm", cols, [weight, bias], eps)
    }

    /// Divides by the root of the mean square over the last dimensions, of `sizes`, then scales by `weight`: PyTorch's
    /// `rms_norm`, whose eps is that of f32.
    ///
    /// # Panics
    /// If the last dimensions or `weight` are not of `sizes`.
    #[track_caller]
    pub fn rms_norm(&self, sizes: &[usize], weight: Option<&Tensor>, eps: f32) -> Tensor {
        let cols = self.normalised_size("rms_norm", sizes, &[weight]);
        self.normalised(Form::Rms, "rms_norm", cols, [weight, None], eps)
    }

    #[track_caller]
    fn normalised(&self, form: Form, op: &'static str, cols: usize, parts: [Option<&Tensor>; 2], eps: f32) -> Tensor {
        let (x, device) = (self.contiguous(), self.device());
        let rows = x.numel() / cols.max(1);
        let constant = |part: Option<&Tensor>, value| {
            part.map_or_else(
                || Tensor::full([cols], value, device),
                |part| part.reshape_to(Shape::from([cols])).contiguous(),
            )
        };
        let w = constant(parts[0], 1.0f32);
        let b = (form == Form::Layer).then(|| constant(parts[1], 0.0f32));
        let y = x.new_empty(x.shape());
        if x.numel() == 0 {
            // Of nothing, but the weights have gradients of 0.
            let y = parts[0].map_or_else(|| self.affine(1.0, 0.0), |weight| self.mul(weight));
            return parts[1].map_or(y.clone(), |bias| y.add(bias));
        }
        if cols > lower::MAX_COLS as usize {
            let flat = x.reshape_to(Shape::from([rows, cols]));
            let y = b
                .as_ref()
                .map_or_else(|| flat.rms_norm_by_primitives(&w, eps), |b| flat.layer_norm_by_primitives(&w, b, eps));
            return y.reshape_to(x.shape()).cast(x.dtype());
        }
        let stats = Tensor::empty([2, rows], DType::F32, device);
        let p = LayerNormParams { rows: rows as u32, cols: cols as u32, chunk: 0, parts: 0, eps, add: 0 };
        let (kernel, backward) = match form {
            Form::Layer => (&LAYER_NORM, &LAYER_NORM_BACKWARD),
            Form::Rms => (&RMS_NORM, &RMS_NORM_BACKWARD),
        };
        let (plain_x, plain_w, plain_b) = (x.detach(), w.detach(), b.as_ref().map(Tensor::detach));
        let inputs = [Some(&plain_x), Some(&plain_w), plain_b.as_ref(), Some(&y), Some(&stats)];
        Tensor::run(kernel, &inputs.into_iter().flatten().collect::<Vec<_>>(), &p);
        let (saved, saved_w, saved_stats) = (x.saved(), w.saved(), stats.saved());
        let inputs = [Some(&x), Some(&w), b.as_ref()];
        y.tracked(
            || Op::new(op).with("eps", eps),
            &inputs.into_iter().flatten().collect::<Vec<_>>(),
            move |dy, needs| {
                let again = |all: &[Tensor]| {
                    let flat = all[0].reshape_to(Shape::from([rows, cols]));
                    let y = match form {
                        Form::Layer => flat.layer_norm_by_primitives(&all[1], &all[2], eps),
                        Form::Rms => flat.rms_norm_by_primitives(&all[1], eps),
                    };
                    y.reshape_to(all[0].shape())
                };
                // No gradient depends on the bias.
                let inputs = [&saved, &saved_w, &saved_w];
                if let Some(gradients) = composed(dy, needs, &inputs[..needs.len()], again) {
                    return gradients;
                }
                let dy = dy.contiguous();
                let like = |t: &Tensor| t.new_empty(t.shape());
                let (dx, dw) = (like(&saved), like(&saved_w));
                let db = (form == Form::Layer).then(|| like(&saved_w));
                let args = [&saved, &dy, &saved_w, &saved_stats, &saved_w, &dx, &dw];
                Tensor::run(backward, &args.into_iter().chain(&db).collect::<Vec<_>>(), &p);
                [Some(dx), Some(dw), db]
                    .into_iter()
                    .zip(needs)
                    .map(|(gradient, needed)| gradient.filter(|_| *needed))
                    .collect()
            },
        )
    }

    /// [`Tensor::layer_norm`] over the last dimension, for rows that the kernels do not take.
    #[track_caller]
    fn layer_norm_by_primitives(&self, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
        let centred = self.sub(&self.mean_dims(&[-1], KeepDims::Yes));
        let scale = self.var_dims(&[-1], 0, KeepDims::Yes).affine(1.0, eps).rsqrt();
        centred.mul(&scale).mul(weight).add(bias)
    }

    /// [`Tensor::rms_norm`] likewise.
    #[track_caller]
    fn rms_norm_by_primitives(&self, weight: &Tensor, eps: f32) -> Tensor {
        let scale = self.square().mean_dims(&[-1], KeepDims::Yes).affine(1.0, eps).rsqrt();
        self.mul(&scale).mul(weight)
    }
}
