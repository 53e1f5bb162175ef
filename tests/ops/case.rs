//! A case: a name, inputs, and what to do with them. The judges know the rest.

use super::input::{Data, Input};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wgrad::autograd::{GradOptions, gradient_check};
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
    /// Whether differences judge the gradient alone, and not that of the gradient: it jumps, or bends too much.
    pub once: bool,
    /// How far two devices may differ, where the kernels' own tolerances do not tell.
    pub tolerance: Option<Tolerance>,
    /// Too large for the devices that check each kernel.
    pub big: bool,
    /// It steps an optimizer several times, which a captured step must not.
    pub steps: bool,
    /// The result that is due, number by number.
    pub wanted: Option<&'static [f32]>,
    /// The gradients of the result's sum that are due, by the number of the input.
    pub slopes: Vec<(usize, &'static [f32])>,
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

/// Which numbers the inputs hold.
#[derive(Debug, Clone, Copy)]
enum Values {
    First = 0,
    Other = 2,
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
        once: false,
        tolerance: None,
        big: false,
        steps: false,
        wanted: None,
        slopes: Vec::new(),
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

    /// Differences judge the gradient, but not that of the gradient.
    pub fn once(mut self) -> Case {
        self.once = true;
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

    /// It steps an optimizer several times, which a captured step must not.
    pub fn stepping(mut self) -> Case {
        self.steps = true;
        self
    }

    /// The result that is due on every device.
    pub fn gives(mut self, wanted: &'static [f32]) -> Case {
        self.wanted = Some(wanted);
        self
    }

    /// The gradient of the result's sum by one of the inputs that is due on every device.
    pub fn sloped(mut self, input: usize, wanted: &'static [f32]) -> Case {
        self.slopes.push((input, wanted));
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
    fn data(&self, values: Values) -> Vec<Data> {
        let mut rng = self.rng(values as u32);
        self.inputs.iter().map(|input| input.data(&mut rng)).collect()
    }

    /// The gradient that flows in from above, for a result of `n` elements.
    pub fn upstream(&self, n: usize) -> Vec<f32> {
        let mut rng = self.rng(1);
        (0..n).map(|_| (0.25 + rng.uniform()) * if rng.below(2) == 0 { -1.0 } else { 1.0 }).collect()
    }

    fn leaf(&self, input: &Input, base: Tensor) -> Tensor {
        if input.tracked && self.gradient != Gradient::Absent { base.requires_grad() } else { base }
    }

    fn forward(&self, run: &Function, bases: &[Tensor]) -> Tensor {
        let seen: Vec<Tensor> = self.inputs.iter().zip(bases).map(|(input, base)| input.seen(base)).collect();
        run(&seen)
    }

    /// The result and the gradients.
    pub fn outcome(&self, device: &Device) -> Result<Outcome, String> {
        self.outcome_of(&self.run, device)
    }

    /// The result and the gradients from other inputs of the same shapes.
    pub fn other_outcome(&self, device: &Device) -> Result<Outcome, String> {
        self.given(&self.run, Values::Other, device, |n| self.upstream(n))
    }

    /// Whether differences of the function confirm the gradients.
    pub fn checked(&self, device: &Device) -> Result<(), String> {
        guarded(|| {
            let leaves = self.leaves(Values::First, device);
            gradient_check(|bases| self.forward(&self.run, bases), &leaves).map_err(|error| error.to_string())
        })
    }

    /// The gradients side by side, tracked, from the inputs and the gradient from above, which are last.
    fn slopes_of(&self, all: &[Tensor]) -> Tensor {
        let (bases, above) = all.split_at(self.inputs.len());
        let leaf = |(input, base): (&Input, &Tensor)| {
            if input.tracked && !base.is_tracked() { base.clone().requires_grad() } else { base.clone() }
        };
        let leaves: Vec<Tensor> = self.inputs.iter().zip(bases).map(leaf).collect();
        let y = self.forward(&self.run, &leaves);
        let wanted: Vec<Tensor> = leaves.into_iter().filter(Tensor::is_tracked).collect();
        let options =
            GradOptions { upstream: Some(above[0].clone()), materialize_grads: true, ..GradOptions::default() };
        let slopes = y.grad_with(&wanted, &options);
        let flat: Vec<Tensor> = slopes.iter().map(|slope| slope.reshape([-1])).collect();
        Tensor::cat(&flat.iter().collect::<Vec<_>>(), 0)
    }

    fn leaves_and_above(&self, device: &Device) -> Vec<Tensor> {
        let mut all = self.leaves(Values::First, device);
        let shape = self.forward(&self.run, &all).shape();
        all.push(Tensor::from_vec(self.upstream(shape.numel()), shape, device).requires_grad());
        all
    }

    /// The gradients as tracked operations give them, and the gradients of these.
    pub fn second(&self, device: &Device) -> Result<Outcome, String> {
        guarded(|| {
            let all = self.leaves_and_above(device);
            let slopes = self.slopes_of(&all);
            if !slopes.is_tracked() {
                // It is 0 everywhere.
                return Ok(Outcome { y: Data::of(&slopes)?, gradients: Vec::new() });
            }
            let above = Tensor::from_vec(self.upstream(slopes.numel()), slopes.shape(), device);
            let grads = slopes.backward_with(&above);
            let gradient = |leaf: &Tensor| match grads.of(leaf) {
                None => Ok(None),
                Some(gradient) => gradient.to_vec().map(Some).map_err(|error| error.to_string()),
            };
            Ok(Outcome { y: Data::of(&slopes)?, gradients: all.iter().map(gradient).collect::<Result<_, String>>()? })
        })
    }

    /// Whether differences of the gradients confirm the gradients of gradients.
    pub fn checked_again(&self, device: &Device) -> Result<(), String> {
        guarded(|| {
            let all = self.leaves_and_above(device);
            gradient_check(|all| self.slopes_of(all), &all).map_err(|error| error.to_string())
        })
    }

    fn leaves(&self, values: Values, device: &Device) -> Vec<Tensor> {
        let made = |(input, data): (&Input, Data)| self.leaf(input, data.tensor(input.base(), device));
        self.inputs.iter().zip(self.data(values)).map(made).collect()
    }

    /// Runs it, forward and backward, on floats of half size.
    pub fn halved(&self, dtype: DType, device: &Device) -> Result<(), String> {
        guarded(|| {
            let made = |(input, data): (&Input, Data)| {
                let base = data.tensor(input.base(), device);
                if base.dtype() == DType::F32 { base.cast(dtype) } else { base }
            };
            let bases: Vec<Tensor> = self.inputs.iter().zip(self.data(Values::First)).map(made).collect();
            let upstream = |y: &Tensor| Tensor::from_vec(self.upstream(y.numel()), y.shape(), device).cast(y.dtype());
            let leaves = |bases: &[Tensor]| -> Vec<Tensor> {
                self.inputs.iter().zip(bases).map(|(input, base)| self.leaf(input, base.clone())).collect()
            };
            let y = self.forward(&self.run, &leaves(&bases));
            let above = (y.is_tracked() && y.dtype().is_float()).then(|| upstream(&y));
            if let Some(above) = &above {
                y.backward_with(above);
            }
            if self.is_joined() {
                let inputs: Vec<Tensor> = bases.into_iter().chain(above.clone()).collect();
                let step = device.capture(&inputs[..], |inputs| {
                    let (bases, above) = inputs.split_at(self.inputs.len());
                    let leaves = leaves(bases);
                    let y = self.forward(&self.run, &leaves);
                    let grads = above.first().map(|above| y.backward_with(above));
                    let of = |leaf: &Tensor| grads.as_ref().and_then(|grads| grads.of(leaf).cloned());
                    Ok(std::iter::once(y.detach()).chain(leaves.iter().filter_map(of)).collect::<Vec<_>>())
                });
                step.and_then(|step| step.run(&inputs[..])).map_err(|error| error.to_string())?;
            }
            device.wait().map_err(|error| error.to_string())
        })
    }

    /// The result and the gradients of its sum.
    pub fn of_sum(&self, device: &Device) -> Result<Outcome, String> {
        self.given(&self.run, Values::First, device, |n| vec![1.0; n])
    }

    /// The result and the gradients of the function or of its definition.
    pub fn outcome_of(&self, run: &Function, device: &Device) -> Result<Outcome, String> {
        self.given(run, Values::First, device, |n| self.upstream(n))
    }

    fn given(
        &self,
        run: &Function,
        values: Values,
        device: &Device,
        upstream: impl Fn(usize) -> Vec<f32>,
    ) -> Result<Outcome, String> {
        guarded(|| {
            let leaves = self.leaves(values, device);
            let y = self.forward(run, &leaves);
            if y.is_tracked() == (self.gradient == Gradient::Absent) {
                return Err(format!("a gradient is {:?}, but the result says otherwise", self.gradient));
            }
            if self.gradient == Gradient::Absent {
                return Ok(Outcome { y: Data::of(&y)?, gradients: Vec::new() });
            }
            let upstream = Tensor::from_vec(upstream(y.numel()), y.shape(), device);
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

    /// The result and the gradients of a captured step that ran, and of its replay on other inputs.
    pub fn replayed(&self, device: &Device) -> Result<[Outcome; 2], String> {
        guarded(|| {
            let made = |(input, data): (&Input, Data)| data.tensor(input.base(), device);
            let shape = (self.gradient != Gradient::Absent).then(|| self.shape());
            let upstream = shape.map(|shape| Tensor::from_vec(self.upstream(shape.numel()), shape, device));
            let inputs = |values| -> Vec<Tensor> {
                self.inputs.iter().zip(self.data(values)).map(made).chain(upstream.clone()).collect()
            };
            let (first, other) = (inputs(Values::First), inputs(Values::Other));
            let said = |error: wgrad::Error| error.to_string();
            let captured = device.capture(&first[..], |inputs| Ok(self.step(inputs))).map_err(said)?;
            let outcome = |results: &[Tensor]| -> Result<Outcome, String> {
                let mut gradients = results[1..].iter().map(|g| g.to_vec().map_err(said));
                let is_leaf = |input: &Input| input.tracked && self.gradient != Gradient::Absent;
                let each = self.inputs.iter().map(|input| if is_leaf(input) { gradients.next() } else { None });
                let gradients = each.map(Option::transpose).collect::<Result<_, String>>()?;
                Ok(Outcome { y: Data::of(&results[0])?, gradients })
            };
            Ok([outcome(&captured.outputs())?, outcome(&captured.run(&other[..]).map_err(said)?)?])
        })
    }

    /// The result, and the gradient of each input that has one, from the inputs and the upstream gradient.
    fn step(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let leaves: Vec<Tensor> =
            self.inputs.iter().zip(inputs).map(|(input, base)| self.leaf(input, base.clone())).collect();
        let y = self.forward(&self.run, &leaves);
        let mut results = vec![y.detach()];
        if self.gradient != Gradient::Absent {
            let grads = y.backward_with(&inputs[self.inputs.len()]);
            results.extend(leaves.iter().filter(|leaf| leaf.is_tracked()).filter_map(|leaf| grads.of(leaf).cloned()));
        }
        results
    }

    /// The inputs on a device that runs nothing, the gradient from above behind them.
    fn empties(&self, device: &Device) -> Vec<Tensor> {
        let empty = |input: &Input| Tensor::empty(input.base(), input.dtype(), device);
        self.inputs.iter().map(empty).collect()
    }

    /// The result's shape.
    fn shape(&self) -> Shape {
        self.forward(&self.run, &self.empties(&Device::null())).shape()
    }

    /// The kernels that it runs, forward and backward, as they are queued, and as a captured step has them; none of
    /// them runs here.
    pub fn plans(&self) -> [Plan; 2] {
        let device = Device::null();
        let mut all = self.empties(&device);
        if self.gradient != Gradient::Absent {
            all.push(Tensor::empty(self.shape(), DType::F32, &device));
        }
        let queued = device.record(|| self.step(&all)).1;
        match device.capture(&all[..], |inputs| Ok(self.step(inputs))) {
            Ok(captured) => [queued, captured.plan().clone()],
            Err(_) if self.steps => [queued.clone(), queued],
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    /// Whether capturing it joins some of its kernels to others that it does not run otherwise.
    pub fn is_joined(&self) -> bool {
        let [queued, captured] = self.plans();
        captured.dispatches().iter().any(|d| {
            !queued.dispatches().iter().any(|other| other.params == d.params && other.kernel.name == d.kernel.name)
        })
    }

    /// The kernels that it runs, and those that it runs when it is captured.
    pub fn dispatches(&self) -> Vec<Dispatch> {
        self.plans().iter().flat_map(|plan| plan.dispatches().to_vec()).collect()
    }
}

/// A panic is a failure of the case that met it, not of the whole run.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("with no text")))
    })
}
