//! Changing the element type: `shaders/cast.wgsl`, and for elements that are no words `shaders/convert.wgsl`.

use crate::autograd::{Op, is_differentiated};
use crate::dtype::DType;
use crate::kernel::{
    Access, Call, Constant, Dispatch, Kernel, Lowering, Pass, Shader, Tolerance, Uniform, Variant, convert, groups,
    parallel, shader,
};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("cast", &[Access::Read, Access::Write]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct CastParams {
    n: u32,
}

macro_rules! casts {
    ($($constant:ident: $name:literal, $from:ty, $to:ty, $held:literal;)*) => {
        $(static $constant: Kernel = Kernel::new(
            $name,
            SHADER.access,
            |call| {
                let (p, x) = (call.params::<CastParams>(), call.read::<$from>(0));
                parallel::fill(&mut call.write::<$to>(1)[..p.n as usize], |i| x[i] as $to);
            },
            |d| d.cost(0),
        )
        .tolerance(Tolerance::EXACT)
        .variants(&[Variant::new("flat", |_, d| {
            Pass::new(&SHADER, "cast_each", groups(d.params::<CastParams>().n as usize, 4 * 256))
                .constant("From", Constant::Alias(stringify!($from)))
                .constant("To", Constant::Alias(stringify!($to)))
                .constant("HELD", Constant::Bool($held))
                .alone()
        })]);)*
    };
}

casts! {
    TO_I32: "cast_i32", f32, i32, true;
    TO_F32: "cast_f32", i32, f32, false;
}

/// Any other change of type.
static CAST: Kernel = Kernel::new("cast", SHADER.access, |call| cast_twin(call, false), |d| d.cost(0))
    .tolerance(Tolerance::EXACT)
    .variants(&[Variant::new("flat", |_, d| cast_pass(d, false))])
    .once();

/// Indices of i64 as i32: those that do not fit become the ends, which are outside of whatever they pick from.
static INDEX: Kernel = Kernel::new("cast_index", SHADER.access, |call| cast_twin(call, true), |d| d.cost(0))
    .tolerance(Tolerance::EXACT)
    .variants(&[Variant::new("flat", |_, d| cast_pass(d, true))])
    .once();

fn cast_twin(call: &mut Call, held: bool) {
    let (from, to, n) = (call.dtype(0), call.dtype(1), call.params::<CastParams>().n as usize);
    convert::convert(call.read_bits(0), from, call.write_bits(1), to, n, held);
}

fn cast_pass(d: &Dispatch, held: bool) -> Lowering {
    convert::pass(d.bindings[0].dtype, d.bindings[1].dtype, d.params::<CastParams>().n, held).typed().alone()
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&TO_I32, &TO_F32, &CAST, &INDEX];

/// # Choice and type
impl Tensor {
    /// The elements as another type. Floats are rounded to the nearest, and become integers towards zero, the nearest there is
    /// where they do not fit, and 0 of NaN; integers are cut to the bits there are; what is not 0 is true. The gradient of a
    /// float becomes one of its own type, and integers have none. PyTorch's `to(dtype)`.
    ///
    /// ```
    /// # use wgrad::{DType, Tensor, bf16};
    /// let x = Tensor::from_slice(&[1.0f32, 1.0 / 3.0], [2], &wgrad::Device::cpu());
    /// assert_eq!(x.cast(DType::BF16).to_vec::<bf16>()?, [1.0, 0.33398438].map(bf16::from_f32));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[doc(alias("astype", "float", "half", "bfloat16", "to_dtype", "type"))]
    pub fn cast(&self, dtype: DType) -> Tensor {
        let from = self.dtype();
        let kernel = match (from, dtype) {
            _ if from == dtype => return self.clone(),
            (DType::F32, DType::I32) => &TO_I32,
            (DType::I32, DType::F32) => &TO_F32,
            _ => &CAST,
        };
        let y = self.converted(kernel, dtype);
        let op = || Op::new("cast").with("dtype", dtype.to_string());
        match from.is_float() && dtype.is_float() {
            true => y.tracked(op, &[self], move |dy, _| vec![Some(dy.cast_once(from))]),
            false => y.noted(op, &[self]),
        }
    }

    /// [`Tensor::cast`] that leaves repeated what is repeated, as the gradient of a sum is.
    pub(crate) fn cast_once(&self, dtype: DType) -> Tensor {
        let layout = self.layout();
        let repeats = |&d: &usize| layout.strides()[d] == 0 && layout.shape[d] > 1;
        let dims: Vec<usize> = (0..self.rank()).filter(repeats).collect();
        if dims.is_empty() || is_differentiated() {
            return self.cast(dtype);
        }
        dims.into_iter().fold(self.clone(), |x, dim| x.narrow(dim, 0, 1)).cast(dtype).expand(self.shape())
    }

    fn converted(&self, kernel: &'static Kernel, dtype: DType) -> Tensor {
        let x = self.detach().dense();
        let y = Tensor::empty_like(x.layout(), dtype, x.device());
        Tensor::run(kernel, &[&x, &y], &CastParams { n: x.numel() as u32 });
        y
    }

    /// The type that an operation on floats computes its result in, as PyTorch promotes them: that of all, or f32 where they
    /// differ. A scalar changes no other tensor's type, nor does a parameter in a pass of mixed precision, which has rules of its
    /// own for some operations.
    ///
    /// # Panics
    /// If one is no float.
    #[track_caller]
    pub(crate) fn promoted(op: &str, all: &[&Tensor]) -> DType {
        if let Some(other) = all.iter().find(|x| !x.dtype().is_float()) {
            panic!("{op}: expected tensors of floats, got {}", other.dtype());
        }
        let of = |fits: fn(&Tensor) -> bool| {
            let dtypes = all.iter().filter(|x| fits(x)).map(|x| x.dtype());
            dtypes.reduce(|a, b| if a == b { a } else { DType::F32 })
        };
        Tensor::ruled(op, all)
            .or_else(|| of(|x| x.rank() > 0 && !x.adapts()))
            .or_else(|| of(|x| x.rank() > 0))
            .or_else(|| of(|_| true))
            .unwrap_or(DType::F32)
    }

    /// Whole numbers and truth values that stand beside floats, as floats of the type that these are [promoted](Tensor::promoted)
    /// to, which they do not change. Nothing where all are of one kind.
    #[track_caller]
    pub(crate) fn beside_floats<const N: usize>(op: &str, all: [&Tensor; N]) -> Option<[Tensor; N]> {
        let floats: Vec<&Tensor> = all.into_iter().filter(|x| x.dtype().is_float()).collect();
        if floats.is_empty() || floats.len() == N {
            return None;
        }
        let dtype = Tensor::promoted(op, &floats);
        Some(all.map(|x| if x.dtype().is_float() { x.clone() } else { x.cast(dtype) }))
    }

    /// What `work` makes of floats in f32, in the type that they are [promoted](Tensor::promoted) to: for what is made of several
    /// operations and would lose more than its result's own rounding.
    ///
    /// # Panics
    /// If one is no float.
    #[track_caller]
    pub(crate) fn in_f32<const N: usize>(
        op: &str,
        all: [&Tensor; N],
        work: impl FnOnce([&Tensor; N]) -> Tensor,
    ) -> Tensor {
        let dtype = Tensor::promoted(op, &all);
        let wide = all.map(|x| x.cast(DType::F32));
        work(wide.each_ref()).cast(dtype)
    }

    /// Floats as f32 where one of them is a half, with the type that a result is [promoted](Tensor::promoted) to: for what would
    /// round on its way. Nothing where no half is, or where one is no float.
    #[track_caller]
    pub(crate) fn widened<const N: usize>(op: &str, all: [&Tensor; N]) -> Option<([Tensor; N], DType)> {
        let halves = all.iter().any(|x| x.dtype().is_half()) && all.iter().all(|x| x.dtype().is_float());
        halves.then(|| (all.map(|x| x.cast(DType::F32)), Tensor::promoted(op, &all)))
    }

    /// Integers as kernels compare them: as i32. Of i64, those that are none count as the ends.
    pub(crate) fn integers(&self) -> Tensor {
        match self.dtype() {
            DType::I64 => self.converted(&INDEX, DType::I32),
            _ => self.detach().cast(DType::I32),
        }
    }

    /// Labels or indices as kernels take them: of i32, or of i64, where those that are no i32 name nothing.
    #[track_caller]
    pub(crate) fn indices(&self, op: &str, what: &str) -> Tensor {
        let is_index = matches!(self.dtype(), DType::I32 | DType::I64);
        assert!(is_index, "{op}: expected {what} of i32 or i64, got {}", self.dtype());
        self.integers()
    }

    /// A mask as kernels take it: of floats, or of truth values or integers, where what is not 0 is 1.
    pub(crate) fn mask(&self) -> Tensor {
        match self.dtype() {
            dtype if dtype.is_float() => self.clone(),
            DType::Bool => self.cast(DType::F32),
            _ => self.cast(DType::Bool).cast(DType::F32),
        }
    }
}
