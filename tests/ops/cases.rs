//! Every case there is, in one list, for all who judge, validate or count them.

mod case;
mod elementwise;
mod fused;
mod images;
mod indexed;
mod input;
mod losses;
mod modes;
mod moves;
mod optimizers;
mod ordered;
mod products;
mod quads;
mod rarer;
mod recurrent;
mod reductions;
mod resized;
mod rows;
mod sequences;
mod special;

use wgrad::kernel::Kernel;

pub use case::{Case, Gradient, Outcome, case};
pub use input::{Data, Input, whole, x};

/// Every kernel that the crate has.
pub fn kernels() -> impl Iterator<Item = &'static Kernel> {
    let floors = [wgrad::ops::KERNELS, wgrad::optim::KERNELS, wgrad::loss::KERNELS];
    floors.into_iter().flatten().flat_map(|page| page.iter().copied()).chain([&wgrad::autograd::ACCUMULATE])
}

/// All cases. A new operation's cases are one entry in one of the lists.
pub fn all() -> Vec<Case> {
    let lists = [
        elementwise::cases(),
        modes::cases(),
        moves::cases(),
        quads::cases(),
        recurrent::cases(),
        rarer::cases(),
        reductions::cases(),
        resized::cases(),
        rows::cases(),
        products::cases(),
        fused::cases(),
        sequences::cases(),
        special::cases(),
        images::cases(),
        indexed::cases(),
        losses::cases(),
        optimizers::cases(),
        ordered::cases(),
    ];
    lists.into_iter().flatten().collect()
}
