//! Random numbers on the device: `shaders/uniform.wgsl`, and what is made of them.

use crate::dtype::DType;
use crate::kernel::{Access, Call, Kernel, Pass, Shader, Uniform, Variant, groups, parallel, shader};
use crate::rng::{check_range, key, philox, unit};
use crate::shape::Shape;
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
}
