//! What one optimizer does that others do not.

use super::hyper::QUAD;
use super::slab::{Slab, Stretch};
use crate::error::Result;
use crate::kernel::{Call, Kernel, parallel};
use crate::tensor::Tensor;
use bytemuck::Pod;
use std::fmt::Debug;
use std::ops::Range;

/// The options of an optimizer, and how they move a stretch of parameters.
pub trait Rule: Copy + PartialEq + Debug + Send + Sync + 'static {
    /// The optimizer's name, in messages.
    const NAME: &'static str;

    /// Refuses options that are out of range, with [`Error::Option`](crate::Error::Option).
    #[doc(hidden)]
    fn check(&self) -> Result<()>;

    /// The learning rate at the start.
    #[doc(hidden)]
    fn lr(&self) -> f32;

    /// What is kept for each value: PyTorch's names, and what it is at first.
    #[doc(hidden)]
    fn moments(&self) -> &'static [(&'static str, f32)];

    /// What each of these is at first.
    #[doc(hidden)]
    fn firsts(&self) -> Vec<f32> {
        self.moments().iter().map(|(_, first)| *first).collect()
    }

    /// The part of the last direction that a step keeps, where there is such a part.
    #[doc(hidden)]
    fn momentum(&self) -> Option<f32> {
        None
    }

    /// The numbers of a step that its kernels read, always as many and at most [`NUMBERS`].
    #[doc(hidden)]
    fn numbers(&self, now: Now) -> Vec<f32>;

    /// Moves a stretch.
    #[doc(hidden)]
    fn step(&self, run: &Run);

    /// Whether its numbers depend on how many gradients a parameter has seen: its kernels then bind the slab's slots.
    #[doc(hidden)]
    fn counts(&self) -> bool {
        false
    }

    /// Whether the length of each parameter is needed.
    #[doc(hidden)]
    fn needs_norms() -> bool {
        false
    }
}

/// What changes from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now {
    /// The learning rate.
    pub lr: f32,
    /// The momentum; 0 where the rule has none.
    pub momentum: f32,
    /// Gradients that a parameter has seen, the current one counted.
    pub steps: u64,
}

/// The most numbers that a group has.
pub const NUMBERS: usize = 5;

/// A stretch of a slab in one step.
pub struct Run<'a> {
    pub slab: &'a Slab,
    pub stretch: &'a Stretch,
    pub numbers: &'a Tensor,
    /// Where this group's numbers start.
    pub at: u32,
}

/// Where a stretch lies, and where its numbers do: the first words of each kernel's parameters.
#[repr(C)]
#[derive(Clone, Copy, Pod, bytemuck::Zeroable)]
pub struct Place {
    pub first: u32,
    pub n: u32,
    pub at: u32,
}

impl Run<'_> {
    pub fn place(&self) -> Place {
        Place { first: self.stretch.first, n: self.stretch.n, at: self.at }
    }

    /// Runs a kernel of [gradients, values, moments .., numbers], and where it counts, of slots.
    pub fn update<P: Pod>(&self, kernel: &'static Kernel, params: &P) {
        let Slab { values, gradients, moments, slots, .. } = self.slab;
        let args = [gradients, values].into_iter().chain(moments).chain([self.numbers]).chain(slots);
        let args: Vec<&Tensor> = args.take(kernel.access.len()).collect();
        Tensor::run(kernel, &args, params);
    }
}

impl Place {
    pub fn range(&self) -> Range<usize> {
        self.first as usize..(self.first + self.n) as usize
    }
}

/// Elements that a twin takes at once; every stretch is whole multiples of them.
const BLOCK: usize = 16;

/// Elements with one slot.
pub const SLOT: usize = 64;

/// The twin of such a kernel with N - 1 moments: `each` gets the numbers of the step's group, or of the parameter where the
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
        None => twin(call, place, each),
        Some(slots) => moved(call, place, |at| own(all, QUAD * slots[at / SLOT] as usize), each),
    }
}

/// The same for a kernel that does not count.
pub fn twin<const N: usize>(
    call: &mut Call,
    place: Place,
    each: impl Fn([f32; NUMBERS], f32, [f32; N]) -> [f32; N] + Sync,
) {
    let shared = own(call.read::<f32>(N + 1), place.at as usize);
    moved(call, place, |_| shared, each);
}

/// The numbers of a group or a parameter.
fn own(all: &[f32], at: usize) -> [f32; NUMBERS] {
    std::array::from_fn(|i| all.get(at + i).copied().unwrap_or(0.0))
}

/// A gradient and what a weight decay adds to it: nothing where there is none, be the parameter infinite.
pub fn decayed(g: f32, decay: f32, x: f32) -> f32 {
    if decay == 0.0 { g } else { g + decay * x }
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
    each: impl Fn([f32; NUMBERS], f32, [f32; N]) -> [f32; N] + Sync,
) {
    let factor = call.read::<f32>(N + 1)[0];
    let gradients = &call.read::<f32>(0)[place.range()];
    let moved: [&mut [f32]; N] = std::array::from_fn(|i| &mut call.write::<f32>(1 + i)[place.range()]);
    parallel::chunks_of(moved, parallel::GRAIN, |piece, moved| {
        let mut moved = moved.map(|values| values.as_chunks_mut::<BLOCK>().0.iter_mut());
        for (at, gradients) in gradients[piece * parallel::GRAIN..].as_chunks::<BLOCK>().0.iter().enumerate() {
            let own = own(piece * parallel::GRAIN + at * BLOCK);
            // In arrays of its own the compiler sees that nothing overlaps, and takes several elements at a time.
            let mut blocks: [Option<&mut [f32; BLOCK]>; N] = moved.each_mut().map(|blocks| blocks.next());
            let mut now = [[0.0; BLOCK]; N];
            for (now, block) in now.iter_mut().zip(&blocks) {
                let Some(block) = block else { return };
                *now = **block;
            }
            for i in 0..BLOCK {
                let after = each(own, factor * gradients[i], std::array::from_fn(|m| now[m][i]));
                for m in 0..N {
                    now[m][i] = after[m];
                }
            }
            for (now, block) in now.iter().zip(blocks.iter_mut().flatten()) {
                **block = *now;
            }
        }
    });
}

/// The kernel and the shader of a rule's update: [gradients, values, moments .., numbers], and where it counts, slots; flat
/// in fours.
macro_rules! update {
    ($kernel:ident, $shader:ident, $name:literal, $params:ty, moments $moments:literal, flops $flops:literal, $twin:expr) => {
        update!($kernel, $shader, $name, $params, moments $moments, slots 0, flops $flops, $twin);
    };
    ($kernel:ident, $shader:ident, $name:literal, $params:ty, moments $moments:literal, slots $slots:literal,
        flops $flops:literal, $twin:expr) => {
        static $shader: $crate::kernel::Shader = $crate::kernel::Shader {
            name: $name,
            source: include_str!(concat!("../../shaders/", $name, ".wgsl")),
            access: {
                use $crate::kernel::Access::{Read, ReadWrite};
                const ACCESS: [$crate::kernel::Access; $moments + 3 + $slots] = {
                    let mut access = [ReadWrite; $moments + 3 + $slots];
                    access[0] = Read;
                    access[$moments + 2] = Read;
                    access[$moments + 2 + $slots] = Read;
                    access
                };
                &ACCESS
            },
        };

        static $kernel: $crate::kernel::Kernel = $crate::kernel::Kernel {
            name: $name,
            access: $shader.access,
            twin: $twin,
            cost: |d| {
                let n = u64::from(d.params::<$params>().place.n);
                $crate::kernel::Cost { flops: $flops * n, bytes: (3 + 2 * $moments) * 4 * n }
            },
            tolerance: $crate::kernel::Tolerance::ROUNDED,
            rewrites: &[],
            variants: &[$crate::kernel::Variant {
                name: "flat",
                fits: |_, _| true,
                suits: |_, _| true,
                lower: |_, d| {
                    let groups = $crate::kernel::groups(d.params::<$params>().place.n as usize, 4 * 256);
                    $crate::kernel::Pass::new(&$shader, $name, groups).alone()
                },
            }],
        };
    };
}
pub(super) use update;
