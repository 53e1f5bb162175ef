//! What follows a product in the same kernel.

use super::{MatMul, Operands, product};
use crate::kernel::functions::relu;
use crate::kernel::{Call, Dispatch, Slot};
use crate::ops::unary::{self, Function};

/// What is done to each result before it is stored: a code that `after4` of `shaders/prelude/after.wgsl` or of
/// `after_slopes.wgsl` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct After(pub u32);

/// Functions whose gradient may follow, in the order of `after4`.
pub(super) static SLOPES: &[&Function] =
    &[&unary::RELU, &unary::TANH, &unary::SIGMOID, &unary::GELU, &unary::GELU_TANH, &unary::SILU];

impl After {
    /// It is stored as it is.
    pub const NOTHING: After = After(0);
    /// Its relu is stored.
    pub const RELU: After = After(1);
    /// Another matrix is added.
    pub const ADD: After = After(2);

    /// Whether it takes the shaders that know every slope.
    pub(super) fn is_slope(self) -> bool {
        self.0 > 3
    }

    /// Whether another matrix of the shape of the result is read.
    fn reads(self) -> bool {
        self.0 >= After::ADD.0
    }

    /// On the host, with the other matrix's elements at the same places.
    fn finish(self, c: &mut [f32], other: &[f32]) {
        match self {
            After::NOTHING => {}
            After::RELU => c.iter_mut().for_each(|c| *c = relu(*c)),
            After::ADD => c.iter_mut().zip(other).for_each(|(c, other)| *c += other),
            After(code) => (SLOPES[code as usize - 3].pass)(c, other),
        }
    }
}

/// Where the bindings a, b, [bias], [other], c of a product are.
pub(super) fn operands(d: &Dispatch) -> Operands {
    let p: MatMul = d.params();
    let (after, mut next) = (After(p.after), 2);
    let mut taken = |is_there: bool| {
        next += usize::from(is_there);
        is_there.then(|| Slot::Arg(next - 1))
    };
    let (bias, other) = (taken(p.bias == 1), taken(after.reads()));
    Operands { bias, after, other, ..Operands::plain(Slot::Arg(0), Slot::Arg(1), Slot::Arg(next)) }
}

/// The twin of every such product.
pub(super) fn twin(call: &mut Call) {
    let p: MatMul = call.params();
    let after = After(p.after);
    let mut at = 2;
    let mut taken = |is_there: bool| {
        at += usize::from(is_there);
        if is_there { call.read::<f32>(at - 1) } else { &[] }
    };
    let (bias, other) = (taken(p.bias == 1), taken(after.reads()));
    let finish = |first: usize, c: &mut [f32]| {
        if p.bias == 1 {
            for row in c.chunks_mut(p.n as usize) {
                row.iter_mut().zip(bias).for_each(|(c, bias)| *c += bias);
            }
        }
        let len = c.len();
        after.finish(c, if after.reads() { &other[first..first + len] } else { other });
    };
    product(&p, call.read(0), call.read(1), call.write(at), &finish);
}
