//! Batch and instance normalisation as layers.

use super::ctx::{Ctx, Mode};
use super::fits::{misfit, misfit_at};
use super::module::{Init, Layer, Module, Path, Visitor};
use super::parameter::{Buffer, Entry, Parameter};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::norm::BatchNormOutput;
use crate::ops::reduce::KeepDims;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// What layers share that normalise channels by statistics, and may keep running ones: [`BatchNorm2d`], [`InstanceNorm2d`]
/// and their kin.
#[derive(Debug, Module)]
pub struct BatchNormState {
    /// `[c]`, 1 at first; none where nothing is scaled.
    pub weight: Option<Parameter>,
    /// `[c]`, 0 at first; none where nothing is shifted.
    pub bias: Option<Parameter>,
    /// `[c]`, 0 at first; none where a batch is always normalised by its own statistics.
    pub running_mean: Option<Buffer>,
    /// `[c]`, 1 at first; none where there is no `running_mean`.
    pub running_var: Option<Buffer>,
    /// i32 [], the number of batches that the running statistics saw.
    pub num_batches_tracked: Option<Buffer>,
    /// The channels.
    #[module(skip)]
    pub channels: usize,
    /// Added to the variance.
    #[module(skip)]
    pub eps: f32,
    /// The part of the way that running statistics move at each batch. Where there is none, they are the means of those of
    /// all batches; of instance normalisation, they stay.
    #[module(skip)]
    pub momentum: Option<f32>,
    path: Path,
}

/// Running statistics, and how many batches they saw.
type Running = [Tensor; 3];

impl BatchNormState {
    #[track_caller]
    fn new(channels: usize, init: &Init) -> BatchNormState {
        let device = &init.device;
        BatchNormState {
            weight: Some(Parameter::new(Tensor::ones([channels], device))),
            bias: Some(Parameter::new(Tensor::zeros([channels], device))),
            running_mean: Some(Buffer::new(Tensor::zeros([channels], device))),
            running_var: Some(Buffer::new(Tensor::ones([channels], device))),
            num_batches_tracked: Some(Buffer::new(Tensor::full([], 0i32, device))),
            ..BatchNormState::bare(channels, init)
        }
    }

    /// With nothing but its numbers; made from what `new` is.
    fn bare(channels: usize, _init: &Init) -> BatchNormState {
        BatchNormState {
            weight: None,
            bias: None,
            running_mean: None,
            running_var: None,
            num_batches_tracked: None,
            channels,
            eps: 1e-5,
            momentum: Some(0.1),
            path: Path::new(),
        }
    }

    fn running(&self) -> Option<Running> {
        let of = |buffer: &Option<Buffer>| buffer.as_ref().map(Buffer::tensor);
        Some([of(&self.running_mean)?, of(&self.running_var)?, of(&self.num_batches_tracked)?])
    }

    /// What is scaled by and added in a pass.
    fn affine(&self, ctx: &Ctx) -> [Option<Tensor>; 2] {
        [&self.weight, &self.bias].map(|part| part.as_ref().map(|part| ctx.param(part)))
    }

    /// Whether a pass takes the statistics of its own input.
    fn by_own(&self, ctx: &Ctx) -> bool {
        ctx.mode() == Mode::Train || self.running_mean.is_none()
    }

    #[track_caller]
    fn batch(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let ([weight, bias], running) = (self.affine(ctx), self.running());
        if let (Some([mean, var, _]), false) = (&running, self.by_own(ctx)) {
            return x.batch_norm_eval(mean, var, weight.as_ref(), bias.as_ref(), self.eps);
        }
        let moves = running.filter(|_| ctx.mode() == Mode::Train && !ctx.runs_again());
        let momentum = self.momentum.filter(|_| !ctx.averages());
        if let (Some(sum), Mode::Train) = (ctx.sum(), ctx.mode()) {
            return self.over_ranks(x, [&weight, &bias], moves.as_ref().map(|running| (running, momentum)), sum);
        }
        let normalised = x.batch_norm(weight.as_ref(), bias.as_ref(), self.eps);
        match (&moves, momentum) {
            (Some([mean, var, count]), Some(momentum)) => normalised.update_running(mean, var, count, momentum),
            (Some(running), None) => {
                let BatchNormOutput { output, stats } = &normalised;
                let count = (output.numel() / self.channels.max(1)) as f32;
                let [m, v] = [0, 1].map(|at| stats.narrow(0, at, 1).squeeze(0));
                BatchNormState::moved(running, &m, &v.affine(count / (count - 1.0), 0.0), None);
            }
            (None, _) => {}
        }
        normalised.output
    }

    /// Has running statistics follow those of a batch.
    fn moved([mean, var, count]: &Running, m: &Tensor, v: &Tensor, momentum: Option<f32>) {
        let batches = count.add(&count.new_full([], 1.0));
        count.assign(&batches);
        for (old, new) in [(mean, m), (var, v)] {
            let moved = match momentum {
                Some(momentum) => old * (1.0 - momentum) + new * momentum,
                None => {
                    let old = old.cast(DType::F32);
                    &old + (new - &old) * batches.cast(DType::F32).reciprocal()
                }
            };
            old.assign(&moved.cast(old.dtype()));
        }
    }

    /// By the statistics of all ranks' parts, in the operations that they are made of.
    #[track_caller]
    fn over_ranks(
        &self,
        x: &Tensor,
        [weight, bias]: [&Option<Tensor>; 2],
        moves: Option<(&Running, Option<f32>)>,
        sum: &(dyn Fn(&Tensor) -> Tensor + Send + Sync),
    ) -> Tensor {
        let (channels, wide) = (self.channels, x.cast(DType::F32));
        let dims: Vec<isize> = (0..x.rank() as isize).filter(|dim| *dim != 1).collect();
        let mut column = vec![1; x.rank() - 1];
        column[0] = channels;
        let column = |t: &Tensor| t.cast(DType::F32).reshape(&column[..]);
        let own = Tensor::full([1], (x.numel() / channels.max(1)) as f32, x.device());
        let all = sum(&Tensor::cat(&[&wide.sum_dims(&dims, KeepDims::No), &own], 0));
        let n = all.narrow(0, channels, 1).detach();
        let m = all.narrow(0, 0, channels) / &n;
        let centred = wide - column(&m);
        let v = sum(&centred.square().sum_dims(&dims, KeepDims::No)) / &n;
        if let Some((running, momentum)) = moves {
            BatchNormState::moved(running, &m.detach(), &(v.detach() * (&n / (&n - 1.0))), momentum);
        }
        let scaled = centred * column(&v.affine(1.0, self.eps).rsqrt());
        let scaled = weight.iter().fold(scaled, |x, weight| x * column(weight));
        bias.iter().fold(scaled, |x, bias| x + column(bias)).cast(x.dtype())
    }

    /// Each channel of each item by itself.
    #[track_caller]
    fn instance(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let ([weight, bias], running) = (self.affine(ctx), self.running());
        if let (Some([mean, var, _]), false) = (&running, self.by_own(ctx)) {
            return x.batch_norm_eval(mean, var, weight.as_ref(), bias.as_ref(), self.eps);
        }
        let moves = running.filter(|_| ctx.mode() == Mode::Train && !ctx.runs_again());
        if let (Some([mean, var, _]), Some(momentum)) = (moves, self.momentum) {
            let (wide, places) = (x.detach().cast(DType::F32), 2..x.rank() as isize);
            let places: Vec<isize> = places.collect();
            let m = wide.mean_dims(&places, KeepDims::No).mean_dims(&[0], KeepDims::No);
            let v = wide.var_dims(&places, 1, KeepDims::No).mean_dims(&[0], KeepDims::No);
            for (old, new) in [(mean, m), (var, v)] {
                old.assign(&(&old * (1.0 - momentum) + new * momentum).cast(old.dtype()));
            }
        }
        x.group_norm(self.channels, weight.as_ref(), bias.as_ref(), self.eps)
    }

    /// Has a path and a shape to show in a refusal, where there is any.
    fn shown(&self) -> Option<Tensor> {
        let running = || self.running_mean.as_ref().map(Buffer::tensor);
        self.weight.as_ref().map(Parameter::tensor).or_else(running)
    }

    fn refusal(&self, fits: bool, name: &str, x: &Tensor, expected: &dyn Fn() -> String) -> Option<String> {
        match self.shown() {
            Some(shown) => misfit(fits, name, x, &shown, expected),
            None => {
                misfit_at(&self.path, fits && x.dtype().is_float(), name, x, || format!("{} of floats", expected()))
            }
        }
    }
}

/// Has the running statistics of batch normalisation be the means of those of all batches, as the weights are now: PyTorch's
/// `swa_utils.update_bn`. They are set back, and then `forward` computes the model of each batch by the context that it is given: in
/// training, without gradients. A model that has none runs none.
///
/// ```
/// use wgrad::nn::{BatchNorm1d, Ctx, Init, Layer, update_bn};
/// let device = wgrad::Device::cpu();
/// let model = BatchNorm1d::new(1, &mut Init::new(0, &device));
/// let batches = [[1.0f32, 3.0], [5.0, 9.0]].map(|batch| wgrad::Tensor::from_slice(&batch, [2, 1], &device));
/// update_bn(&model, &batches, |batch, ctx| Ok(model.forward(batch, ctx)))?;
/// let [mean, variance] = [&model.0.running_mean, &model.0.running_var].map(|buffer| buffer.as_ref().unwrap().tensor());
/// assert_eq!((mean.item()?, variance.item()?), (4.5, 5.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// The first failure of `forward` or of the device.
#[doc(alias("swa_utils", "bn_update"))]
pub fn update_bn<B>(
    model: &dyn Module,
    batches: impl IntoIterator<Item = B>,
    mut forward: impl FnMut(B, &Ctx) -> Result<Tensor>,
) -> Result<()> {
    let mut found: BTreeMap<String, Vec<(String, Tensor)>> = BTreeMap::new();
    let mut each = |path: &str, entry: Entry| {
        if let Entry::Buffer(buffer) = entry {
            let (layer, name) = path.rsplit_once('.').unwrap_or(("", path));
            found.entry(layer.to_string()).or_default().push((name.to_string(), buffer.tensor()));
        }
    };
    model.visit(&mut Visitor::new(&mut each));
    let mut has_any = false;
    for buffers in found.into_values() {
        let of = |name: &str| buffers.iter().find(|(own, _)| own == name).map(|(_, tensor)| tensor);
        let all = (of("running_mean"), of("running_var"), of("num_batches_tracked"));
        let (Some(mean), Some(variance), Some(count)) = all else { continue };
        has_any = true;
        // Instance normalisation counts none, and goes on from what it has.
        if count.item_as::<i32>()? > 0 {
            mean.assign(&mean.zeros_like());
            variance.assign(&variance.full_like(1.0));
            count.assign(&count.full_like(0.0));
        }
    }
    let ctx = Ctx::train().untracked().averaging();
    for batch in batches.into_iter().take_while(|_| has_any) {
        forward(batch, &ctx)?;
    }
    Ok(())
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident: $function:ident, $new:path, $ranks:pat, $shape:literal, $batched:expr, $counted:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Module)]
        pub struct $name(#[module(name = "")] pub BatchNormState);

        impl $name {
            /// With PyTorch's eps of 1e-5, its momentum of 0.1, and its other defaults.
            #[track_caller]
            pub fn new(channels: usize, init: &mut Init) -> $name {
                $name($new(channels, init))
            }

            /// The same with another number that is added to the variance.
            pub fn eps(mut self, eps: f32) -> $name {
                self.0.eps = eps;
                self
            }

            /// The same, but nothing is shifted: PyTorch's `bias=False`.
            pub fn without_bias(mut self) -> $name {
                self.0.bias = None;
                self
            }

            /// The same with another part of the way that running statistics move, or none: see [`BatchNormState::momentum`].
            pub fn momentum(mut self, momentum: impl Into<Option<f32>>) -> $name {
                self.0.momentum = momentum.into();
                self
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
                self.0.$function(x, ctx)
            }

            fn batched_rank(&self) -> Option<usize> {
                $batched
            }

            fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
                let (state, name, channels) = (&self.0, stringify!($name), self.0.channels);
                let fits = matches!(x.rank(), $ranks) && x.shape()[1] == channels;
                let expected = || format!("expected a batch {} of {channels} channels", $shape);
                let eps = || format!("expected an eps above 0, got {}", state.eps);
                let wrong = state.refusal(fits, name, x, &expected);
                wrong.or_else(|| state.refusal(state.eps > 0.0, name, x, &eps)).or_else(|| {
                    let counted: fn(&[usize]) -> usize = $counted;
                    let whole = ctx.sum().is_some() && ctx.mode() == Mode::Train;
                    let counts = !state.by_own(ctx) || whole || counted(&x.shape()) != 1;
                    let (when, way) = match ctx.mode() {
                        Mode::Train => ("in training", "; `LastBatch::Drop` leaves out a last batch of one item, or of one a rank"),
                        _ => ("without running statistics", ""),
                    };
                    let expected = || format!("{when}, expected more than one value a channel{way}");
                    state.refusal(counts, name, x, &expected)
                })
            }

            fn title(&self) -> String {
                format!("{}({})", stringify!($name), self.0.channels)
            }
        }
    )*};
}

layers! {
    /// Batch normalisation of [n, c] or [n, c, length].
    #[doc(alias = "nn.BatchNorm1d")]
    BatchNorm1d: batch, BatchNormState::new, 2 | 3, "[n, c] or [n, c, length]", None, |s| s[0] * s[2..].iter().product::<usize>();
    /// Batch normalisation of images [n, c, h, w].
    #[doc(alias("nn.BatchNorm2d", "BatchNormalization"))]
    BatchNorm2d: batch, BatchNormState::new, 4, "[n, c, h, w]", None, |s| s[0] * s[2..].iter().product::<usize>();
    /// Batch normalisation of volumes [n, c, d, h, w].
    #[doc(alias = "nn.BatchNorm3d")]
    BatchNorm3d: batch, BatchNormState::new, 5, "[n, c, d, h, w]", None, |s| s[0] * s[2..].iter().product::<usize>();
    /// Normalisation of each channel of each sequence [n, c, length] by its own mean and variance (Ulyanov et al., 2016). As in
    /// PyTorch nothing is scaled or shifted, and no running statistics are kept, unless that is asked for.
    #[doc(alias = "nn.InstanceNorm1d")]
    InstanceNorm1d: instance, BatchNormState::bare, 3, "[n, c, length]", Some(3), |s| s[2..].iter().product();
    /// Normalisation of each channel of each image [n, c, h, w] by its own mean and variance: see [`InstanceNorm1d`].
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, InstanceNorm2d, Layer};
    /// let device = wgrad::Device::cpu();
    /// let mut init = Init::new(0, &device);
    /// let norm = InstanceNorm2d::new(3, &mut init).with_affine(&mut init);
    /// let y = norm.forward(&wgrad::Tensor::ones([2, 3, 4, 4], &device), &Ctx::train());
    /// assert_eq!(y.abs().max().item()?, 0.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[doc(alias = "nn.InstanceNorm2d")]
    InstanceNorm2d: instance, BatchNormState::bare, 4, "[n, c, h, w]", Some(4), |s| s[2..].iter().product();
    /// Normalisation of each channel of each volume [n, c, d, h, w] by its own mean and variance: see [`InstanceNorm1d`].
    #[doc(alias = "nn.InstanceNorm3d")]
    InstanceNorm3d: instance, BatchNormState::bare, 5, "[n, c, d, h, w]", Some(5), |s| s[2..].iter().product();
}

macro_rules! without {
    ($($name:ident),*) => {$(
        impl $name {
            /// The same, but nothing is scaled or shifted: PyTorch's `affine=False`.
            pub fn without_affine(mut self) -> $name {
                (self.0.weight, self.0.bias) = (None, None);
                self
            }

            /// The same without running statistics: each batch is normalised by its own, in evaluation too. PyTorch's
            /// `track_running_stats=False`.
            pub fn without_running_stats(mut self) -> $name {
                (self.0.running_mean, self.0.running_var, self.0.num_batches_tracked) = (None, None, None);
                self
            }
        }
    )*};
}

without!(BatchNorm1d, BatchNorm2d, BatchNorm3d);

macro_rules! with {
    ($($name:ident),*) => {$(
        impl $name {
            /// The same, scaled by a weight and shifted by a bias that are learnt: PyTorch's `affine=True`.
            #[track_caller]
            pub fn with_affine(mut self, init: &mut Init) -> $name {
                let whole = BatchNormState::new(self.0.channels, init);
                (self.0.weight, self.0.bias) = (whole.weight, whole.bias);
                self
            }

            /// The same with running statistics, which evaluation normalises by: PyTorch's `track_running_stats=True`. As there,
            /// batches are not counted.
            #[track_caller]
            pub fn with_running_stats(mut self, init: &mut Init) -> $name {
                let whole = BatchNormState::new(self.0.channels, init);
                (self.0.running_mean, self.0.running_var) = (whole.running_mean, whole.running_var);
                self.0.num_batches_tracked = whole.num_batches_tracked;
                self
            }
        }
    )*};
}

with!(InstanceNorm1d, InstanceNorm2d, InstanceNorm3d);
