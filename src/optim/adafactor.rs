//! Adafactor (Shazeer and Stern, 2018): second moments of rows and of columns in the place of those of all values.

use super::hyper::settable;
use super::{Decision, Optimizer, STATE, at_least_0, checked_lr, for_groups};
use crate::autograd::Grads;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::{Module, Parameter, StateDict, StateTensor, Values, distinct, fitting};
use crate::ops::reduce::KeepDims;
use crate::tensor::Tensor;

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdafactorOptions {
    /// The largest part of a parameter's size that a step moves it by.
    pub lr: f32,
    /// The power of the number of steps that a moment takes in of the newest gradient.
    pub beta2_decay: f32,
    /// The least second moment, by default the distance from 1 to the next number, and the least size of a parameter.
    pub eps: (Option<f32>, f32),
    /// The largest size of a direction.
    pub d: f32,
    /// The part of each weight, times the rate, that a step takes off.
    pub weight_decay: f32,
}

impl Default for AdafactorOptions {
    fn default() -> AdafactorOptions {
        AdafactorOptions { lr: 1e-2, beta2_decay: -0.8, eps: (None, 1e-3), d: 1.0, weight_decay: 0.0 }
    }
}

/// A parameter with its moments: those of rows and of columns, or of all values of a vector.
struct Own {
    path: String,
    parameter: Parameter,
    /// Gradients that it has seen, on the device: a replayed step counts, too.
    steps: Tensor,
    moments: Vec<(&'static str, Tensor)>,
}

/// An optimizer whose memory grows with the rows and the columns of a matrix, and not with their product: for models that hardly
/// fit. Its rate is a part of the size of each parameter.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear};
/// use wgrad::optim::{Adafactor, AdafactorOptions, Optimizer};
/// let device = wgrad::Device::cpu();
/// let model = Linear::new(64, 32, &mut Init::new(0, &device));
/// let mut optimizer = Adafactor::new(&model, AdafactorOptions::default())?;
/// let loss = model.forward(&wgrad::Tensor::ones([4, 64], &device), &Ctx::train()).square().mean();
/// optimizer.step(&loss.backward());
/// // 64 + 32 values for a matrix of 2,048.
/// assert_eq!(optimizer.state()?["weight.row_var"].shape, [32, 1]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Adafactor {
    options: AdafactorOptions,
    lr: f32,
    base: f32,
    /// The rate where steps read it.
    rate: Tensor,
    /// Whether it moves along gradients.
    maximize: bool,
    all: Vec<Own>,
}

impl Adafactor {
    /// Of the parameters of a model.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of range, or the model has no parameters.
    pub fn new(model: &dyn Module, options: AdafactorOptions) -> Result<Adafactor> {
        let AdafactorOptions { lr, beta2_decay, eps, d, weight_decay } = options;
        checked_lr(lr)?;
        at_least_0("eps", eps.0.unwrap_or(0.0))?;
        at_least_0("eps", eps.1)?;
        at_least_0("weight decay", weight_decay)?;
        let in_range = beta2_decay <= 0.0 && d >= 1.0;
        if !in_range {
            let text = format!("Adafactor: beta2_decay {beta2_decay} and d {d}: expected at most 0, and at least 1");
            return Err(Error::Option(text));
        }
        let mut all: Vec<Own> = Vec::new();
        for (path, parameter) in distinct(model) {
            super::trained("Adafactor", &path, &parameter)?;
            let (shape, tensor) = (parameter.shape(), parameter.tensor());
            let zeros = |sizes: Vec<usize>| Tensor::zeros(sizes, tensor.device());
            let moments = match shape.rank() {
                0 | 1 => vec![("variance", zeros(shape.to_vec()))],
                rank => {
                    let (mut rows, mut columns) = (shape.to_vec(), shape.to_vec());
                    (rows[rank - 1], columns[rank - 2]) = (1, 1);
                    vec![("row_var", zeros(rows)), ("col_var", zeros(columns))]
                }
            };
            all.push(Own { path, steps: Tensor::zeros([], tensor.device()), parameter, moments });
        }
        let Some(first) = all.first() else {
            return Err(Error::Option("Adafactor: the model has no parameters".into()));
        };
        let rate = Tensor::full([], lr, first.steps.device());
        Ok(Adafactor { options, lr, base: lr, rate, maximize: false, all })
    }

    /// Moves along the gradients and not against them: PyTorch's `maximize`.
    #[must_use]
    pub fn maximize(mut self) -> Self {
        self.maximize = true;
        self
    }

    /// All that is saved, by name.
    fn named(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.all.iter().flat_map(|own| {
            let moments = own.moments.iter().map(|(name, moment)| (format!("{}.{name}", own.path), moment));
            moments.chain([(format!("{}.step", own.path), &own.steps)])
        })
    }

    /// The parameters that have a gradient, each with it; none where a gradient is lost.
    #[track_caller]
    fn gathered<'a>(&self, grads: &'a Grads) -> Vec<(&Own, &'a Tensor)> {
        if let Some(error) = grads.lost() {
            // Nothing moves, rather than a part of the parameters; the next read tells why.
            self.rate.device().missed(&error);
            return Vec::new();
        }
        let mut gathered = Vec::new();
        for own in &self.all {
            let tensor = own.parameter.tensor();
            assert!(
                grads.rows(&tensor).is_none(),
                "Adafactor: expected a whole gradient for {}, got one of rows (Embedding::sparse): take SparseAdam for it",
                tensor.name().unwrap_or("a parameter")
            );
            gathered.extend(grads.of(&tensor).filter(|g| g.numel() > 0).map(|gradient| (own, gradient)));
        }
        assert!(!gathered.is_empty(), "Adafactor: there is no gradient for any of its parameters");
        gathered
    }

    /// Moves a parameter, unless `flag` is 0.
    #[track_caller]
    fn update(&self, own: &Own, gradient: &Tensor, flag: Option<&Tensor>) {
        let gradient = gradient.detach().cast(DType::F32);
        own.move_by(if self.maximize { gradient.neg() } else { gradient }, &self.rate, &self.options, flag);
    }
}

/// The root of the mean of squares.
fn size(x: &Tensor) -> Tensor {
    x.square().mean().sqrt()
}

impl Own {
    /// Moves the parameter against its gradient, unless `flag` is 0.
    #[track_caller]
    fn move_by(&self, g: Tensor, rate: &Tensor, options: &AdafactorOptions, flag: Option<&Tensor>) {
        let put = |place: &Tensor, new: Tensor| match flag {
            Some(flag) => place.assign(&Tensor::where_(flag, &new, place)),
            None => place.assign(&new),
        };
        let x = self.parameter.tensor().detach();
        let wide = x.cast(DType::F32);
        let steps = &self.steps + 1.0;
        put(&self.steps, steps.clone());
        let newest = steps.pow_scalar(options.beta2_decay);
        let follow = |moment: &Tensor, to: &Tensor| put(moment, moment + (to - moment) * &newest);
        let least = options.eps.0.unwrap_or(x.dtype().epsilon());
        let squares = g.square();
        let variance = match &self.moments[..] {
            [(_, rows), (_, columns)] => {
                follow(rows, &squares.mean_dims(&[-1], KeepDims::Yes));
                follow(columns, &squares.mean_dims(&[-2], KeepDims::Yes));
                rows * columns / rows.mean_dims(&[-2], KeepDims::Yes).clamp(least, f32::INFINITY)
            }
            all => {
                let moment = &all[0].1;
                follow(moment, &squares);
                moment.clone()
            }
        };
        let step = g * variance.clamp(least * least, f32::INFINITY).rsqrt();
        let alpha = size(&wide).clamp(options.eps.1, f32::INFINITY) * rate.minimum(steps.rsqrt());
        let share = alpha / size(&step).affine(1.0 / options.d, 0.0).clamp(1.0, f32::INFINITY);
        let kept = &wide - &wide * rate * options.weight_decay;
        put(&x, (kept - step * share).cast(x.dtype()));
    }
}

impl Optimizer for Adafactor {
    #[track_caller]
    fn step(&mut self, grads: &Grads) {
        self.gathered(grads).into_iter().for_each(|(own, gradient)| self.update(own, gradient, None));
    }

    #[track_caller]
    fn step_with(&mut self, grads: &Grads, reduce: &mut dyn FnMut(&[Tensor]) -> Decision) {
        let (moved, buckets): (Vec<&Own>, Vec<Tensor>) =
            self.gathered(grads).into_iter().map(|(own, gradient)| (own, gradient.copy())).unzip();
        if moved.is_empty() {
            return;
        }
        let decision = reduce(&buckets);
        let flag = match &decision {
            Decision::Skip => return,
            Decision::Update => None,
            Decision::UpdateIf(flag) => Some(flag),
        };
        moved.into_iter().zip(&buckets).for_each(|(own, gradient)| self.update(own, gradient, flag));
    }

    fn lrs(&self) -> Vec<f32> {
        vec![self.lr]
    }

    fn base_lrs(&self) -> Vec<f32> {
        vec![self.base]
    }

    fn set_lrs(&mut self, lrs: &[f32]) -> Result<()> {
        for_groups(lrs, 1)?;
        settable(self.rate.device(), "rate")?;
        (self.lr, self.base) = (checked_lr(lrs[0])?, lrs[0]);
        self.rate.upload(lrs);
        Ok(())
    }

    fn state(&self) -> Result<StateDict> {
        let mut all = StateTensor::all(self.named())?;
        all.insert("lr".into(), StateTensor { shape: vec![1], values: Values::F32(vec![self.lr]) });
        all.insert("rule.Adafactor".into(), StateTensor { shape: vec![], values: Values::I64(vec![1]) });
        Ok(all)
    }

    fn load_state(&mut self, state: &StateDict) -> Result<()> {
        settable(self.rate.device(), "state")?;
        for (name, tensor) in self.named() {
            fitting(state, STATE, &name, tensor.shape())?;
        }
        let lr = match state.get("lr").map(|value| &value.values) {
            Some(Values::F32(lrs)) if lrs.len() == 1 && checked_lr(lrs[0]).is_ok() => lrs[0],
            other => return Err(Error::Weights(format!("the optimizer's state `lr` is {other:?}, not one number"))),
        };
        self.named().for_each(|(name, tensor)| state[&name].write_to(tensor));
        self.lr = lr;
        self.rate.upload(&[lr]);
        Ok(())
    }
}
