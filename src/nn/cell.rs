//! Recurrent cells, one step at a time: for loops of one's own around them.

use super::ctx::Ctx;
use super::module::{Init, Module};
use super::parameter::Parameter;
use crate::tensor::Tensor;

macro_rules! cells {
    ($($(#[$doc:meta])* $cell:ident, $gates:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Module)]
        pub struct $cell {
            /// `[gates * hidden, inputs]`.
            pub weight_ih: Parameter,
            /// `[gates * hidden, hidden]`.
            pub weight_hh: Parameter,
            /// `[gates * hidden]`.
            pub bias_ih: Option<Parameter>,
            /// `[gates * hidden]`.
            pub bias_hh: Option<Parameter>,
        }

        impl $cell {
            /// With biases; all is uniform within 1 / sqrt(hidden).
            #[track_caller]
            pub fn new(inputs: usize, hidden: usize, init: &mut Init) -> $cell {
                let rows = $gates * hidden;
                $cell {
                    weight_ih: init.uniform([rows, inputs], hidden),
                    weight_hh: init.uniform([rows, hidden], hidden),
                    bias_ih: Some(init.uniform([rows], hidden)),
                    bias_hh: Some(init.uniform([rows], hidden)),
                }
            }

            /// What the input and the state give to each gate, apart.
            #[track_caller]
            fn given(&self, x: &Tensor, hidden: &Tensor, ctx: &Ctx) -> [Tensor; 2] {
                let bias = |bias: &Option<Parameter>| bias.as_ref().map(|bias| ctx.param(bias));
                [
                    x.linear(&ctx.param(&self.weight_ih), bias(&self.bias_ih).as_ref()),
                    hidden.linear(&ctx.param(&self.weight_hh), bias(&self.bias_hh).as_ref()),
                ]
            }
        }
    )*};
}

cells! {
    /// `tanh(W x + b + W' h + b')` (Elman, 1990): PyTorch's `nn.RNNCell`.
    RnnCell, 1;
    /// A step of the gated recurrent unit (Cho et al., 2014), gates in PyTorch's order: reset, update, new.
    GruCell, 3;
    /// A step of long short-term memory (Hochreiter and Schmidhuber, 1997), gates in PyTorch's order: input, forget, cell,
    /// output.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, LstmCell};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let cell = LstmCell::new(3, 4, &mut Init::new(0, &device));
    /// let mut state = [(); 2].map(|()| Tensor::zeros([2, 4], &device));
    /// for _ in 0..5 {
    ///     state = cell.forward(&Tensor::ones([2, 3], &device), &state, &Ctx::train());
    /// }
    /// assert_eq!(*state[0].shape(), [2, 4]);
    /// ```
    LstmCell, 4;
}

impl RnnCell {
    /// The state after a step, `[batch, hidden]`, from an input `[batch, inputs]` and the state before.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, hidden: &Tensor, ctx: &Ctx) -> Tensor {
        let [of_x, of_h] = self.given(x, hidden, ctx);
        of_x.add(&of_h).tanh()
    }
}

impl GruCell {
    /// The state after a step, `[batch, hidden]`, from an input `[batch, inputs]` and the state before.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, hidden: &Tensor, ctx: &Ctx) -> Tensor {
        let [of_x, of_h] = self.given(x, hidden, ctx).map(|gates| gates.chunk(3, -1));
        let [reset, update] = [0, 1].map(|gate: usize| of_x[gate].add(&of_h[gate]).sigmoid());
        let new = of_x[2].add(&reset.mul(&of_h[2])).tanh();
        new.add(&update.mul(&hidden.sub(&new)))
    }
}

impl LstmCell {
    /// The output and the memory after a step, `[batch, hidden]` each, from an input `[batch, inputs]` and both before.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, [hidden, memory]: &[Tensor; 2], ctx: &Ctx) -> [Tensor; 2] {
        let [of_x, of_h] = self.given(x, hidden, ctx);
        let gates = of_x.add(&of_h).chunk(4, -1);
        let [input, forget, output] = [0, 1, 3].map(|gate: usize| gates[gate].sigmoid());
        let memory = forget.mul(memory).add(&input.mul(&gates[2].tanh()));
        [output.mul(&memory.tanh()), memory]
    }
}
