//! Ranks that train by themselves, and meet now and then.

use super::line::{ASKED, Averaged, Kind, exchange};
use super::{Compression, DataParallel, Group};
use crate::backend::{Pending, edge};
use crate::data::{Batch, DataLoader, Dataset, Item};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::{Buffer, Entry, Module, Parameter, StateDict, StateTensor, Values, Visitor, fitting};
use crate::tensor::Tensor;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The paper's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiLoCoOptions {
    /// Steps of each rank between two outer steps; 500.
    pub every: usize,
    /// The rate of the outer steps; 0.7.
    pub lr: f32,
    /// Their Nesterov momentum; 0.9.
    pub momentum: f32,
}

impl Default for DiLoCoOptions {
    fn default() -> DiLoCoOptions {
        DiLoCoOptions { every: 500, lr: 0.7, momentum: 0.9 }
    }
}

impl DiLoCoOptions {
    fn check(&self) -> Result<()> {
        let DiLoCoOptions { every, lr, momentum } = *self;
        if every == 0 {
            return Err(Error::Option("every: expected a step between two outer steps at least, got 0".into()));
        }
        if !(lr.is_finite() && lr >= 0.0) {
            return Err(Error::Option(format!("outer learning rate: {lr} is not a number from 0 up")));
        }
        if !(0.0..1.0).contains(&momentum) {
            return Err(Error::Option(format!("outer momentum: {momentum} is not in 0..1")));
        }
        Ok(())
    }

    /// As ranks compare it.
    pub(crate) fn told(own: Option<&DiLoCoOptions>) -> String {
        own.map_or_else(
            || "an exchange at each step".into(),
            |DiLoCoOptions { every, lr, momentum }| {
                format!("an outer step every {every} steps, of the rate {lr} and the momentum {momentum}")
            },
        )
    }
}

/// Local training that meets now and then, DiLoCo (Douillard et al., 2023, arXiv:2311.08105): each rank takes steps of its own, with
/// any optimizer and no exchange, and every so many steps the ranks average how far they have come. That mean is the gradient of
/// an outer step, SGD with Nesterov's momentum, from the last weights that all had in common: with `d` the mean over ranks of
/// `shared - weights`, `v = momentum v + d` and `shared -= lr (d + momentum v)`. All go on from there, with the same bits.
///
/// It is for slow links and for devices of unlike speed: 500 steps cost one exchange in the place of 500. Moments stay with their
/// ranks. Running statistics are averaged at each outer step. What the ranks hold between two of them differs: validate and save
/// behind one ([`sync`](DiLoCo::sync)).
///
/// ```
/// use wgrad::data::{DataLoader, LoaderOptions};
/// use wgrad::nn::{Ctx, Init, Layer, Linear};
/// use wgrad::optim::{Optimizer, Sgd, SgdOptions};
/// use wgrad::parallel::{DiLoCo, DiLoCoOptions, Threads};
/// use wgrad::Device;
/// let weights = Threads::run(&[Device::new_cpu(), Device::new_cpu()], |group, device| {
///     let set: Vec<([f32; 1], [f32; 1])> = (0..50).map(|i| i as f32 / 50.0).map(|x| ([x], [2.0 * x])).collect();
///     let loader = DataLoader::new(set, LoaderOptions { batch_size: 8, shuffle: Some(1), ..LoaderOptions::default() })?;
///     let model = Linear::without_bias(1, 1, &mut Init::new(0, device));
///     let mut sgd = Sgd::new(&model, SgdOptions { lr: 0.5, ..SgdOptions::default() })?;
///     let diloco = DiLoCo::new(&model, group, DiLoCoOptions { every: 10, ..DiLoCoOptions::default() })?;
///     for epoch in 0..40 {
///         for batch in diloco.epoch(&loader, epoch) {
///             let [x, y] = batch?.to(device);
///             let loss = (model.forward(&x, &Ctx::train()) - y).square().mean();
///             sgd.step(&loss.backward());
///             diloco.step()?;
///         }
///     }
///     diloco.sync()?;
///     assert_eq!(diloco.exchanges(), 28);
///     model.weight.tensor().item()
/// })?;
/// assert!(weights[0] == weights[1] && (weights[0] - 2.0).abs() < 0.05, "{weights:?}");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("PostLocalSGDOptimizer", "local SGD", "model averaging"))]
pub struct DiLoCo {
    parallel: Arc<DataParallel>,
    options: DiLoCoOptions,
    compression: Compression,
    state: Mutex<State>,
}

struct State {
    /// Steps since the last outer one.
    steps: usize,
    exchanges: u64,
    parameters: Vec<Outer>,
    statistics: Vec<Buffer>,
}

/// A parameter, the value that it has in common, and its outer momentum, both on the host.
struct Outer {
    path: String,
    parameter: Parameter,
    shared: Vec<f32>,
    velocity: Vec<f32>,
}

/// Values that are exchanged at once.
const PIECE: usize = 4 << 20;

impl DiLoCo {
    /// Of a model, which becomes that of rank 0 on every rank. A group of one has nobody to meet.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of range or the model has no parameters; [`Error::Group`] if the ranks have other
    /// options or models, or a rank is gone; the device's first failure.
    pub fn new(model: &dyn Module, group: impl Group + 'static, options: DiLoCoOptions) -> Result<DiLoCo> {
        options.check()?;
        let parallel = DataParallel::new(model, group)?;
        parallel.agree("options", &DiLoCoOptions::told(Some(&options)))?;
        DiLoCo::of(Arc::new(parallel), &[("", model)], options, Compression::None)
    }

    /// Of models that are the same on all ranks.
    pub(crate) fn of(
        parallel: Arc<DataParallel>,
        models: &[(&str, &dyn Module)],
        options: DiLoCoOptions,
        compression: Compression,
    ) -> Result<DiLoCo> {
        options.check()?;
        let mut state = State { steps: 0, exchanges: 0, parameters: Vec::new(), statistics: Vec::new() };
        let mut seen = HashSet::new();
        for (name, model) in models {
            let mut each = |path: &str, entry: Entry| match entry {
                Entry::Parameter(new) if seen.insert(new.key()) => {
                    let path = if name.is_empty() { path.to_string() } else { format!("{name}.{path}") };
                    let [shared, velocity] = [Vec::new(), vec![0.0; new.shape().numel()]];
                    state.parameters.push(Outer { path, parameter: new.clone(), shared, velocity });
                }
                Entry::Buffer(buffer) if buffer.tensor().dtype().is_float() => state.statistics.push(buffer.clone()),
                _ => {}
            };
            model.visit(&mut Visitor::new(&mut each));
        }
        if state.parameters.is_empty() {
            return Err(Error::Option("DiLoCo: the model has no parameters".into()));
        }
        state.start()?;
        Ok(DiLoCo { parallel, options, compression, state: Mutex::new(state) })
    }

    /// The form in which an outer step's means go from rank to rank; the same on all of them. [`Compression::None`].
    #[must_use]
    pub fn compress(self, compression: Compression) -> DiLoCo {
        DiLoCo { compression, ..self }
    }

    /// The group.
    pub fn group(&self) -> &dyn Group {
        self.parallel.group()
    }

    /// The batches of an epoch: of each, this rank's part, as [`DataParallel::epoch`] deals them. Where a batch has fewer items
    /// than there are ranks, its first comes in the place of none.
    pub fn epoch<'a, D: Dataset + 'static>(
        &'a self,
        loader: &DataLoader<D>,
        number: u64,
    ) -> impl Iterator<Item = Result<Batch<<D::Item as Item>::Columns>>> + 'a {
        self.parallel.epoch(loader, number)
    }

    /// Counts a step of this rank, which is done: after each, outside of a step that is replayed, and on all ranks alike. Whether it
    /// was time for an outer step, which has been taken then.
    ///
    /// # Errors
    /// [`Error::Group`] if a rank is gone; the device's first failure.
    pub fn step(&self) -> Result<bool> {
        Ok(self.stepped([false; ASKED], false)?.is_some())
    }

    /// Takes an outer step now, unless no step has been taken since the last: before the ranks validate or save, and at the end. On
    /// all of them.
    ///
    /// # Errors
    /// As [`step`](DiLoCo::step).
    pub fn sync(&self) -> Result<()> {
        let mut state = self.locked();
        if state.steps > 0 { self.outer(&mut state, [false; ASKED]).map(drop) } else { Ok(()) }
    }

    /// A step of this rank; what any rank asks, where an outer one has been taken since it was time, or is wanted now.
    pub(crate) fn stepped(&self, asks: [bool; ASKED], now: bool) -> Result<Option<[bool; ASKED]>> {
        let mut state = self.locked();
        state.steps += 1;
        let is_time = now || state.steps >= self.options.every;
        if is_time { self.outer(&mut state, asks).map(Some) } else { Ok(None) }
    }

    /// The number of outer steps so far.
    pub fn exchanges(&self) -> u64 {
        self.locked().exchanges
    }

    /// The outer momenta by the paths of parameters, and the number of outer steps: the same on all ranks. What belongs to it are the
    /// weights behind an outer step.
    #[doc(alias = "state_dict")]
    pub fn state(&self) -> StateDict {
        let state = self.locked();
        let momentum = |own: &Outer| {
            let value =
                StateTensor { shape: own.parameter.shape().to_vec(), values: Values::F32(own.velocity.clone()) };
            (format!("momentum.{}", own.path), value)
        };
        let exchanges = StateTensor { shape: vec![], values: Values::I64(vec![state.exchanges as i64]) };
        let momenta = state.parameters.iter().map(momentum);
        momenta.chain([("exchanges".to_string(), exchanges)]).collect()
    }

    /// Goes on from saved momenta and the model's weights as they are now, which were loaded before, the same on all ranks.
    ///
    /// # Errors
    /// [`Error::Weights`] if a name is missing or a shape differs; then nothing was changed. The device's first failure.
    #[doc(alias = "load_state_dict")]
    pub fn load_state(&self, saved: &StateDict) -> Result<()> {
        let mut state = self.locked();
        let mut velocities = Vec::with_capacity(state.parameters.len());
        for Outer { path, parameter, .. } in &state.parameters {
            let name = format!("momentum.{path}");
            match &fitting(saved, "DiLoCo's state", &name, parameter.shape())?.values {
                Values::F32(values) => velocities.push(values.clone()),
                other => {
                    let text = format!("DiLoCo's state `{name}` is of {}, not of f32", other.dtype());
                    return Err(Error::Weights(text));
                }
            }
        }
        if let Some(Values::I64(count)) = saved.get("exchanges").map(|saved| &saved.values) {
            state.exchanges = count.first().map_or(0, |count| *count as u64);
        }
        state.parameters.iter_mut().zip(velocities).for_each(|(own, velocity)| own.velocity = velocity);
        state.start()
    }

    /// Begins at the weights as they are now.
    pub(crate) fn restart(&self) -> Result<()> {
        self.locked().start()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An outer step; what any rank asks.
    fn outer(&self, state: &mut State, asks: [bool; ASKED]) -> Result<[bool; ASKED]> {
        state.steps = 0;
        if self.group().size() == 1 {
            return Ok(asks);
        }
        let values = state.values()?;
        let far = state.parameters.iter().zip(&values).flat_map(|(own, values)| own.shared.iter().zip(values));
        let mut far: Vec<f32> = far.map(|(shared, value)| shared - value).collect();
        let asked = self.mean(&mut far, self.compression, asks)?;
        let statistics: Vec<Tensor> = state.statistics.iter().map(Buffer::tensor).collect();
        let mut means: Vec<f32> = read(&statistics)?.into_iter().flatten().collect();
        if !means.is_empty() {
            self.mean(&mut means, Compression::None, asks)?;
        }
        edge::busy(|| {
            let DiLoCoOptions { lr, momentum, .. } = self.options;
            let mut far = far.into_iter();
            for own in &mut state.parameters {
                for ((shared, velocity), d) in own.shared.iter_mut().zip(&mut own.velocity).zip(&mut far) {
                    *velocity = momentum * *velocity + d;
                    *shared -= lr * (d + momentum * *velocity);
                }
                write(&own.parameter.tensor(), own.shared.clone());
            }
        });
        let mut means = means.into_iter();
        statistics.iter().for_each(|tensor| write(tensor, means.by_ref().take(tensor.numel()).collect()));
        state.exchanges += 1;
        Ok(asked)
    }

    /// The means over the group in the place of the values; what any rank asks.
    fn mean(&self, values: &mut [f32], compression: Compression, asks: [bool; ASKED]) -> Result<[bool; ASKED]> {
        let mut all = [false; ASKED];
        for piece in values.chunks_mut(PIECE) {
            let kind = Kind::Mean(compression);
            let Averaged { values, asked } = exchange(self.group(), kind, piece.to_vec(), 1.0, asks)?;
            piece.copy_from_slice(&values);
            all = asked;
        }
        Ok(all)
    }
}

impl State {
    fn values(&self) -> Result<Vec<Vec<f32>>> {
        read(&self.parameters.iter().map(|own| own.parameter.tensor()).collect::<Vec<_>>())
    }

    /// Has the weights as they are now be those that all have in common.
    fn start(&mut self) -> Result<()> {
        let values = self.values()?;
        self.parameters.iter_mut().zip(values).for_each(|(own, values)| own.shared = values);
        self.steps = 0;
        Ok(())
    }
}

fn read(tensors: &[Tensor]) -> Result<Vec<Vec<f32>>> {
    Pending::all(tensors.iter().map(|tensor| tensor.detach().cast(DType::F32).read::<f32>())).wait()
}

fn write(tensor: &Tensor, values: Vec<f32>) {
    StateTensor { shape: tensor.shape().to_vec(), values: Values::F32(values) }.write_to(&tensor.detach());
}

impl fmt::Debug for DiLoCo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DiLoCo(rank {} of {}, {})",
            self.group().rank(),
            self.group().size(),
            DiLoCoOptions::told(Some(&self.options))
        )
    }
}
