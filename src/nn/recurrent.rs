//! Recurrent layers, whose parameters are named and ordered as PyTorch's.

mod run;

use super::ctx::Ctx;
use super::dropout::Dropout;
use super::fits::{misfit, path, refuse};
use super::module::{Init, Layer, Module, Visitor};
use super::parameter::Parameter;
use crate::dtype::DType;
use crate::ops::recurrent::{Cell, Direction};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Which ways a layer goes through its sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Directions {
    /// From the start.
    #[default]
    Forward,
    /// From the start and, with weights of its own, from the end: outputs stand side by side.
    Both,
}

impl Directions {
    fn each(self) -> &'static [Direction] {
        match self {
            Directions::Forward => &[Direction::Forward],
            Directions::Both => &[Direction::Forward, Direction::Reverse],
        }
    }
}

/// PyTorch's arguments and, but for `batch_first`, its defaults.
#[doc(alias("num_layers", "bidirectional", "proj_size"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecurrentOptions {
    /// Layers upon one another.
    pub layers: usize,
    /// Which ways each goes.
    pub directions: Directions,
    /// The chance that an output of a layer is 0 for the next one, in training.
    pub dropout: f32,
    /// Whether sequences and outputs are `[batch, steps, ..]`, as here they are unless it is set; else `[steps, batch, ..]`,
    /// PyTorch's default. States are `[layers * directions, batch, ..]` in both.
    pub batch_first: bool,
    /// The elements of an output to which that of an LSTM's units is projected (Sak et al., 2014); 0 where it is not.
    pub proj_size: usize,
}

impl Default for RecurrentOptions {
    fn default() -> RecurrentOptions {
        RecurrentOptions { layers: 1, directions: Directions::Forward, dropout: 0.0, batch_first: true, proj_size: 0 }
    }
}

/// The weights of one direction of one layer.
#[derive(Debug)]
pub struct RecurrentWeights {
    /// `[gates * hidden, inputs]`.
    pub weight_ih: Parameter,
    /// `[gates * hidden, hidden]`, or `[4 * hidden, proj_size]`.
    pub weight_hh: Parameter,
    /// `[gates * hidden]`.
    pub bias_ih: Option<Parameter>,
    /// `[gates * hidden]`.
    pub bias_hh: Option<Parameter>,
    /// `[proj_size, hidden]`, where an output is projected.
    pub weight_hr: Option<Parameter>,
}

/// Recurrent layers of any cell: what [`Rnn`], [`Lstm`] and [`Gru`] share.
#[derive(Debug)]
pub struct Recurrent {
    /// The function of a step.
    pub cell: Cell,
    /// Units of each layer.
    pub hidden: usize,
    /// Which ways each layer goes.
    pub directions: Directions,
    /// Whether sequences are `[batch, steps, ..]`.
    pub batch_first: bool,
    /// Layer by layer, the direction from the start first.
    pub weights: Vec<RecurrentWeights>,
    dropout: Vec<Dropout>,
}

/// The state of recurrent layers between two steps: PyTorch's `h_n`, or `(h_n, c_n)` of an LSTM.
#[doc(alias("h_n", "c_n"))]
#[derive(Debug, Clone)]
pub struct RnnState {
    /// The output of the last step, `[layers * directions, batch, hidden]`, or as many elements as it is projected to.
    pub hidden: Tensor,
    /// The memory after it, `[layers * directions, batch, hidden]`; only of an LSTM.
    pub cell: Option<Tensor>,
}

impl RnnState {
    /// Without history: gradients end here, as between the parts of a long text.
    pub fn detach(&self) -> RnnState {
        RnnState { hidden: self.hidden.detach(), cell: self.cell.as_ref().map(Tensor::detach) }
    }
}

/// The state that recurrent layers start from, and the steps that count. A state, or an option of one, is `into()` this.
#[doc(alias("pack_padded_sequence", "PackedSequence"))]
#[derive(Debug, Clone, Default)]
pub struct RnnStart {
    /// The output before the first step, `[layers * directions, batch, hidden]`; 0 where there is none.
    pub hidden: Option<Tensor>,
    /// The memory before the first step, likewise; only of an LSTM.
    pub cell: Option<Tensor>,
    /// The steps that count of each sequence (i32), `[batch]`: outputs past them are 0, and states stay. They are on the
    /// device and not looked at: a length past the steps is all of them, one below 0 none.
    pub lengths: Option<Tensor>,
}

impl From<&RnnState> for RnnStart {
    fn from(state: &RnnState) -> RnnStart {
        RnnStart { hidden: Some(state.hidden.clone()), cell: state.cell.clone(), lengths: None }
    }
}

impl From<Option<&RnnState>> for RnnStart {
    fn from(state: Option<&RnnState>) -> RnnStart {
        state.map(RnnStart::from).unwrap_or_default()
    }
}

impl Recurrent {
    #[track_caller]
    fn new(cell: Cell, inputs: usize, hidden: usize, options: RecurrentOptions, init: &mut Init) -> Recurrent {
        let RecurrentOptions { layers, directions, dropout, batch_first, proj_size } = options;
        let name = kind(cell);
        let some = inputs > 0 && hidden > 0 && layers > 0;
        assert!(some, "{name}: {inputs} inputs, {hidden} units, {layers} layers: expected at least 1 of each");
        let fits = proj_size == 0 || cell == Cell::Lstm && proj_size < hidden;
        assert!(fits, "{name}: a proj_size of {proj_size}: expected an LSTM and less than its {hidden} units");
        let (ways, rows) = (directions.each().len(), cell.gates() * hidden);
        let given = if proj_size > 0 { proj_size } else { hidden };
        let mut weights = Vec::with_capacity(layers * ways);
        for layer in 0..layers {
            let inputs = if layer == 0 { inputs } else { ways * given };
            for _ in 0..ways {
                weights.push(RecurrentWeights {
                    weight_ih: init.uniform([rows, inputs], hidden),
                    weight_hh: init.uniform([rows, given], hidden),
                    bias_ih: Some(init.uniform([rows], hidden)),
                    bias_hh: Some(init.uniform([rows], hidden)),
                    weight_hr: (proj_size > 0).then(|| init.uniform([proj_size, hidden], hidden)),
                });
            }
        }
        let between = if dropout > 0.0 { layers - 1 } else { 0 };
        let dropout = (0..between).map(|_| Dropout::new(dropout, init)).collect();
        Recurrent { cell, hidden, directions, batch_first, weights, dropout }
    }

    /// The last layer's output of each step, `[batch, steps, directions * hidden]`, and the state after the last step, from
    /// sequences `[batch, steps, inputs]` and a state to start from; `[steps, batch, ..]` where [`batch_first`] is false. One
    /// sequence `[steps, inputs]` with states `[layers * directions, hidden]` gives the same without `batch`.
    ///
    /// [`batch_first`]: RecurrentOptions::batch_first
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, Lstm};
    /// let device = wgrad::Device::cpu();
    /// let (lstm, ctx) = (Lstm::new(3, 8, &mut Init::new(0, &device)), Ctx::eval());
    /// let text = wgrad::Tensor::ones([2, 10, 3], &device);
    /// let mut state = None;
    /// for part in text.split(5, 1) {
    ///     let (output, next) = lstm.forward_from(&part, state.as_ref(), &ctx);
    ///     assert_eq!(*output.shape(), [2, 5, 8]);
    ///     state = Some(next.detach());
    /// }
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn forward_from(&self, x: &Tensor, start: impl Into<RnnStart>, ctx: &Ctx) -> (Tensor, RnnState) {
        let start = start.into();
        refuse(self.misfit(x, ctx));
        ctx.enter(self, || self.title());
        let (output, state) = self.any(x, start, ctx);
        ctx.leave(&output);
        (output, state)
    }

    /// Of one sequence or several, in either order.
    #[track_caller]
    fn any(&self, x: &Tensor, start: RnnStart, ctx: &Ctx) -> (Tensor, RnnState) {
        if x.rank() == 2 {
            let one = |state: Option<Tensor>| state.map(|state| state.unsqueeze(state.rank().min(1)));
            let RnnStart { hidden, cell, lengths } = start;
            let start = RnnStart { hidden: one(hidden), cell: one(cell), lengths: lengths.map(|n| n.unsqueeze(0)) };
            self.check(&x.unsqueeze(0), &start);
            let (output, RnnState { hidden, cell }) = self.run(&x.unsqueeze(0), &start, ctx);
            return (output.squeeze(0), RnnState { hidden: hidden.squeeze(1), cell: cell.map(|cell| cell.squeeze(1)) });
        }
        let turned = |x: &Tensor| if self.batch_first { x.clone() } else { x.transpose(0, 1) };
        let x = turned(x);
        self.check(&x, &start);
        let (output, state) = self.run(&x, &start, ctx);
        (turned(&output), state)
    }

    #[track_caller]
    fn check(&self, x: &Tensor, start: &RnnStart) {
        let (shape, weight) = (x.shape(), self.weights[0].weight_ih.tensor());
        let path = path(&weight, kind(self.cell));
        let given = self.weights[0].weight_hh.shape()[1];
        for (state, size) in [(&start.hidden, given), (&start.cell, self.hidden)] {
            let Some(state) = state else { continue };
            let expected = Shape::from([self.weights.len(), shape[0], size]);
            assert!(state.shape() == expected, "{path}: {shape} x {}: expected a state {expected}", state.shape());
        }
        if let Some(lengths) = &start.lengths {
            let fits = lengths.shape()[..] == shape[..1] && matches!(lengths.dtype(), DType::I32 | DType::I64);
            assert!(fits, "{path}: {shape} x {}: expected a length (i32) for each sequence", lengths.shape());
        }
        let is_lstm = self.cell == Cell::Lstm;
        assert!(is_lstm || start.cell.is_none(), "{path}: only an LSTM has a memory to start from");
    }
}

/// The layer's name where it has no path.
fn kind(cell: Cell) -> &'static str {
    match cell {
        Cell::Tanh | Cell::Relu => "Rnn",
        Cell::Lstm => "Lstm",
        Cell::Gru => "Gru",
    }
}

impl Module for Recurrent {
    fn visit(&self, visitor: &mut Visitor) {
        let ways = self.directions.each();
        for (at, weights) in self.weights.iter().enumerate() {
            let end = if ways[at % ways.len()] == Direction::Reverse { "_reverse" } else { "" };
            let layer = at / ways.len();
            visitor.parameter(&format!("weight_ih_l{layer}{end}"), &weights.weight_ih);
            visitor.parameter(&format!("weight_hh_l{layer}{end}"), &weights.weight_hh);
            let some =
                [("bias_ih", &weights.bias_ih), ("bias_hh", &weights.bias_hh), ("weight_hr", &weights.weight_hr)];
            for (name, part) in some {
                if let Some(part) = part {
                    visitor.parameter(&format!("{name}_l{layer}{end}"), part);
                }
            }
        }
        // It holds no values, but draws.
        for (layer, dropout) in self.dropout.iter().enumerate() {
            visitor.child(&format!("dropout_l{layer}"), dropout);
        }
    }
}

impl Layer for Recurrent {
    /// The output of each step, from a state of 0.
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.any(x, RnnStart::default(), ctx).0
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let weight = self.weights[0].weight_ih.tensor();
        let (shape, inputs) = (x.shape(), weight.shape()[1]);
        let steps = if shape.rank() == 3 && self.batch_first { 1 } else { 0 };
        let fits = matches!(shape.rank(), 2 | 3) && shape.ends_with(&[inputs]) && shape[steps] > 0;
        let order = if self.batch_first { "batch, steps" } else { "steps, batch" };
        misfit(fits, kind(self.cell), x, &weight, || format!("expected sequences [{order}, {inputs}]"))
    }

    fn title(&self) -> String {
        format!("{:?}({}, {})", self.cell, self.weights[0].weight_ih.shape()[1], self.hidden)
    }
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident: $cell:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Module)]
        pub struct $name(#[module(name = "")] pub Recurrent);

        impl $name {
            /// One layer that goes from the start; weights and biases are uniform within 1 / sqrt(hidden).
            #[track_caller]
            pub fn new(inputs: usize, hidden: usize, init: &mut Init) -> $name {
                $name::with(inputs, hidden, RecurrentOptions::default(), init)
            }

            /// With all options.
            ///
            /// # Panics
            /// If there are no inputs, units or layers, or the options do not go together.
            #[track_caller]
            pub fn with(inputs: usize, hidden: usize, options: RecurrentOptions, init: &mut Init) -> $name {
                $name(Recurrent::new($cell, inputs, hidden, options, init))
            }

            /// The same without biases.
            pub fn without_bias(mut self) -> $name {
                for weights in &mut self.0.weights {
                    (weights.bias_ih, weights.bias_hh) = (None, None);
                }
                self
            }

            /// [`Recurrent::forward_from`].
            #[track_caller]
            pub fn forward_from(&self, x: &Tensor, start: impl Into<RnnStart>, ctx: &Ctx) -> (Tensor, RnnState) {
                self.0.forward_from(x, start, ctx)
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
                self.0.call(x, ctx)
            }

            fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
                self.0.misfit(x, ctx)
            }

            fn title(&self) -> String {
                self.0.title()
            }
        }
    )*};
}

layers! {
    /// Layers of `h = tanh(W x + U h + b)`.
    #[doc(alias("nn.RNN", "SimpleRNN"))]
    Rnn: Cell::Tanh;
    /// Long short-term memory.
    #[doc(alias = "nn.LSTM")]
    Lstm: Cell::Lstm;
    /// Gated recurrent units.
    #[doc(alias = "nn.GRU")]
    Gru: Cell::Gru;
}

impl Rnn {
    /// With relu in the place of tanh: PyTorch's `nonlinearity="relu"`.
    #[track_caller]
    pub fn relu(inputs: usize, hidden: usize, options: RecurrentOptions, init: &mut Init) -> Rnn {
        Rnn(Recurrent::new(Cell::Relu, inputs, hidden, options, init))
    }
}
