//! A case: a name, inputs, and what to do with them. The judges know the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use wgrad::kernel::{Dispatch, Tolerance};
use wgrad::plan::Plan;
use wgrad::{DType, Device, Rng, Shape, Tensor};

pub type Function = Box<dyn Fn(&[Tensor]) -> Tensor + Send + Sync>;

/// One thing to judge: a function of tensors, and tensors to call it with.
pub struct Case {
    /// The function's name with the inputs behind it; a kernel's name is a word of it.
    pub name: String,
    pub inputs: Vec<Input>,
    pub run: Function,
    /// The same in primitives.
    pub definition: Option<Function>,
    pub gradient: Gradient,
    /// How far two devices may differ, where the kernels' own tolerances do not tell.
    pub tolerance: Option<Tolerance>,
    /// Too large for the devices that check each kernel.
    pub big: bool,
}

/// What is asked of the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradient {
    /// Differences of the function confirm it, and devices agree on it.
    Checked,
    /// Devices agree on it: at kinks, and where sums are too long for differences.
    Compared,
    /// There is none.
    Absent,
}

/// A tensor to make: sizes, values, and how it lies in memory.
#[derive(Debug, Clone)]
pub struct Input {
    shape: Shape,
    values: Values,
    view: View,
    tracked: bool,
}

#[derive(Debug, Clone)]
enum Values {
    /// Uniform.
    Range(f32, f32),
    /// Uniform, but not where the function has a kink.
    Avoiding(f32, f32, &'static [f32]),
    /// Multiples of a step, each at most once, in random order, from one on.
    Distinct(f32, f32),
    /// Random multiples of a step plus an offset: equal ones are likely.
    Steps(f32, f32),
    /// Whole numbers from one up to another, which is left out, as i32.
    Whole(i32, i32),
    /// These, over and over.
    Listed(&'static [f32]),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum View {
    Plain,
    /// The dimensions lie in memory the other way round.
    Reversed,
    /// The last two dimensions lie in memory the other way round.
    Transposed,
    /// Cut out of one that is larger along a dimension.
    Narrowed(usize),
    /// Starts past an odd number of elements, in another 256-byte block than its buffer.
    Shifted,
    /// One index of a dimension repeated.
    Expanded(usize),
}

/// How near to a kink differences may not come: more than twice the longest step of the gradient's judge.
const MARGIN: f32 = 0.07;

/// Values in -2..2 of these sizes, with a gradient.
pub fn x(shape: impl Into<Shape>) -> Input {
    Input { shape: shape.into(), values: Values::Range(-2.0, 2.0), view: View::Plain, tracked: true }
}

/// Whole numbers from `low` up to `high`, which is left out, as i32.
pub fn whole(shape: impl Into<Shape>, low: i32, high: i32) -> Input {
    Input { values: Values::Whole(low, high), tracked: false, ..x(shape) }
}

impl Input {
    pub fn within(mut self, low: f32, high: f32) -> Input {
        self.values = Values::Range(low, high);
        self
    }

    /// In -2..2, but not near `kinks`.
    pub fn avoiding(mut self, kinks: &'static [f32]) -> Input {
        self.values = Values::Avoiding(-2.0, 2.0, kinks);
        self
    }

    /// No two values near each other.
    pub fn distinct(mut self) -> Input {
        self.values = Values::Distinct(0.1, -2.0);
        self
    }

    /// Multiples of a fifth plus `offset`; 0 and 0.1 give pairs that are never near each other.
    pub fn steps(mut self, offset: f32) -> Input {
        self.values = Values::Steps(0.2, offset);
        self
    }

    pub fn listed(mut self, values: &'static [f32]) -> Input {
        self.values = Values::Listed(values);
        self
    }

    /// Without a gradient.
    pub fn detached(mut self) -> Input {
        self.tracked = false;
        self
    }

    pub fn reversed(mut self) -> Input {
        self.view = View::Reversed;
        self
    }

    pub fn transposed(mut self) -> Input {
        self.view = View::Transposed;
        self
    }

    pub fn narrowed(mut self, dim: usize) -> Input {
        self.view = View::Narrowed(dim);
        self
    }

    pub fn shifted(mut self) -> Input {
        self.view = View::Shifted;
        self
    }

    pub fn expanded(mut self, dim: usize) -> Input {
        self.view = View::Expanded(dim);
        self
    }

    fn describe(&self) -> String {
        let mut text = self.shape.to_string();
        if let Values::Whole(low, high) = self.values {
            text += &format!(" of {low}..{high}");
        }
        if self.view != View::Plain {
            text += &format!(" {:?}", self.view).to_lowercase();
        }
        text
    }

    /// The sizes of the tensor that is made before it is viewed.
    fn base(&self) -> Shape {
        let mut sizes = self.shape.to_vec();
        let rank = sizes.len();
        match self.view {
            View::Plain => {}
            View::Reversed => sizes.reverse(),
            View::Transposed => sizes.swap(rank - 2, rank - 1),
            View::Narrowed(dim) => sizes[dim] += 5,
            View::Shifted => sizes = vec![self.shape.numel() + 67],
            View::Expanded(dim) => sizes[dim] = 1,
        }
        Shape::from(sizes)
    }

    fn seen(&self, base: &Tensor) -> Tensor {
        match self.view {
            View::Plain => base.clone(),
            View::Reversed => base.permute(&(0..self.shape.rank()).rev().collect::<Vec<_>>()),
            View::Transposed => base.transpose(-2, -1),
            View::Narrowed(dim) => base.narrow(dim as isize, 3, self.shape[dim]),
            View::Shifted => base.narrow(0, 67, self.shape.numel()).reshape_to(self.shape),
            View::Expanded(_) => base.expand(self.shape),
        }
    }

    fn dtype(&self) -> DType {
        if matches!(self.values, Values::Whole(..)) { DType::I32 } else { DType::F32 }
    }

    fn data(&self, rng: &mut Rng) -> Data {
        let n = self.base().numel();
        let mut many = |draw: &mut dyn FnMut(&mut Rng) -> f32| (0..n).map(|_| draw(rng)).collect();
        Data::F32(match self.values {
            Values::Range(low, high) => many(&mut |rng| low + (high - low) * rng.uniform()),
            Values::Avoiding(low, high, kinks) => many(&mut |rng| {
                loop {
                    let value = low + (high - low) * rng.uniform();
                    if kinks.iter().all(|kink| (value - kink).abs() > MARGIN) {
                        return value;
                    }
                }
            }),
            Values::Distinct(step, first) => {
                let mut all: Vec<f32> = (0..n).map(|i| first + step * i as f32).collect();
                rng.shuffle(&mut all);
                all
            }
            Values::Steps(step, offset) => many(&mut |rng| step * (rng.below(21) as f32 - 10.0) + offset),
            Values::Listed(values) => values.iter().copied().cycle().take(n).collect(),
            Values::Whole(low, high) => {
                return Data::I32((0..n).map(|_| low + rng.below((high - low) as u32) as i32).collect());
            }
        })
    }
}

/// A tensor's values on the host.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

impl Data {
    pub fn of(tensor: &Tensor) -> Result<Data, String> {
        let data = match tensor.dtype() {
            DType::F32 => tensor.to_vec().map(Data::F32),
            DType::I32 => tensor.to_vec().map(Data::I32),
        };
        data.map_err(|error| error.to_string())
    }

    fn tensor(&self, shape: Shape, device: &Device) -> Tensor {
        match self {
            Data::F32(values) => Tensor::from_slice(values, shape, device),
            Data::I32(values) => Tensor::from_slice(values, shape, device),
        }
    }
}

/// What a case gave on one device.
pub struct Outcome {
    pub y: Data,
    /// The gradient of `sum(upstream * y)` for each input that has one.
    pub gradients: Vec<Option<Vec<f32>>>,
}

/// A case called `name`, whose gradient is to be checked.
pub fn case<const N: usize>(
    name: &str,
    inputs: [Input; N],
    run: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
) -> Case {
    let described: Vec<String> = inputs.iter().map(Input::describe).collect();
    Case {
        name: format!("{name} {}", described.join(" x ")),
        inputs: inputs.into(),
        run: Box::new(run),
        definition: None,
        gradient: Gradient::Checked,
        tolerance: None,
        big: false,
    }
}

impl Case {
    /// What it means in primitives, which must give the same.
    pub fn defined(mut self, definition: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static) -> Case {
        self.definition = Some(Box::new(definition));
        self
    }

    /// The gradient is compared between devices, but not with differences.
    pub fn compared(mut self) -> Case {
        self.gradient = Gradient::Compared;
        self
    }

    /// There is no gradient.
    pub fn constant(mut self) -> Case {
        self.gradient = Gradient::Absent;
        self
    }

    /// Left out by the devices that check each kernel.
    pub fn big(mut self) -> Case {
        self.big = true;
        self
    }

    /// How far two devices may differ.
    pub fn tolerance(mut self, relative: f32, absolute: f32) -> Case {
        self.tolerance = Some(Tolerance { relative, absolute });
        self
    }

    fn rng(&self, stream: u32) -> Rng {
        // Fowler, Noll and Vo's hash: a case's numbers do not depend on the others.
        let hash = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        Rng::stream(self.name.bytes().fold(0xCBF2_9CE4_8422_2325, hash), stream)
    }

    /// The values of each input before it is viewed.
    pub fn data(&self) -> Vec<Data> {
        let mut rng = self.rng(0);
        self.inputs.iter().map(|input| input.data(&mut rng)).collect()
    }

    /// The gradient that flows in from above, for a result of `n` elements.
    pub fn upstream(&self, n: usize) -> Vec<f32> {
        let mut rng = self.rng(1);
        (0..n).map(|_| (0.25 + rng.uniform()) * if rng.below(2) == 0 { -1.0 } else { 1.0 }).collect()
    }

    /// Numbers for a judge.
    pub fn draws(&self) -> Rng {
        self.rng(2)
    }

    fn leaf(&self, input: &Input, base: Tensor) -> Tensor {
        if input.tracked && self.gradient != Gradient::Absent { base.requires_grad() } else { base }
    }

    fn forward(&self, run: &Function, bases: &[Tensor]) -> Tensor {
        let seen: Vec<Tensor> = self.inputs.iter().zip(bases).map(|(input, base)| input.seen(base)).collect();
        run(&seen)
    }

    /// The result alone.
    pub fn value(&self, device: &Device, data: &[Data]) -> Result<Data, String> {
        guarded(|| {
            let bases: Vec<Tensor> =
                self.inputs.iter().zip(data).map(|(input, data)| data.tensor(input.base(), device)).collect();
            Data::of(&self.forward(&self.run, &bases))
        })
    }

    /// The result and the gradients.
    pub fn outcome(&self, device: &Device) -> Result<Outcome, String> {
        self.outcome_of(&self.run, device)
    }

    /// The result and the gradients of the function or of its definition.
    pub fn outcome_of(&self, run: &Function, device: &Device) -> Result<Outcome, String> {
        guarded(|| {
            let made = |(input, data): (&Input, Data)| self.leaf(input, data.tensor(input.base(), device));
            let leaves: Vec<Tensor> = self.inputs.iter().zip(self.data()).map(made).collect();
            let y = self.forward(run, &leaves);
            if y.is_tracked() == (self.gradient == Gradient::Absent) {
                return Err(format!("a gradient is {:?}, but the result says otherwise", self.gradient));
            }
            if self.gradient == Gradient::Absent {
                return Ok(Outcome { y: Data::of(&y)?, gradients: Vec::new() });
            }
            let upstream = Tensor::from_vec(self.upstream(y.numel()), y.shape(), device);
            let grads = y.backward_with(&upstream);
            let gradient = |leaf: &Tensor| {
                let Some(gradient) = grads.of(leaf) else {
                    return if leaf.is_tracked() { Err("an input has no gradient".into()) } else { Ok(None) };
                };
                if gradient.shape() != leaf.shape() {
                    return Err(format!("the gradient of {} is {}", leaf.shape(), gradient.shape()));
                }
                gradient.to_vec().map(Some).map_err(|error| error.to_string())
            };
            Ok(Outcome { y: Data::of(&y)?, gradients: leaves.iter().map(gradient).collect::<Result<_, String>>()? })
        })
    }

    /// The kernels that it runs, forward and backward; none of them runs here.
    pub fn plan(&self) -> Plan {
        let device = Device::null();
        let empty = |input: &Input| self.leaf(input, Tensor::empty(input.base(), input.dtype(), &device));
        let leaves: Vec<Tensor> = self.inputs.iter().map(empty).collect();
        let work = || {
            let y = self.forward(&self.run, &leaves);
            if y.is_tracked() {
                y.backward_with(&Tensor::empty(y.shape(), DType::F32, &device));
            }
        };
        device.record(work).1
    }

    /// The kernels that it runs.
    pub fn dispatches(&self) -> Vec<Dispatch> {
        self.plan().dispatches().to_vec()
    }
}

/// A panic is a failure of the case that met it, not of the whole run.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("with no text")))
    })
}
