//! Parameters side by side in memory with all of a step that concerns them, and how a definition moves them.

use super::hyper::QUAD;
use super::rule::Rule;
use super::slab::{Slab, Stretch};
use crate::dtype::DType;
use crate::kernel::Kernel;
use crate::kernel::Uniform;
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

/// Elements with one slot: parameters start at multiples of them.
pub const SLOT: usize = 64;

/// The place of a bucket in its memory: the first words of an update kernel's parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable, Uniform)]
pub struct Place {
    /// The first element, a multiple of 64.
    pub first: u32,
    /// The number of elements, a multiple of 64.
    pub n: u32,
    /// The start of the group's [numbers](Bucket::numbers), a multiple of 4.
    pub at: u32,
}

impl Place {
    /// Its elements.
    pub fn range(&self) -> Range<usize> {
        self.first as usize..(self.first + self.n) as usize
    }
}

/// Parameters that lie behind one another in memory and all have a gradient in this step, each at a multiple of 64 elements.
/// Their gradients and moments lie at the same [place](Bucket::place) of tensors as long.
pub struct Bucket<'a> {
    pub(super) slab: &'a Slab,
    pub(super) stretch: &'a Stretch,
    pub(super) numbers: &'a Tensor,
    /// The start of this group's numbers, and their count.
    pub(super) at: u32,
    pub(super) count: usize,
}

impl Bucket<'_> {
    /// Its place in the tensors below.
    pub fn place(&self) -> Place {
        Place { first: self.stretch.first, n: self.stretch.n, at: self.at }
    }

    /// The values.
    pub fn values(&self) -> &Tensor {
        &self.slab.values
    }

    /// The gradients, before the factor that clips: `numbers[0]`.
    pub fn gradients(&self) -> &Tensor {
        &self.slab.gradients
    }

    /// The moments of the rule.
    pub fn moments(&self) -> &[Tensor] {
        &self.slab.moments
    }

    /// First the factor that a kernel multiplies gradients by, then the norm, then whether parameters have numbers of their
    /// own, then whether the step is given up; [`Place::at`] tells where those of the group are.
    pub fn numbers(&self) -> &Tensor {
        self.numbers
    }

    /// For each 64 elements, the place in fours of their parameter's own numbers, where `numbers[2]` is 1 and the rule
    /// [counts](super::Rule::counts).
    pub fn slots(&self) -> Option<&Tensor> {
        self.slab.slots.as_ref()
    }

    /// A word that tells its slab from others, in this run and in one that goes on.
    pub(super) fn salt(&self) -> u32 {
        // FNV-1a over the name of the slab's first parameter.
        let add = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        self.slab.name(0).bytes().fold(0x811c_9dc5, add)
    }

    /// Runs a kernel of [gradients, values, moments .., numbers], and where it counts, of slots.
    pub(super) fn run<P: Uniform>(&self, kernel: &'static Kernel, params: &P) {
        let args = [self.gradients(), self.values()].into_iter().chain(self.moments());
        let args: Vec<&Tensor> = args.chain([self.numbers]).chain(self.slots()).take(kernel.access.len()).collect();
        Tensor::run(kernel, &args, params);
    }

    /// Moves it by the rule's definition; whether gradients are clipped by their norm.
    #[track_caller]
    pub(super) fn define<R: Rule>(&self, rule: &R, clips: bool) {
        let factor = clips.then(|| self.numbers.narrow(0, 0, 1));
        let parts = if rule.by_parameter() { self.parameters() } else { vec![self.rows()] };
        for Part { x, gradient, moments, numbers } in parts {
            let gradient = factor.iter().fold(gradient, |gradient, factor| gradient * factor);
            let mut kept: Vec<Tensor> = moments.iter().map(|moment| moment.cast(DType::F32)).collect();
            let value = rule.update(&x.cast(DType::F32), &gradient, &mut kept, &numbers);
            let places = [&x].into_iter().chain(&moments);
            let moved = places.zip([value].into_iter().chain(kept)).filter(|(place, new)| !new.is_at(place));
            // First all that is read from the old values, then the new ones go where those are.
            let of_slab = |new: &Tensor| moments.iter().chain([&x]).any(|place| place.buffer() == new.buffer());
            let moved: Vec<_> =
                moved.map(|(place, new)| (place, if of_slab(&new) { new.copy() } else { new })).collect();
            for (place, new) in moved {
                let (due, name) = (place.shape(), R::NAME);
                assert!(new.shape() == due, "{name}: expected values and moments of {due}, got {}", new.shape());
                place.assign(&new.cast(place.dtype()));
            }
        }
    }

    /// All of it as rows of one parameter each.
    fn rows(&self) -> Part {
        let (first, n) = (self.stretch.first as usize, self.stretch.n as usize);
        let part = |slab: &Tensor| slab.narrow(0, first, n).reshape_to(Shape::from([n / SLOT, SLOT]));
        let number = |at: usize| self.numbers.narrow(0, self.at as usize + at, 1).unsqueeze(0);
        let numbers = match self.slots() {
            None => (0..self.count).map(number).collect(),
            Some(slots) => {
                let slots = slots.narrow(0, first / SLOT, n / SLOT);
                let of = |quad: usize| {
                    let rest = self.numbers.numel() - quad * QUAD;
                    let table = self.numbers.narrow(0, quad * QUAD, rest).reshape_to(Shape::from([rest / QUAD, QUAD]));
                    table.index_select(0, &slots)
                };
                let quads: Vec<Tensor> = (0..self.count.div_ceil(QUAD)).map(of).collect();
                (0..self.count).map(|at| quads[at / QUAD].narrow(1, at % QUAD, 1)).collect()
            }
        };
        let moments = self.moments().iter().map(part).collect();
        Part { x: part(self.values()), gradient: part(self.gradients()), moments, numbers }
    }

    /// Each parameter in its own shape.
    fn parameters(&self) -> Vec<Part> {
        let part = |entry: usize| {
            let first = self.slab.own_numbers(entry).unwrap_or(self.at as usize);
            let view = |slab: &Tensor| self.slab.view(entry, slab);
            Part {
                x: view(self.values()),
                gradient: view(self.gradients()),
                moments: self.moments().iter().map(view).collect(),
                numbers: (0..self.count).map(|at| self.numbers.narrow(0, first + at, 1).squeeze(0)).collect(),
            }
        };
        self.stretch.entries.clone().map(part).collect()
    }
}

/// The arguments of a definition.
struct Part {
    x: Tensor,
    gradient: Tensor,
    moments: Vec<Tensor>,
    numbers: Vec<Tensor>,
}
