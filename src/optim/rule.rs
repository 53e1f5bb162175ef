//! Rules: the part of an optimizer that is its own.

use super::at_least_0;
use super::bucket::{Bucket, Place, SLOT};
use super::hyper::QUAD;
use super::rows::{RowBucket, Sparse};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernel::{Call, parallel};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::fmt::Debug;

/// The options of an optimizer, and how they move parameters. [`Stepper`](super::Stepper) makes an optimizer of it.
///
/// ```
/// use wgrad::Tensor;
/// use wgrad::nn::{Init, Linear};
/// use wgrad::optim::{Optimizer, Rule, Stepper};
/// /// Every value moves by the rate, against the sign of its gradient with some of the last ones.
/// #[derive(Debug, Clone, Copy, PartialEq)]
/// struct SignSgd {
///     lr: f32,
///     momentum: f32,
/// }
/// impl Rule for SignSgd {
///     const NAME: &'static str = "SignSgd";
///     fn lr(&self) -> f32 {
///         self.lr
///     }
///     fn momentum(&self) -> Option<f32> {
///         Some(self.momentum)
///     }
///     fn moments(&self) -> Vec<(&'static str, f32)> {
///         vec![("momentum_buffer", 0.0)]
///     }
///     fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
///         let [lr, momentum] = numbers else { unreachable!("these are the numbers of a rule with a momentum") };
///         moments[0] = &moments[0] * momentum + gradient;
///         let zero = Tensor::scalar(0.0f32, x.device());
///         x - (moments[0].gt(&zero) - moments[0].lt(&zero)) * lr
///     }
/// }
/// let model = Linear::new(3, 1, &mut Init::new(0, &wgrad::Device::cpu()));
/// let mut optimizer = Stepper::new(&model, SignSgd { lr: 0.01, momentum: 0.9 })?.clip_grad_norm(1.0)?;
/// let loss = || model.weight.tensor().square().sum();
/// let before = loss().item()?;
/// optimizer.step(&loss().backward());
/// assert!(loss().item()? < before);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias = "torch.optim.Optimizer")]
pub trait Rule: Copy + PartialEq + Debug + Send + Sync + 'static {
    /// The optimizer's name, in messages and in saved states, which other rules refuse.
    const NAME: &'static str;

    /// A kernel that moves a bucket at once, to the same values as [`update`](Rule::update) but for roundings.
    const FUSED: Option<fn(&Self, &Bucket)> = None;

    /// Whether that kernel moves nothing where `numbers[3]` is 1.
    #[doc(hidden)]
    const SKIPS: bool = false;

    /// A kernel that moves the rows of a table at once, to the same values as [`update`](Rule::update) of these rows.
    const FUSED_ROWS: Option<fn(&Self, &RowBucket)> = None;

    /// What it does with a gradient of [rows](crate::autograd::Rows). One that moves rows alone does so by its definition, which then sees
    /// `[n, width]`; numbers are as of any other parameter, and count steps in which the parameter had a gradient at all.
    fn sparse(&self) -> Sparse {
        Sparse::Refused
    }

    /// The learning rate at the start.
    fn lr(&self) -> f32;

    /// The definition: the values that `x` is to have, from the gradient with respect to it after clipping. `moments` are as
    /// [`moments`](Rule::moments) lists them, to be replaced by what is kept for the next step; `numbers` are
    /// [`numbers`](Rule::numbers) of the current step, tensors that broadcast against `x`.
    ///
    /// Many parameters lie behind one another in `x`, as `[n, 64]`, unless the rule goes [by
    /// parameter](Rule::by_parameter). What changes from step to step must come from the arguments: a step that is replayed
    /// does not call this again.
    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor;

    /// The moments that are kept for each value: names as PyTorch has them, and first values.
    fn moments(&self) -> Vec<(&'static str, f32)> {
        Vec::new()
    }

    /// The type that moments are kept in: f32 or bf16, which a rule without a kernel of its own for it rounds to the nearest.
    fn state_dtype(&self) -> DType {
        DType::F32
    }

    /// The part of the last direction that a step keeps, where there is such a part: a schedule may set it.
    fn momentum(&self) -> Option<f32> {
        None
    }

    /// Refuses a momentum that is to be set, by a schedule or from a state: unless overridden, one below 0 or no number.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option).
    fn takes_momentum(&self, momentum: f32) -> Result<()> {
        at_least_0("momentum", momentum).map(drop)
    }

    /// The numbers of a step, always as many: the rate and, where there is one, the momentum, or what the host makes of them
    /// and of how many gradients a parameter has seen.
    fn numbers(&self, now: Now) -> Vec<f32> {
        [now.lr].into_iter().chain(self.momentum().map(|_| now.momentum)).collect()
    }

    /// Whether the numbers depend on how many gradients a parameter has seen, so that parameters may have numbers of their
    /// own. Where they do not, saying so saves a kernel.
    fn counts(&self) -> bool {
        true
    }

    /// Whether [`update`](Rule::update) looks at parameters as wholes, such as their norms, and is called with each in its
    /// own shape.
    fn by_parameter(&self) -> bool {
        false
    }

    /// Refuses options that are out of range.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option).
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Refuses a parameter that it cannot move, by its path and shape.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option).
    fn takes(&self, _path: &str, _shape: Shape) -> Result<()> {
        Ok(())
    }

    /// Whether the fused kernels read the length of each parameter.
    #[doc(hidden)]
    fn needs_norms() -> bool {
        false
    }
}

/// The state of a group in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now {
    /// The learning rate.
    pub lr: f32,
    /// The momentum; 0 where the rule has none.
    pub momentum: f32,
    /// Gradients that a parameter has seen, the current one counted: from 1 up.
    pub steps: u64,
}

/// The most numbers that a definition reads.
pub const NUMBERS: usize = 6;

/// Elements that a definition takes at once; every stretch is whole multiples of them.
const BLOCK: usize = 16;

/// The definition of such a kernel with N - 1 moments: `each` gets the numbers of the step's group, or of the parameter where the
/// kernel counts and parameters differ, a gradient after clipping, and the value with its moments, and tells what these are
/// now.
pub fn counted<const N: usize>(
    call: &mut Call,
    place: Place,
    each: impl Fn([f32; NUMBERS], f32, [f32; N]) -> [f32; N] + Sync,
) {
    let all = call.read::<f32>(N + 1);
    match slots(call, place, N + 1) {
        // Told apart here, so that what is the same for a whole stretch is so for the compiler, too.
        None => uncounted(call, place, each),
        Some(slots) => {
            let own = |at: usize| own(all, QUAD * slots[at / SLOT] as usize);
            moved(call, place, own, |_, now, g, before| each(now, g, before));
        }
    }
}

/// The same where `each` gets the place of the element in its slab, too.
pub fn counted_at<const N: usize>(
    call: &mut Call,
    place: Place,
    each: impl Fn(usize, [f32; NUMBERS], f32, [f32; N]) -> [f32; N] + Sync,
) {
    let (all, slots) = (call.read::<f32>(N + 1), slots(call, place, N + 1));
    let start = |at: usize| slots.map_or(place.at as usize, |slots| QUAD * slots[at / SLOT] as usize);
    moved(call, place, |at| own(all, start(at)), each);
}

/// The same for a kernel that does not count.
pub fn uncounted<const N: usize>(
    call: &mut Call,
    place: Place,
    each: impl Fn([f32; NUMBERS], f32, [f32; N]) -> [f32; N] + Sync,
) {
    let shared = own(call.read::<f32>(N + 1), place.at as usize);
    moved(call, place, |_| shared, |_, now, g, before| each(now, g, before));
}

/// The numbers of a group or a parameter.
pub fn own(all: &[f32], at: usize) -> [f32; NUMBERS] {
    std::array::from_fn(|i| all.get(at + i).copied().unwrap_or(0.0))
}

/// A gradient and what a weight decay adds to it: nothing where there is none, be the parameter infinite.
pub fn decayed(g: f32, decay: f32, x: f32) -> f32 {
    if decay == 0.0 { g } else { g + decay * x }
}

/// The same of tensors.
pub fn with_decay(gradient: &Tensor, decay: f32, x: &Tensor) -> Tensor {
    if decay == 0.0 { gradient.clone() } else { gradient + x * decay }
}

/// The slots of a stretch, which are bound behind the numbers, where these say that parameters differ.
pub fn slots<'a>(call: &Call<'a>, place: Place, numbers: usize) -> Option<&'a [i32]> {
    let apart = call.read::<f32>(numbers)[2] == 1.0;
    apart.then(|| &call.read::<i32>(numbers + 1)[place.first as usize / SLOT..])
}

fn moved<const N: usize>(
    call: &mut Call,
    place: Place,
    own: impl Fn(usize) -> [f32; NUMBERS] + Sync,
    each: impl Fn(usize, [f32; NUMBERS], f32, [f32; N]) -> [f32; N] + Sync,
) {
    let [factor, _, _, given_up, ..] = *call.read::<f32>(N + 1) else { return };
    if given_up == 1.0 {
        return;
    }
    let gradients = &call.read::<f32>(0)[place.range()];
    let moved: [&mut [f32]; N] = std::array::from_fn(|i| &mut call.write::<f32>(1 + i)[place.range()]);
    parallel::chunks_of(
        moved,
        parallel::GRAIN,
        #[inline(always)]
        |piece, moved| {
            let mut moved = moved.map(|values| values.as_chunks_mut::<BLOCK>().0.iter_mut());
            for (at, gradients) in gradients[piece * parallel::GRAIN..].as_chunks::<BLOCK>().0.iter().enumerate() {
                let start = piece * parallel::GRAIN + at * BLOCK;
                let own = own(start);
                // In arrays of its own the compiler sees that nothing overlaps, and takes several elements at a time.
                let mut blocks: [Option<&mut [f32; BLOCK]>; N] = moved.each_mut().map(|blocks| blocks.next());
                let mut now = [[0.0; BLOCK]; N];
                for (now, block) in now.iter_mut().zip(&blocks) {
                    let Some(block) = block else { return };
                    *now = **block;
                }
                for i in 0..BLOCK {
                    let after = each(
                        place.first as usize + start + i,
                        own,
                        factor * gradients[i],
                        std::array::from_fn(|m| now[m][i]),
                    );
                    for m in 0..N {
                        now[m][i] = after[m];
                    }
                }
                for (now, block) in now.iter().zip(blocks.iter_mut().flatten()) {
                    **block = *now;
                }
            }
        },
    );
}

/// The kernel and the shader of a rule's update: [gradients, values, moments .., numbers], and where it counts, slots; flat
/// in fours.
macro_rules! update {
    ($kernel:ident, $shader:ident, $name:literal, $params:ty, moments $moments:literal, flops $flops:literal, $definition:expr) => {
        update!($kernel, $shader, $name, $params, moments $moments, slots 0, flops $flops, $definition);
    };
    ($kernel:ident, $shader:ident, $name:literal, $params:ty, moments $moments:literal, slots $slots:literal,
        flops $flops:literal, $definition:expr) => {
        static $shader: $crate::kernel::Shader = $crate::kernel::shader!($name, {
            use $crate::kernel::Access::{Read, ReadWrite};
            const ACCESS: [$crate::kernel::Access; $moments + 3 + $slots] = {
                let mut access = [ReadWrite; $moments + 3 + $slots];
                access[0] = Read;
                access[$moments + 2] = Read;
                access[$moments + 2 + $slots] = Read;
                access
            };
            &ACCESS
        });

        static $kernel: $crate::kernel::Kernel = $crate::kernel::Kernel::new($name, $shader.access, $definition, |d| {
            let n = u64::from(d.params::<$params>().place.n);
            $crate::kernel::Cost { flops: $flops * n, bytes: (3 + 2 * $moments) * 4 * n }
        })
        .variants(&[$crate::kernel::Variant::new("flat", |_, d| {
            let groups = $crate::kernel::groups(d.params::<$params>().place.n as usize, 4 * 256);
            $crate::kernel::Pass::new(&$shader, $name, groups).alone()
        })]);
    };
}
pub(super) use update;
