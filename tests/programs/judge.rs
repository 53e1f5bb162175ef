//! Runs a program on both backends, eager and replayed, and compares the four.

use super::cases::{Data, Input};
use super::devices::open;
use super::program::rng;
use super::update::{Step, Update};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wgrad::autograd::Grads;
use wgrad::backend::WgpuOptions;
use wgrad::backend::wgpu::Features;
use wgrad::nn::Parameter;
use wgrad::optim::Optimizer;
use wgrad::{DType, Device, Rng, Tensor};

/// Something to run on some inputs: a program, or a closure that was one.
pub trait Work {
    fn sources(&self) -> Vec<Source>;
    fn seed(&self) -> u64;
    /// Whether it writes in place what it was given.
    fn writes(&self) -> bool;
    /// What it returns for tensors that are tracked where they are said to be.
    fn update(&self) -> Update;
    fn run(&self, x: &[Tensor], noise: &mut Noise, step: Step) -> Vec<Tensor>;
}

/// Where a tensor comes from that is given.
#[derive(Debug, Clone)]
pub struct Source {
    pub input: Input,
    /// Not the view of it, but what is viewed.
    pub is_base: bool,
    /// A tensor that the program holds, such as a weight, and not one that is passed to it.
    pub outside: bool,
}

impl Source {
    pub fn seen(&self, base: &Tensor) -> Tensor {
        if self.is_base { base.clone() } else { self.input.seen(base) }
    }

    /// As it enters the program.
    pub fn leaf(&self, seen: &Tensor) -> Tensor {
        if self.input.tracked { seen.clone().requires_grad() } else { seen.clone() }
    }
}

/// Errors as large as a few roundings, put on what is computed, to learn how far they grow.
pub struct Noise(Option<(f32, Rng)>);

impl Noise {
    pub fn none() -> Noise {
        Noise(None)
    }

    /// The value, or one that is a little beside it, with gradients that are beside as well.
    pub fn on(&mut self, value: Tensor) -> Tensor {
        let Some((scale, rng)) = &mut self.0 else { return value };
        if value.dtype() != DType::F32 || value.numel() == 0 {
            return value;
        }
        let (scale, mut draw) = (*scale, || 2.0 * rng.uniform() - 1.0);
        let factors = (0..value.numel()).map(|_| 1.0 + scale * draw()).collect();
        // What cancels is off by more than its own size tells; 0 is 0 everywhere.
        let values = value.to_vec::<f32>().expect("the CPU backend reads");
        let shifts = values.iter().map(|v| if *v == 0.0 { 0.0 } else { 0.1 * scale * draw() }).collect();
        let [factors, shifts] = [factors, shifts].map(|all| Tensor::from_vec(all, value.shape(), value.device()));
        value.mul(&factors).add(&shifts)
    }
}

/// Rounds with inputs of their own: one that is captured and two replays.
const ROUNDS: u32 = 3;

/// What the rounds gave: results, gradients and, where something is written in place, all that was given.
type Ran = Vec<Vec<Data>>;

#[derive(Clone)]
struct Made {
    source: Source,
    base: Tensor,
    seen: Tensor,
}

fn made(work: &dyn Work, device: &Device, round: u32) -> Vec<Made> {
    let each = |(at, source): (usize, Source)| {
        let data = source.input.data(&mut rng(work.seed(), at, if source.outside { 0 } else { round }));
        let base = data.tensor(source.input.base(), device);
        Made { seen: source.seen(&base), base, source }
    };
    work.sources().into_iter().enumerate().map(each).collect()
}

fn passed(all: &[Made]) -> Vec<Tensor> {
    all.iter().filter(|made| !made.source.outside).map(|made| made.seen.clone()).collect()
}

/// What lives as long as the rounds.
struct Held {
    all: Vec<Made>,
    /// The tracked tensors from outside, where an optimizer moves them.
    weights: Vec<Option<Parameter>>,
    optimizer: Option<Box<dyn Optimizer>>,
}

impl Held {
    fn new(work: &dyn Work, device: &Device) -> Result<Held, String> {
        let all = made(work, device, 0);
        let is_weight = |made: &Made| {
            work.update() != Update::Nothing
                && made.source.outside
                && made.source.input.tracked
                && made.seen.numel() > 0
        };
        let weights: Vec<Option<Parameter>> =
            all.iter().map(|made| is_weight(made).then(|| Parameter::new(made.seen.copy()))).collect();
        let moved: Vec<Parameter> = weights.iter().flatten().cloned().collect();
        let optimizer = work.update().optimizer(&moved).map_err(|error| error.to_string())?;
        Ok(Held { all, weights, optimizer })
    }

    /// A round on what is passed.
    fn run(&mut self, work: &dyn Work, passed: &[Tensor], noise: &mut Noise) -> Vec<Tensor> {
        let mut passed = passed.iter();
        let each = |(made, weight): (&Made, &Option<Parameter>)| match weight {
            Some(weight) => weight.tensor(),
            None if made.source.outside => made.source.leaf(&made.seen),
            None => made.source.leaf(passed.next().expect("an input for each")),
        };
        let x: Vec<Tensor> = self.all.iter().zip(&self.weights).map(each).collect();
        let optimizer = &mut self.optimizer;
        work.run(&x, noise, &mut |grads: &Grads| {
            if let Some(optimizer) = optimizer {
                optimizer.step(grads);
            }
        })
    }

    /// All that can be seen after a round.
    fn read(&self, work: &dyn Work, results: &[Tensor], passed: &[Made]) -> Result<Vec<Data>, String> {
        let mut data = results.iter().map(Data::of).collect::<Result<Vec<Data>, String>>()?;
        for weight in self.weights.iter().flatten() {
            data.push(Data::of(&weight.tensor())?);
        }
        if work.writes() {
            let held = self.all.iter().filter(|made| made.source.outside);
            for made in held.chain(passed.iter().filter(|made| !made.source.outside)) {
                data.push(Data::of(&made.base)?);
            }
        }
        Ok(data)
    }
}

pub fn eager(work: &dyn Work, device: &Device, rounds: u32, mut noise: Noise) -> Result<Ran, String> {
    guarded(|| {
        let mut held = Held::new(work, device)?;
        let mut ran = Vec::new();
        for round in 0..rounds {
            let now = made(work, device, round);
            let results = held.run(work, &passed(&now), &mut noise);
            ran.push(held.read(work, &results, &now)?);
        }
        Ok(ran)
    })
}

/// The second round has inputs of its own, the third writes into those of the first.
fn replayed(work: &dyn Work, device: &Device) -> Result<Ran, String> {
    let said = |error: wgrad::Error| error.to_string();
    guarded(|| {
        let mut held = Held::new(work, device)?;
        let [one, two, three] = [0, 1, 2].map(|round| made(work, device, round));
        let [first, second] = [&one, &two].map(|all| passed(all));
        let step = device.capture(&first[..], |x| Ok(held.run(work, x, &mut Noise::none()))).map_err(said)?;
        let mut ran = vec![held.read(work, &step.outputs(), &one)?];
        let results = step.run(&second[..]).map_err(said)?;
        ran.push(held.read(work, &results, &two)?);
        for (old, new) in one.iter().zip(&three) {
            match Data::of(&new.base)? {
                Data::F32(data) => old.base.upload(&data),
                Data::I32(data) => old.base.upload(&data),
            }
        }
        let results = step.run(&first[..]).map_err(said)?;
        ran.push(held.read(work, &results, &one)?);
        Ok(ran)
    })
}

/// What was found, in one word for what kind it is, and in full.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub kind: &'static str,
    pub text: String,
}

impl Fault {
    /// The same comparison fails, or the same panic is met.
    pub fn is_like(&self, other: &Fault) -> bool {
        let panic = |fault: &Fault| {
            let text = fault.text.strip_prefix("panicked: ")?;
            Some(text.chars().take(20).collect::<String>())
        };
        self.kind == other.kind && panic(self) == panic(other)
    }
}

/// How much of a comparison of the backends meant something.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub elements: usize,
    /// Those where roundings grow to more than a hundredth of the value.
    pub blurred: usize,
}

/// How a program's kernels run on a GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    /// As they suit the adapter.
    Suited,
    /// With what every browser has.
    Browser,
    /// Each in the variant of this name, where it has one that fits.
    Variant(&'static str),
    /// Each beside its definition.
    Checked,
}

impl Way {
    fn open(self) -> Device {
        let base = WgpuOptions::from_env();
        match self {
            Way::Suited => open(&base),
            Way::Browser => open(&WgpuOptions { features: Features::Browser, ..base }),
            Way::Variant(name) => open(&WgpuOptions { variant: Some(name), ..base }),
            Way::Checked => Device::checked(open(&base)),
        }
    }
}

/// A device of each backend.
pub struct Bench {
    cpu: Device,
    gpu: Option<Device>,
    /// None where there is no GPU.
    way: Option<Way>,
}

impl Bench {
    pub fn new(has_gpu: bool) -> Bench {
        Bench { cpu: Device::new_cpu(), gpu: None, way: has_gpu.then_some(Way::Suited) }
    }

    /// New devices, without what the old ones hold.
    pub fn renew(&mut self) {
        (self.cpu, self.gpu) = (Device::new_cpu(), None);
    }

    /// Runs kernels so from now on.
    pub fn go(&mut self, way: Way) {
        if self.way.is_some_and(|own| own != way) {
            (self.way, self.gpu) = (Some(way), None);
        }
    }

    /// # Errors
    /// The first of the comparisons that fails.
    pub fn judge(&mut self, work: &dyn Work) -> Result<Seen, Fault> {
        let found = self.compared(work);
        if found.is_err() {
            // A failure sticks to its device.
            self.renew();
        }
        match found {
            // A definition knows its kernel's bound, but not how much of what it adds up cancels.
            Err(fault) if fault.text.contains("where its definition gives") => Ok(Seen::default()),
            found => found,
        }
    }

    fn compared(&mut self, work: &dyn Work) -> Result<Seen, Fault> {
        let fault = |kind| move |text| Fault { kind, text };
        let want = eager(work, &self.cpu, ROUNDS, Noise::none()).map_err(fault("CPU"))?;
        let got = replayed(work, &self.cpu).map_err(fault("CPU replayed"))?;
        same(&want, &got).map_err(fault("CPU replayed"))?;
        let Some(way) = self.way else { return Ok(Seen::default()) };
        let gpu = self.gpu.get_or_insert_with(|| way.open());
        let first = eager(work, gpu, ROUNDS, Noise::none()).map_err(fault("GPU"))?;
        let got = replayed(work, gpu).map_err(fault("GPU replayed"))?;
        same(&first, &got).map_err(fault("GPU replayed"))?;
        self.near(work, &first[0], &want[0]).map_err(fault("GPU and CPU"))
    }

    /// Holds one backend against the other, as near as roundings let them be.
    fn near(&self, work: &dyn Work, got: &[Data], want: &[Data]) -> Result<Seen, String> {
        let noisy = |scale: f32, draw: u32| -> Result<Vec<Data>, String> {
            let noise = Noise(Some((scale, Rng::stream(work.seed() ^ 0xA5A5, draw))));
            Ok(eager(work, &self.cpu, 1, noise)?.remove(0))
        };
        let few = [noisy(1e-6, 0)?, noisy(1e-6, 1)?];
        match agreement(got, want, &few, 30.0) {
            Ok(seen) => Ok(seen),
            // What is beside a kink, or where few roundings say too little: more of them, and larger ones.
            Err(what) => {
                let many = (2..18).map(|draw| noisy(if draw % 2 == 0 { 1e-5 } else { 1e-6 }, draw));
                agreement(got, want, &many.collect::<Result<Vec<_>, _>>()?, 30.0).map_err(|_| what)
            }
        }
    }
}

fn same(first: &Ran, second: &Ran) -> Result<(), String> {
    for (round, (a, b)) in first.iter().zip(second).enumerate() {
        if a.len() != b.len() {
            return Err(format!("round {round}: {} results and gradients, then {}", a.len(), b.len()));
        }
        for (at, pair) in a.iter().zip(b).enumerate() {
            let differs = match pair {
                (Data::F32(a), Data::F32(b)) => {
                    let is_other = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
                    (a.len() != b.len() || a.iter().zip(b).any(is_other)).then(|| short(a, b))
                }
                (Data::I32(a), Data::I32(b)) => (a != b).then(|| short(a, b)),
                _ => Some("other types".into()),
            };
            if let Some(text) = differs {
                return Err(format!("round {round}, result {at}: {text}"));
            }
        }
    }
    Ok(())
}

/// Two lists from shortly before where they differ.
fn short<T: std::fmt::Debug + PartialEq>(a: &[T], b: &[T]) -> String {
    let at = a.iter().zip(b).position(|(a, b)| a != b && format!("{a:?}") != format!("{b:?}")).unwrap_or_default();
    let cut = |all: &[T]| format!("{:?}", &all[at.saturating_sub(2).min(all.len())..(at + 6).min(all.len())]);
    format!("at {at} of {} eager {}, then {}", a.len(), cut(a), cut(b))
}

fn agreement(got: &[Data], want: &[Data], noisy: &[Vec<Data>], factor: f32) -> Result<Seen, String> {
    let mut seen = Seen::default();
    if got.len() != want.len() {
        return Err(format!("{} results and gradients, not {}", got.len(), want.len()));
    }
    for (at, pair) in got.iter().zip(want).enumerate() {
        let beside = noisy.iter().map(|all| &all[at]);
        let what = match pair {
            (Data::F32(got), Data::F32(want)) => {
                let beside: Vec<&Vec<f32>> =
                    beside.filter_map(|data| if let Data::F32(data) = data { Some(data) } else { None }).collect();
                near(got, want, &beside, factor, &mut seen)
            }
            (Data::I32(got), Data::I32(want)) => {
                let sure = beside.into_iter().all(|data| matches!(data, Data::I32(data) if data == want));
                if got != want && sure { Err(short(want, got)) } else { Ok(()) }
            }
            _ => Err("other types".into()),
        };
        what.map_err(|what| format!("result {at}: {what}"))?;
    }
    Ok(seen)
}

fn near(got: &[f32], want: &[f32], noisy: &[&Vec<f32>], factor: f32, seen: &mut Seen) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} elements, not {}", got.len(), want.len()));
    }
    let finite = |all: &[f32]| all.iter().filter(|v| v.is_finite()).fold(0.0f32, |most, v| most.max(v.abs()));
    let largest = finite(want).max(1e-6);
    let beside = |at: usize| noisy.iter().map(|all| (all[at] - want[at]).abs()).fold(0.0f32, f32::max);
    let mean = (0..want.len()).map(beside).filter(|v| v.is_finite()).sum::<f32>() / want.len().max(1) as f32;
    for at in 0..want.len() {
        seen.elements += 1;
        let (got, want) = (got[at], want[at]);
        let off = beside(at);
        if !want.is_finite() || !off.is_finite() {
            // What is infinite or no number on one side is so on the other, if roundings do not change it.
            let sure = noisy.iter().all(|all| all[at].is_nan() == want.is_nan() && (want.is_nan() || all[at] == want));
            if sure && !(got == want || got.is_nan() && want.is_nan()) {
                return Err(format!("at {at} {got}, not {want}"));
            }
            continue;
        }
        let allowed = factor * (off + mean) + 3e-5 * largest;
        seen.blurred += usize::from(allowed > 1e-2 * largest);
        // Written so that NaN is apart.
        let is_near = (got - want).abs() <= allowed;
        if !is_near {
            return Err(format!("at {at} {got}, not {want}: roundings allow {allowed:e}"));
        }
    }
    Ok(())
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Panics of programs are results, and say nothing by themselves.
pub fn hush() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !QUIET.get() {
            loud(info);
        }
    }));
}

/// What panics is an error.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let before = QUIET.replace(true);
    let found = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    found.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("with no text")))
    })
}
