//! Random numbers on the device: `shaders/uniform.wgsl`, and what is made of them.

use super::reduce::KeepDims;
use super::sort::Order;
use super::topk::Extreme;
use crate::dtype::DType;
use crate::kernel::{Access, Call, Kernel, Pass, Shader, Uniform, Variant, groups, parallel, shader};
use crate::rng::{check_range, key, philox, unit, units};
use crate::shape::{Int, Shape};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("uniform", &[Access::Read, Access::Write]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct UniformParams {
    n: u32,
    stream: u32,
    key: [u32; 2],
    offset: u32,
    low: f32,
    width: f32,
}

static UNIFORM: Kernel =
    Kernel::new("uniform", SHADER.access, definition, |d| d.cost(2 * u64::from(d.params::<UniformParams>().n)))
        .host(host)
        .variants(&[Variant::new("flat", |_, d| {
            Pass::new(&SHADER, "uniform_values", groups(d.params::<UniformParams>().n as usize, 4 * 256)).alone()
        })]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&UNIFORM];

fn definition(call: &mut Call) {
    let p: UniformParams = call.params();
    let [low, high] = number(call.read(0), p.offset);
    parallel::chunks(&mut call.write::<f32>(1)[..p.n as usize], 4, |block, y| {
        let words = philox([block as u32, low, high, p.stream], p.key);
        for (y, word) in y.iter_mut().zip(words) {
            *y = p.low + p.width * unit(word);
        }
    });
}

/// The same, many blocks at a time.
fn host(call: &mut Call) {
    let p: UniformParams = call.params();
    let [low, high] = number(call.read(0), p.offset);
    parallel::chunks(
        &mut call.write::<f32>(1)[..p.n as usize],
        PIECE,
        #[inline(always)]
        |piece, y| {
            units(y, (piece * PIECE / 4) as u32, [low, high, p.stream], p.key);
            y.iter_mut().for_each(|y| *y = p.low + p.width * *y);
        },
    );
}

/// Numbers that one thread draws at a time: whole blocks.
pub(super) const PIECE: usize = parallel::GRAIN / 4;

/// The number that lies at `step`, low word first, and `offset`, added.
pub(super) fn number(step: &[i32], offset: u32) -> [u32; 2] {
    let number = (u64::from(step[1] as u32) << 32 | u64::from(step[0] as u32)).wrapping_add(u64::from(offset));
    [number as u32, (number >> 32) as u32]
}

/// One draw of a [`Generator`](crate::nn::Generator): what makes the numbers of one mask, of one batch of noise. Its number
/// lies on the device, so that a replayed step has another each time. What is drawn twice from one `Draw` is the same.
#[derive(Debug, Clone)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// The stream (see [`crate::rng::streams`]).
    pub stream: u32,
    /// A number to count from, `i32 [2]`, low word first.
    pub step: Tensor,
    /// Added to it: the sum is the number of this draw.
    pub offset: u32,
}

impl Draw {
    /// Uniform between `low` and `high`, a constant without history. The same draw gives the same numbers on every device.
    ///
    /// # Panics
    /// If `low` is above `high`.
    #[doc(alias = "rand")]
    #[track_caller]
    pub fn uniform(&self, shape: impl Into<Shape>, low: f32, high: f32) -> Tensor {
        check_range(low, high);
        let y = Tensor::empty(shape, DType::F32, self.step.device());
        let (n, stream, key) = (y.numel() as u32, self.stream, key(self.seed));
        let params = UniformParams { n, stream, key, offset: self.offset, low, width: high - low };
        Tensor::run(&UNIFORM, &[&self.step, &y], &params);
        y
    }

    /// Normal with this mean and deviation (Box and Muller, 1958), a constant without history.
    #[doc(alias = "randn")]
    #[track_caller]
    pub fn normal(&self, shape: impl Into<Shape>, mean: f32, std: f32) -> Tensor {
        let shape = shape.into();
        let u = self.uniform([2, shape.numel()], 0.0, 1.0);
        let [a, b] = [0, 1].map(|half| u.narrow(0, half, 1).squeeze(0));
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = a.affine(-1.0, 1.0).log().affine(-2.0, 0.0).sqrt();
        radius.mul(&b.affine(std::f32::consts::TAU, 0.0).cos()).affine(std, mean).reshape_to(shape)
    }

    /// Of a Beta distribution of these two parameters, from 0 to 1 (Joehnk, 1964), a constant without history.
    ///
    /// # Panics
    /// If a parameter is not above 0 and at most 1: there the draws that it rejects come to an end.
    #[track_caller]
    pub fn beta(&self, shape: impl Into<Shape>, alpha: f32, beta: f32) -> Tensor {
        // Each is taken in half of the cases at least, so that one in 2^24 is taken though it should not be.
        const ROUNDS: usize = 24;
        let fits = [alpha, beta].iter().all(|own| *own > 0.0 && *own <= 1.0);
        assert!(fits, "beta: {alpha} and {beta}: expected numbers above 0 and at most 1");
        let shape = shape.into();
        let u = self.uniform([2, ROUNDS, shape.numel()], 0.0, 1.0);
        let [a, b] = [(0, alpha), (1, beta)]
            .map(|(half, power): (usize, f32)| u.narrow(0, half, 1).squeeze(0).pow_scalar(1.0 / power));
        let sum = a.add(&b);
        let first = sum.le(1.0).argmax(0).unsqueeze(0);
        let share = a.div(&sum).masked_fill(&sum.eq(0.0), 0.5);
        share.gather(0, &first).reshape_to(shape)
    }

    /// Normal, and drawn again until it lies between `low` and `high`: PyTorch's `trunc_normal_`, in one draw.
    ///
    /// # Panics
    /// If `low` is above `high`, or the deviation is not above 0.
    #[doc(alias = "trunc_normal_")]
    #[track_caller]
    pub fn truncated_normal(&self, shape: impl Into<Shape>, mean: f32, std: f32, low: f32, high: f32) -> Tensor {
        assert!(low <= high, "truncated_normal: {low}..{high} is no range: give the lower bound first");
        assert!(std > 0.0, "truncated_normal: expected a deviation above 0, got {std}");
        // The error function between both ends, of which each value is as likely.
        let share = |end: f32| libm::erf(f64::from(end - mean) / f64::from(std) / std::f64::consts::SQRT_2) as f32;
        let u = self.uniform(shape, share(low), share(high));
        u.erfinv().affine(std * std::f32::consts::SQRT_2, mean).clamp(low, high)
    }

    /// 1 with the probability that stands there, else 0; f32.
    ///
    /// # Panics
    /// If the probabilities are no floats.
    #[track_caller]
    pub fn bernoulli(&self, probabilities: &Tensor) -> Tensor {
        let dtype = probabilities.dtype();
        assert!(dtype.is_float(), "bernoulli: expected probabilities of floats, got {dtype}");
        self.uniform(probabilities.shape(), 0.0, 1.0).lt(probabilities.detach().cast(DType::F32))
    }

    /// Whole numbers from `low` up to `high`, which is left out, each as likely as another; i32.
    ///
    /// # Panics
    /// If there are none between them, or more than 2^24.
    #[track_caller]
    pub fn randint(&self, shape: impl Into<Shape>, low: i32, high: i32) -> Tensor {
        let count = i64::from(high) - i64::from(low);
        assert!(count > 0, "randint: {low}..{high} holds no numbers: give the lower end first");
        assert!(count <= 1 << 24, "randint: {low}..{high} holds more than the 2^24 numbers that one draw tells apart");
        // Rounding may reach the end.
        let at = self.uniform(shape, 0.0, count as f32).clamp(0.0, (count - 1) as f32).cast(DType::I32);
        at.add(&Tensor::scalar(low, self.step.device()))
    }

    /// The numbers below `n` in an order by chance; i32 `[n]`.
    #[track_caller]
    pub fn randperm(&self, n: usize) -> Tensor {
        self.uniform([n], 0.0, 1.0).argsort(0, Order::Ascending)
    }

    /// `count` places in each row of weights, `[.., n]`, each as likely as its share of the row; i32 `[.., count]`. With
    /// `replacement` a place may come again; without it those of weight 0 come last. PyTorch's `multinomial`, which refuses what
    /// would have to be read here: a weight that is negative or NaN counts as 0, and a row without any above 0 gives -1, which is no
    /// place.
    ///
    /// # Panics
    /// If the weights are no floats, or without replacement there are fewer places than are to be drawn.
    #[doc(alias = "Categorical")]
    #[track_caller]
    pub fn multinomial(&self, weights: &Tensor, count: usize, replacement: bool) -> Tensor {
        let (shape, dtype) = (weights.shape(), weights.dtype());
        assert!(
            shape.rank() > 0 && dtype.is_float(),
            "multinomial: {shape} of {dtype}: expected weights [.., n] of floats"
        );
        let n = shape[shape.rank() - 1];
        let weights = weights.detach().cast(DType::F32);
        let some = weights.gt(0.0);
        let logs = Tensor::where_(&some, &weights, &weights.new_zeros([])).log();
        let any = some.amax(&[-1], KeepDims::Yes);
        let placed = |places: &Tensor| Tensor::where_(&any, places, &Tensor::scalar(-1i32, places.device()));
        // The largest of log w + Gumbel noise is place i with the probability of its share (Gumbel, 1954).
        let noise = |shape: Shape| self.uniform(shape, 0.0, 1.0).log().neg().log().neg();
        if !replacement {
            assert!(
                count <= n,
                "multinomial: {shape}: there are fewer than {count} places to draw without replacement"
            );
            return placed(&logs.add(&noise(shape)).topk(count, -1, Extreme::Largest).1);
        }
        let wide = Shape::from([&shape[..shape.rank() - 1], &[count, n]].concat());
        placed(&logs.unsqueeze(shape.rank() - 1).add(&noise(wide)).argmax(-1))
    }
}

/// # Chance and shares
impl Tensor {
    /// A draw of one of the classes along a dimension, whose logits these are, that a gradient goes through: shares that are
    /// nearly 0 and 1 where the temperature `tau` is small (Jang et al., 2017). With `hard` it is 1 for the class and 0 for others,
    /// with the gradient of the shares. PyTorch's `gumbel_softmax`.
    ///
    /// # Panics
    /// If there is no such dimension, or these are no floats.
    #[track_caller]
    pub fn gumbel_softmax(&self, tau: f32, hard: bool, dim: impl Int, draw: &Draw) -> Tensor {
        let (dim, shape) = (dim.int(), self.shape());
        // Gumbel (1954).
        let noise = draw.uniform(shape, 0.0, 1.0).log().neg().log().neg();
        let y = self.add(&noise.cast(self.dtype())).affine(tau.recip(), 0.0).softmax(dim);
        if !hard {
            return y;
        }
        let index = y.argmax(dim).unsqueeze(shape.dim("gumbel_softmax", dim));
        let still = y.detach();
        still.zeros_like().scatter_value(dim, &index, 1.0).sub(&still).add(&y)
    }
}
