//! Recurrent cells, one step at a time: for loops of one's own around them.

use super::ctx::Ctx;
use super::fits::{misfit, refuse};
use super::module::{Init, Module};
use super::parameter::Parameter;
use crate::ops::recurrent::Cell;
use crate::tensor::Tensor;

macro_rules! cells {
    ($($(#[$doc:meta])* $cell:ident, $gates:literal, { $($(#[$field:meta])* $name:ident: $type:ty = $usual:expr)? };)*) => {$(
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
            $(
                $(#[$field])*
                #[module(skip)]
                pub $name: $type,
            )?
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
                    $($name: $usual,)?
                }
            }

            /// The same without biases.
            pub fn without_bias(self) -> $cell {
                $cell { bias_ih: None, bias_hh: None, ..self }
            }

            /// Refuses an input and states that do not fit, by the names that PyTorch has for the states.
            #[track_caller]
            fn check(&self, x: &Tensor, states: &[(&str, Option<&Tensor>)]) {
                let (weight, units) = (self.weight_ih.tensor(), self.weight_hh.shape()[1]);
                let (shape, inputs) = (x.shape(), weight.shape()[1]);
                let fits = matches!(shape.rank(), 1 | 2) && shape.ends_with(&[inputs]);
                refuse(misfit(fits, stringify!($cell), x, &weight, || {
                    format!("expected an input [batch, {inputs}] or [{inputs}], got {shape}")
                }));
                for (name, state) in states {
                    let Some(state) = state else { continue };
                    let own = state.shape();
                    let fits = own.rank() == shape.rank() && own.ends_with(&[units]) && own[..own.rank() - 1] == shape[..shape.rank() - 1];
                    refuse(misfit(fits, stringify!($cell), x, &weight, || {
                        let batch: Vec<String> = shape[..shape.rank() - 1].iter().map(|n| format!("{n}, ")).collect();
                        format!("expected a state {name} [{}{units}], got {own}", batch.concat())
                    }));
                }
            }

            /// Zeros for a state that is not given.
            fn or_zeros(&self, x: &Tensor, state: Option<&Tensor>) -> Tensor {
                let zeros = || {
                    let mut sizes = x.shape().to_vec();
                    sizes.pop();
                    sizes.push(self.weight_hh.shape()[1]);
                    x.new_zeros(sizes)
                };
                state.cloned().unwrap_or_else(zeros)
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
    #[doc(alias = "nn.RNNCell")]
    RnnCell, 1, {
        /// The function of the sum: [`Cell::Tanh`], or [`Cell::Relu`] for PyTorch's `nonlinearity="relu"`.
        cell: Cell = Cell::Tanh
    };
    /// A step of the gated recurrent unit (Cho et al., 2014), gates in PyTorch's order: reset, update, new.
    #[doc(alias = "nn.GRUCell")]
    GruCell, 3, {};
    /// A step of long short-term memory (Hochreiter and Schmidhuber, 1997), gates in PyTorch's order: input, forget, cell,
    /// output.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, LstmCell};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let cell = LstmCell::new(3, 4, &mut Init::new(0, &device));
    /// let mut state = None;
    /// for _ in 0..5 {
    ///     state = Some(cell.forward(&Tensor::ones([2, 3], &device), state.as_ref(), &Ctx::train()));
    /// }
    /// assert_eq!(*state.expect("there were steps")[0].shape(), [2, 4]);
    /// ```
    #[doc(alias = "nn.LSTMCell")]
    LstmCell, 4, {};
}

impl RnnCell {
    /// With relu in the place of tanh: PyTorch's `nonlinearity="relu"`.
    pub fn relu(self) -> RnnCell {
        RnnCell { cell: Cell::Relu, ..self }
    }

    /// The state after a step, `[batch, hidden]`, from an input `[batch, inputs]` and the state before, of zeros where there is
    /// none; both may be without `batch`.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn forward<'a>(&self, x: &Tensor, hidden: impl Into<Option<&'a Tensor>>, ctx: &Ctx) -> Tensor {
        let hidden = hidden.into();
        self.check(x, &[("hidden", hidden)]);
        let [of_x, of_h] = self.given(x, &self.or_zeros(x, hidden), ctx);
        let sum = of_x.add(&of_h);
        if self.cell == Cell::Relu { sum.relu() } else { sum.tanh() }
    }
}

impl GruCell {
    /// The state after a step, `[batch, hidden]`, from an input `[batch, inputs]` and the state before, of zeros where there is
    /// none; both may be without `batch`.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn forward<'a>(&self, x: &Tensor, hidden: impl Into<Option<&'a Tensor>>, ctx: &Ctx) -> Tensor {
        let hidden = hidden.into();
        self.check(x, &[("hidden", hidden)]);
        let hidden = &self.or_zeros(x, hidden);
        let [of_x, of_h] = self.given(x, hidden, ctx).map(|gates| gates.chunk(3, -1));
        let [reset, update] = [0, 1].map(|gate: usize| of_x[gate].add(&of_h[gate]).sigmoid());
        let new = of_x[2].add(&reset.mul(&of_h[2])).tanh();
        new.add(&update.mul(&hidden.sub(&new)))
    }
}

impl LstmCell {
    /// The output and the memory after a step, `[batch, hidden]` each, from an input `[batch, inputs]` and both before, of zeros
    /// where there are none; all may be without `batch`.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn forward<'a>(&self, x: &Tensor, state: impl Into<Option<&'a [Tensor; 2]>>, ctx: &Ctx) -> [Tensor; 2] {
        let [hidden, memory] = match state.into() {
            Some([hidden, memory]) => [Some(hidden), Some(memory)],
            None => [None, None],
        };
        self.check(x, &[("hidden", hidden), ("memory", memory)]);
        let [of_x, of_h] = self.given(x, &self.or_zeros(x, hidden), ctx);
        let gates = of_x.add(&of_h).chunk(4, -1);
        let [input, forget, output] = [0, 1, 3].map(|gate: usize| gates[gate].sigmoid());
        let memory = forget.mul(&self.or_zeros(x, memory)).add(&input.mul(&gates[2].tanh()));
        [output.mul(&memory.tanh()), memory]
    }
}
