//! Loss scaling: `shaders/unscale.wgsl`, `shaders/loss_scale.wgsl`.

use super::{Decision, Optimizer, checked};
use crate::autograd::Grads;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::{
    Access, Call, Constant, Cost, Kernel, Pass, Shader, Tolerance, Uniform, Variant, groups, parallel, shader,
};
use crate::nn::{StateDict, StateTensor, Values};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, ReadWrite};

static UNSCALE_SHADER: Shader = shader!("unscale", &[Read, ReadWrite, ReadWrite]);

static SCALE_SHADER: Shader = shader!("loss_scale", &[ReadWrite, ReadWrite]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct UnscaleParams {
    n: u32,
}

/// g / scale in place; found is 1 where one of them is no finite number.
static UNSCALE: Kernel = Kernel::new("unscale", UNSCALE_SHADER.access, unscale_definition, |d| {
    let n = u64::from(d.params::<UnscaleParams>().n);
    Cost { flops: n, bytes: 8 * n }
})
.variants(&[Variant::new("flat", |_, d| {
    let n = d.params::<UnscaleParams>().n as usize;
    let (item, bits, width) = if n.is_multiple_of(4) { ("vec4<f32>", "vec4<u32>", 4) } else { ("f32", "u32", 1) };
    Pass::new(&UNSCALE_SHADER, "unscale", groups(n, width * 256))
        .constant("ITEM", Constant::Alias(item))
        .constant("BITS", Constant::Alias(bits))
        .constant("WIDTH", Constant::U32(width as u32))
        .alone()
})]);

fn unscale_definition(call: &mut Call) {
    let (n, scale) = (call.params::<UnscaleParams>().n as usize, call.read::<f32>(0)[0]);
    let (gradients, found) = (&mut call.write::<f32>(1)[..n], call.write::<f32>(2));
    if !gradients.iter().all(|g| g.is_finite()) {
        found[0] = 1.0;
    }
    let inverse = 1.0 / scale;
    parallel::chunks(gradients, parallel::GRAIN, |_, part| part.iter_mut().for_each(|g| *g *= inverse));
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct LossScaleParams {
    growth: f32,
    backoff: f32,
    interval: f32,
}

/// The scale of the next step, and how many steps were good and how many were given up.
static LOSS_SCALE: Kernel =
    Kernel::new("loss_scale", SCALE_SHADER.access, scale_definition, |_| Cost { flops: 4, bytes: 32 })
        .tolerance(Tolerance::EXACT)
        .variants(&[Variant::new("alone", |_, _| Pass::new(&SCALE_SHADER, "loss_scale", 1).alone())]);

fn scale_definition(call: &mut Call) {
    let p: LossScaleParams = call.params();
    let (found, state) = (call.write::<f32>(0), call.write::<f32>(1));
    let [scale, good, skipped, ..] = state else { return };
    if found[0] != 0.0 {
        (*scale, *good, *skipped) = (*scale * p.backoff, 0.0, *skipped + 1.0);
    } else {
        *good += 1.0;
        if *good >= p.interval {
            let grown = *scale * p.growth;
            (*scale, *good) = (if grown.is_finite() { grown } else { *scale }, 0.0);
        }
    }
    found[0] = 0.0;
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&UNSCALE, &LOSS_SCALE];

/// PyTorch's arguments of `GradScaler`, and its defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradScalerOptions {
    /// The first scale.
    pub init_scale: f32,
    /// The factor of the scale after so many good steps.
    pub growth_factor: f32,
    /// The factor of the scale after an overflow.
    pub backoff_factor: f32,
    /// The good steps in a row before the scale grows.
    pub growth_interval: u32,
}

impl Default for GradScalerOptions {
    fn default() -> GradScalerOptions {
        GradScalerOptions { init_scale: 65536.0, growth_factor: 2.0, backoff_factor: 0.5, growth_interval: 2000 }
    }
}

/// The numbers of its state.
const NUMBERS: [&str; 3] = ["scale", "growth_tracker", "skipped"];

/// Keeps the gradients of a pass in [f16](crate::nn::Precision::F16Mixed) in its range: the loss is scaled up, so that small
/// gradients are not lost, and each optimizer's gradients are scaled down before it steps. Where one is infinite or NaN, the
/// parameters and moments stay what they are, and the scale is halved; after 2,000 good steps it doubles. All of that happens
/// on the device: nothing is read, and a step with it can be replayed. Clones share their state.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear, Precision};
/// use wgrad::optim::{Adam, AdamOptions, GradScaler};
/// let device = wgrad::Device::cpu();
/// let model = Linear::new(2, 1, &mut Init::new(0, &device));
/// let mut optimizer = Adam::new(&model, AdamOptions::default())?;
/// let scaler = GradScaler::new(&device);
/// let ctx = Ctx::train().precision(Precision::F16Mixed);
/// let x = wgrad::Tensor::ones([4, 2], &device);
/// for _ in 0..3 {
///     let loss = model.forward(&x, &ctx).square().mean();
///     scaler.step(&mut optimizer, &scaler.scale(&loss).backward());
///     scaler.update();
/// }
/// assert_eq!((scaler.current_scale()?, scaler.skipped()?), (65536.0, 0));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("amp", "loss scaling"))]
#[derive(Debug, Clone)]
pub struct GradScaler {
    options: GradScalerOptions,
    /// The scale, good steps in a row, steps that were given up.
    state: Tensor,
    /// Whether a step since the last update was given up.
    found: Tensor,
}

impl GradScaler {
    /// With PyTorch's numbers.
    pub fn new(device: &Device) -> GradScaler {
        GradScaler::checked(device, GradScalerOptions::default())
    }

    /// With other numbers.
    ///
    /// # Errors
    /// [`Error::Option`] if the scale is no number above 0, the growth is not above 1, the backoff is not in 0..1, or the
    /// interval is 0.
    pub fn with(device: &Device, options: GradScalerOptions) -> Result<GradScaler> {
        let GradScalerOptions { init_scale, growth_factor, backoff_factor, growth_interval } = options;
        checked("init scale", init_scale, |v| v.is_finite() && v > 0.0, "a number above 0")?;
        checked("growth factor", growth_factor, |v| v.is_finite() && v > 1.0, "a number above 1")?;
        checked("backoff factor", backoff_factor, |v| v > 0.0 && v < 1.0, "between 0 and 1")?;
        let counted = |steps| (1.0..=16_777_216.0).contains(&steps);
        checked("growth interval", growth_interval as f32, counted, "a number of steps from 1 to 16,777,216")?;
        Ok(GradScaler::checked(device, options))
    }

    fn checked(device: &Device, options: GradScalerOptions) -> GradScaler {
        let state = Tensor::full([4], 0.0f32, device);
        state.narrow(0, 0, 1).assign(&Tensor::full([1], options.init_scale, device));
        GradScaler { options, state, found: Tensor::full([1], 0.0f32, device) }
    }

    /// The scale, as a scalar on the device.
    pub(crate) fn factor(&self) -> Tensor {
        self.state.narrow(0, 0, 1).squeeze(0)
    }

    /// The loss times the scale, in f32.
    #[track_caller]
    pub fn scale(&self, loss: &Tensor) -> Tensor {
        loss.cast(DType::F32).mul(&self.factor())
    }

    /// What was computed of scaled gradients, without the scale: their norm, to be told.
    #[track_caller]
    pub fn unscale(&self, value: &Tensor) -> Tensor {
        value.cast(DType::F32).div(&self.factor())
    }

    /// Scales an optimizer's gradients down, and has it step where all of them are finite. Clipping comes after that.
    ///
    /// # Panics
    /// As [`Optimizer::step`].
    #[track_caller]
    pub fn step(&self, optimizer: &mut (impl Optimizer + ?Sized), grads: &Grads) {
        let found = Tensor::zeros([1], self.state.device());
        optimizer.step_with(grads, &mut |buckets| {
            for bucket in buckets {
                let n = bucket.numel() as u32;
                Tensor::run(&UNSCALE, &[&self.state, bucket, &found], &UnscaleParams { n });
            }
            Decision::UpdateIf(found.eq(0.0).squeeze(0))
        });
        self.found.assign(&self.found.maximum(&found));
    }

    /// Makes the scale of the next step: once after all optimizers' steps.
    pub fn update(&self) {
        let GradScalerOptions { growth_factor: growth, backoff_factor: backoff, growth_interval, .. } = self.options;
        let params = LossScaleParams { growth, backoff, interval: growth_interval as f32 };
        Tensor::run(&LOSS_SCALE, &[&self.found, &self.state], &params);
    }

    /// The scale as it is now; reading it waits for the device.
    ///
    /// # Errors
    /// The device's first failure.
    #[doc(alias = "get_scale")]
    pub fn current_scale(&self) -> Result<f32> {
        self.factor().item()
    }

    /// The number of steps that were given up; reading it waits for the device.
    ///
    /// # Errors
    /// The device's first failure.
    pub fn skipped(&self) -> Result<u64> {
        Ok(self.state.narrow(0, 2, 1).squeeze(0).item()? as u64)
    }

    /// The scale and what it counts, to go on from later.
    ///
    /// # Errors
    /// The device's first failure.
    #[doc(alias = "state_dict")]
    pub fn state(&self) -> Result<StateDict> {
        let numbers = self.state.to_vec::<f32>()?;
        let of = |(name, value): (&&str, f32)| {
            (name.to_string(), StateTensor { shape: vec![], values: Values::F32(vec![value]) })
        };
        Ok(NUMBERS.iter().zip(numbers).map(of).collect())
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// [`Error::Weights`] if a number is missing or the scale is none above 0; then nothing was changed.
    #[doc(alias = "load_state_dict")]
    pub fn load_state(&self, saved: &StateDict) -> Result<()> {
        let mut numbers = [0.0f32; 4];
        for (name, place) in NUMBERS.iter().zip(&mut numbers) {
            // A scale of 0 makes each loss 0, and each gradient 0 / 0.
            let (least, from) = if *name == "scale" { (f32::MIN_POSITIVE, "above 0") } else { (0.0, "from 0 up") };
            match saved.get(*name).map(|saved| &saved.values) {
                Some(Values::F32(value)) if value.len() == 1 && value[0].is_finite() && value[0] >= least => {
                    *place = value[0]
                }
                _ => return Err(Error::Weights(format!("the loss scale's state has no number `{name}` {from}"))),
            }
        }
        self.state.upload(&numbers);
        Ok(())
    }
}
