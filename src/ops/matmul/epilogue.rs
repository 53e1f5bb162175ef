//! Epilogues: functions that follow a product in the same kernel.

use super::{MatMul, Operands, product};
use crate::kernel::functions::relu;
use crate::kernel::{Call, Dispatch, Slot};
use crate::ops::unary::{self, Function};

/// The function of each result before it is stored: a code that `epilogue4` of `shaders/prelude/epilogue.wgsl` or of
/// `epilogue_slopes.wgsl` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epilogue(pub u32);

/// Functions whose gradient may follow, in the order of `epilogue4`.
pub(super) static SLOPES: &[&Function] =
    &[&unary::RELU, &unary::TANH, &unary::SIGMOID, &unary::GELU, &unary::GELU_TANH, &unary::SILU];

impl Epilogue {
    /// It is stored as it is.
    pub const NOTHING: Epilogue = Epilogue(0);
    /// Its relu is stored.
    pub const RELU: Epilogue = Epilogue(1);
    /// Another matrix is added.
    pub const ADD: Epilogue = Epilogue(2);

    /// Whether it takes the shaders that know every slope.
    pub(super) fn is_slope(self) -> bool {
        self.0 > 3
    }

    /// Whether another matrix of the shape of the result is read.
    fn reads(self) -> bool {
        self.0 >= Epilogue::ADD.0
    }

    /// Of one element, with the other matrix's at the same place.
    fn of(self, c: f32, other: f32) -> f32 {
        match self {
            Epilogue::NOTHING => c,
            Epilogue::RELU => relu(c),
            Epilogue::ADD => c + other,
            Epilogue(code) => (SLOPES[code as usize - 3].slope)(c, other),
        }
    }

    /// The same of many.
    fn finish(self, c: &mut [f32], other: &[f32]) {
        match self {
            Epilogue::NOTHING => {}
            Epilogue::RELU => c.iter_mut().for_each(|c| *c = relu(*c)),
            Epilogue::ADD => c.iter_mut().zip(other).for_each(|(c, other)| *c += other),
            Epilogue(code) => (SLOPES[code as usize - 3].pass)(c, other),
        }
    }
}

/// The places of a product's bindings a, b, [bias], [other], c.
pub(super) fn operands(d: &Dispatch) -> Operands {
    let p: MatMul = d.params();
    let (epilogue, mut next) = (Epilogue(p.epilogue), 2);
    let mut taken = |is_there: bool| {
        next += usize::from(is_there);
        is_there.then(|| Slot::Arg(next - 1))
    };
    let (bias, other) = (taken(p.bias == 1), taken(epilogue.reads()));
    Operands { bias, epilogue, other, ..Operands::plain(Slot::Arg(0), Slot::Arg(1), Slot::Arg(next)) }
}

/// The bias, the other matrix and c of a call, where they are.
fn bound<'a>(call: &mut Call<'a>, p: &MatMul) -> (&'a [f32], &'a [f32], &'a mut [f32]) {
    let mut at = 2;
    let mut taken = |is_there: bool| {
        at += usize::from(is_there);
        if is_there { call.read::<f32>(at - 1) } else { &[] }
    };
    let (bias, other) = (taken(p.bias == 1), taken(Epilogue(p.epilogue).reads()));
    (bias, other, call.write(at))
}

/// c = a b + bias, and what follows.
pub(super) fn definition(call: &mut Call) {
    let p: MatMul = call.params();
    let (a, b) = (call.read::<f32>(0), call.read::<f32>(1));
    let (bias, other, c) = bound(call, &p);
    for ((at, sum), c) in p.sums(a, b).enumerate().zip(c) {
        let bias = if p.bias == 1 { f64::from(bias[at % p.n as usize]) } else { 0.0 };
        *c = Epilogue(p.epilogue).of((sum + bias) as f32, other.get(at).copied().unwrap_or(0.0));
    }
}

/// The same by blocks of rows, each finished while it is in the cache.
pub(super) fn host(call: &mut Call) {
    let p: MatMul = call.params();
    let (a, b) = (call.read::<f32>(0), call.read::<f32>(1));
    let ((bias, other, c), epilogue) = (bound(call, &p), Epilogue(p.epilogue));
    let finish = |first: usize, c: &mut [f32]| {
        if p.bias == 1 {
            for row in c.chunks_mut(p.n as usize) {
                row.iter_mut().zip(bias).for_each(|(c, bias)| *c += bias);
            }
        }
        let len = c.len();
        epilogue.finish(c, if epilogue.reads() { &other[first..first + len] } else { other });
    };
    product(&p, [a, b], c, &finish);
}
