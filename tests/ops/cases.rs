//! Every case there is, in one list, for all who judge, validate or count them.

mod case;
mod elementwise;
mod fused;
mod images;
mod moves;
mod products;
mod reductions;

pub use case::{Case, Data, Gradient, Input, Outcome, case, whole, x};

/// All cases. A new operation's cases are one entry in one of the lists.
pub fn all() -> Vec<Case> {
    let lists =
        [elementwise::cases(), moves::cases(), reductions::cases(), products::cases(), fused::cases(), images::cases()];
    lists.into_iter().flatten().collect()
}
