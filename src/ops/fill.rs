//! Tensors of one value, and tensors of random values: `shaders/fill.wgsl`.

use crate::device::Device;
use crate::dtype::{Convert, DType, Element, Number, by_dtype};
use crate::kernel::{Access, Call, Kernel, Pass, Shader, Slot, Tolerance, Uniform, Variant, groups, shader};
use crate::rng::{Rng, check_range};
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("fill", &[Access::Write]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct FillParams {
    /// Words.
    n: u32,
    /// Two of them, in turn.
    value: [u32; 2],
}

static FILL: Kernel = Kernel::new("fill", &[Access::Write], definition, |d| d.cost(0))
    .tolerance(Tolerance::EXACT)
    .variants(&[Variant::new("flat", |_, d| {
        Pass::new(&SHADER, "fill", groups(d.params::<FillParams>().n as usize, 4 * 256)).typed().alone()
    })]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&FILL];

/// Sets `n` words to 0, and those behind them up to a whole vec4.
pub(super) fn zeros(place: Slot, n: u32) -> Pass {
    let pass = Pass::new(&SHADER, "fill", groups(n as usize, 4 * 256)).slots(&[place]);
    pass.params(&FillParams { n, value: [0; 2] })
}

fn definition(call: &mut Call) {
    let p: FillParams = call.params();
    for (at, word) in call.write_bits::<u32>(0).iter_mut().enumerate() {
        *word = p.value[at % 2];
    }
}

/// # Creation by a value or by chance
impl Tensor {
    /// Every element `value`; its type is the tensor's.
    #[doc(alias = "full_like")]
    #[track_caller]
    pub fn full<T: Element>(shape: impl Into<Shape>, value: T, device: &Device) -> Tensor {
        Tensor::filled(shape.into(), T::DTYPE, bytemuck::bytes_of(&value), device)
    }

    /// Every element of these bytes.
    #[track_caller]
    fn filled(shape: Shape, dtype: DType, element: &[u8], device: &Device) -> Tensor {
        let out = Tensor::empty(shape, dtype, device);
        let n = (out.numel() * dtype.bytes()).div_ceil(4) as u32;
        let value = bytemuck::pod_read_unaligned(&element.repeat(8 / element.len()));
        Tensor::run(&FILL, &[&out], &FillParams { n, value });
        out
    }

    /// Every element `value`, on this tensor's device and of its type: towards zero where that is an integer.
    #[track_caller]
    pub fn new_full(&self, shape: impl Into<Shape>, value: f32) -> Tensor {
        let (dtype, device) = (self.dtype(), self.device());
        by_dtype!(dtype, T => Tensor::full(shape, T::of(Number::Float(value)), device))
    }

    /// Every element 0, on this tensor's device and of its type.
    #[track_caller]
    pub fn new_zeros(&self, shape: impl Into<Shape>) -> Tensor {
        self.new_full(shape, 0.0)
    }

    /// Every element 0.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::full(shape, 0.0f32, device)
    }

    /// Every element 1.
    #[doc(alias = "ones_like")]
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::full(shape, 1.0f32, device)
    }

    /// The result of `op` where a size of an input is 0: zeros, if there is anything, and gradients of 0.
    #[track_caller]
    pub(crate) fn of_nothing(op: &'static str, shape: Shape, inputs: &[&Tensor]) -> Tensor {
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape()).collect();
        inputs[0].new_zeros(shape).tracked(op, inputs, move |dy, needs| {
            let gradient = |(shape, needed): (&Shape, &bool)| needed.then(|| dy.new_zeros(*shape));
            shapes.iter().zip(needs).map(gradient).collect()
        })
    }

    /// Every element 0, of this tensor's shape and type.
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        self.new_zeros(self.shape())
    }

    /// Every element 1, of this tensor's shape and type.
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        self.full_like(1.0)
    }

    /// Every element `value`, of this tensor's shape and type.
    ///
    /// # Panics
    /// As [`Tensor::new_full`].
    #[track_caller]
    pub fn full_like(&self, value: f32) -> Tensor {
        self.new_full(self.shape(), value)
    }

    /// Uniform in [low, high), drawn on the host: one seed gives the same values on every device.
    ///
    /// # Panics
    /// If `low` is above `high`, one is NaN, or they are farther apart than the largest f32.
    #[track_caller]
    pub fn uniform(shape: impl Into<Shape>, low: f32, high: f32, rng: &mut Rng, device: &Device) -> Tensor {
        check_range(low, high);
        let shape = shape.into();
        let data: Vec<f32> = (0..shape.numel()).map(|_| rng.within(low, high)).collect();
        Tensor::from_vec(data, shape, device)
    }

    /// Normal, drawn on the host: one seed gives the same values on every device.
    #[track_caller]
    pub fn normal(shape: impl Into<Shape>, mean: f32, deviation: f32, rng: &mut Rng, device: &Device) -> Tensor {
        let shape = shape.into();
        let data: Vec<f32> = (0..shape.numel()).map(|_| mean + deviation * rng.normal()).collect();
        Tensor::from_vec(data, shape, device)
    }
}
