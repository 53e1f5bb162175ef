//! All chance of a run, from one seed.

use super::module::{Module, Visitor};
use crate::device::Device;
use crate::dtype::DType;
use crate::ops::random::Draw;
use crate::rng::{Rng, streams};
use crate::tensor::Tensor;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The random numbers of a run, from one seed. Layers that draw keep a clone ([`Init`](crate::nn::Init) has one for them);
/// all clones share one sequence, in which each draw has the next number, also where a step is replayed.
///
/// ```
/// use wgrad::nn::{Ctx, Generator, Init, Layer, Mode, Module};
/// use wgrad::{Device, Tensor};
///
/// /// Scales its input by chance, in training alone.
/// #[derive(Module)]
/// struct Noise {
///     generator: Generator,
/// }
/// impl Layer for Noise {
///     fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
///         match ctx.mode() {
///             Mode::Train => x * ctx.draw(&self.generator, x.device()).uniform(x.shape(), 0.9, 1.1),
///             Mode::Eval => x.clone(),
///         }
///     }
/// }
/// let device = Device::cpu();
/// let noise = Noise { generator: Init::new(7, &device).generator };
/// let (x, ctx) = (Tensor::ones([4], &device), Ctx::train());
/// let [a, b] = [noise.forward(&x, &ctx), noise.forward(&x, &ctx)];
/// assert_ne!(a.to_vec::<f32>()?, b.to_vec::<f32>()?);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("manual_seed", "torch.Generator", "seed"))]
#[derive(Clone)]
pub struct Generator(Arc<Inner>);

struct Inner {
    seed: u64,
    /// The rank of the process in a group: each rank draws from a sequence of its own.
    rank: AtomicU32,
    state: Mutex<State>,
}

struct State {
    /// The number of the next draw.
    next: u64,
    /// The numbers that eager draws of a device count from, and those of a step that is being captured.
    bases: Vec<Base>,
}

struct Base {
    device: Device,
    /// When the step began that is being captured; none for eager work.
    step: Option<u64>,
    first: u64,
    /// `first` on the device; the captured step's is written anew before each replay.
    on_device: Tensor,
    /// The number of draws of the captured step.
    draws: Arc<AtomicU32>,
}

impl Generator {
    /// From the first number.
    pub fn new(seed: u64) -> Generator {
        let state = Mutex::new(State { next: 0, bases: Vec::new() });
        Generator(Arc::new(Inner { seed, rank: AtomicU32::new(0), state }))
    }

    /// The seed that it was made with.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Draws from the sequence of a rank from now on; that of rank 0 is the seed's own.
    pub(crate) fn set_rank(&self, rank: usize) {
        self.0.rank.store(rank as u32, Ordering::Relaxed);
    }

    /// Whether both are clones of one.
    pub(super) fn is(&self, other: &Generator) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The number of the next draw: kept with a checkpoint, it lets a run go on with the numbers it would have drawn.
    pub fn position(&self) -> u64 {
        self.state().next
    }

    /// Goes on from a number.
    pub fn set_position(&self, position: u64) {
        let mut state = self.state();
        state.next = position;
        // A captured step sets its own before each run.
        state.bases.clear();
    }

    /// A sequence on the host under a name of its own, the same for the same seed and name: for data that is made up, for
    /// sampling, for augmentation.
    pub fn stream(&self, name: &str) -> Rng {
        // FNV-1a (Fowler, Noll, Vo), in the half of the numbers that the crate's own streams leave free.
        let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Rng::stream(self.0.seed, hash | 1 << 31)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next draw, for work on `device`. In a step that is being captured, each replay has numbers of its own: those that
    /// the step would have had, had it run eagerly.
    pub fn draw(&self, device: &Device) -> Draw {
        let (step, mut state) = (device.capturing_since(), self.state());
        let State { next, bases } = &mut *state;
        // What another captured step has left is of no use any more.
        bases.retain(|base| base.device != *device || base.step == step || base.step.is_none());
        let fits = |base: &Base| {
            let near = *next >= base.first && *next - base.first < u64::from(u32::MAX);
            base.device == *device && base.step == step && near
        };
        if !bases.iter().any(fits) {
            bases.retain(|base| base.device != *device || base.step != step);
            bases.push(self.base(device, step, *next));
        }
        let base = bases.iter().find(|base| fits(base)).expect("one was just made");
        let offset = (*next - base.first) as u32;
        base.draws.store(offset + 1, Ordering::Relaxed);
        *next += 1;
        // Another key of Philox is another sequence, and ranks are few.
        let seed = self.0.seed ^ u64::from(self.0.rank.load(Ordering::Relaxed)).reverse_bits();
        Draw { seed, stream: streams::LAYERS, step: base.on_device.clone(), offset }
    }

    fn base(&self, device: &Device, step: Option<u64>, first: u64) -> Base {
        let words = |number: u64| [number as u32 as i32, (number >> 32) as i32];
        let draws = Arc::new(AtomicU32::new(0));
        if step.is_none() {
            let on_device = Tensor::from_slice(&words(first), [2], device);
            return Base { device: device.clone(), step, first, on_device, draws };
        }
        let on_device = Tensor::staged([2], DType::I32, device);
        device.aside(|| on_device.upload(&words(first)));
        let (inner, target, count) = (self.0.clone(), on_device.clone(), draws.clone());
        let take = move |count: &AtomicU32| {
            let mut state = inner.state.lock().unwrap_or_else(PoisonError::into_inner);
            let first = state.next;
            state.next += u64::from(count.load(Ordering::Relaxed));
            first
        };
        device.before_replays(move || target.upload(&words(take(&count))));
        let (inner, count) = (self.0.clone(), draws.clone());
        device.if_capture_fails(move || {
            let mut state = inner.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.next = state.next.saturating_sub(u64::from(count.load(Ordering::Relaxed)));
        });
        Base { device: device.clone(), step, first, on_device, draws }
    }
}

impl Module for Generator {
    /// It holds nothing that is trained, or saved with the weights.
    fn visit(&self, visitor: &mut Visitor) {
        visitor.generator(self);
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generator(seed {}, at {})", self.seed(), self.position())
    }
}
