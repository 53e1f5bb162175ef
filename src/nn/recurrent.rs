//! Recurrent layers, whose parameters are named and ordered as PyTorch's.

use super::ctx::Ctx;
use super::dropout::Dropout;
use super::fits::{misfit, path, refuse};
use super::module::{Init, Layer, Module, Visitor};
use super::parameter::Parameter;
use crate::dtype::DType;
use crate::ops::recurrent::{Cell, Direction, Recurrence, States};
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

/// PyTorch's arguments, and its defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecurrentOptions {
    /// Layers upon one another.
    pub layers: usize,
    /// Which ways each goes.
    pub directions: Directions,
    /// The chance that an output of a layer is 0 for the next one, in training.
    pub dropout: f32,
}

impl Default for RecurrentOptions {
    fn default() -> RecurrentOptions {
        RecurrentOptions { layers: 1, directions: Directions::Forward, dropout: 0.0 }
    }
}

/// The weights of one direction of one layer.
#[derive(Debug)]
pub struct RecurrentWeights {
    /// `[gates * hidden, inputs]`.
    pub weight_ih: Parameter,
    /// `[gates * hidden, hidden]`.
    pub weight_hh: Parameter,
    /// `[gates * hidden]`.
    pub bias_ih: Option<Parameter>,
    /// `[gates * hidden]`.
    pub bias_hh: Option<Parameter>,
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
    /// Layer by layer, the direction from the start first.
    pub weights: Vec<RecurrentWeights>,
    dropout: Vec<Dropout>,
}

/// The state of recurrent layers between two steps: PyTorch's `h_n`, or `(h_n, c_n)` of an LSTM.
#[doc(alias("h_n", "c_n"))]
#[derive(Debug, Clone)]
pub struct RnnState {
    /// The output of the last step, `[layers * directions, batch, hidden]`.
    pub hidden: Tensor,
    /// The memory after it, likewise; only of an LSTM.
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
    fn new(cell: Cell, inputs: usize, hidden: usize, options: RecurrentOptions, init: &mut Init) -> Recurrent {
        let RecurrentOptions { layers, directions, dropout } = options;
        let (ways, rows) = (directions.each().len(), cell.gates() * hidden);
        let mut weights = Vec::with_capacity(layers * ways);
        for layer in 0..layers {
            let inputs = if layer == 0 { inputs } else { ways * hidden };
            for _ in 0..ways {
                weights.push(RecurrentWeights {
                    weight_ih: init.uniform([rows, inputs], hidden),
                    weight_hh: init.uniform([rows, hidden], hidden),
                    bias_ih: Some(init.uniform([rows], hidden)),
                    bias_hh: Some(init.uniform([rows], hidden)),
                });
            }
        }
        let between = if dropout > 0.0 { layers.saturating_sub(1) } else { 0 };
        let dropout = (0..between).map(|_| Dropout::new(dropout, init)).collect();
        Recurrent { cell, hidden, directions, weights, dropout }
    }

    /// The last layer's output of each step, `[batch, steps, directions * hidden]`, and the state after the last step, from
    /// sequences `[batch, steps, inputs]` (PyTorch's `batch_first=True`) and a state to start from.
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
        self.check(x, &start, ctx);
        ctx.enter(self, || self.title());
        let (output, state) = self.run(x, &start, ctx);
        ctx.leave(&output);
        (output, state)
    }

    #[track_caller]
    fn run(&self, x: &Tensor, start: &RnnStart, ctx: &Ctx) -> (Tensor, RnnState) {
        let ways = self.directions.each();
        let layers = self.weights.len() / ways.len();
        let mut output = x.clone();
        let (mut hidden, mut memory) = (Vec::new(), Vec::new());
        for layer in 0..layers {
            let mut sides = Vec::with_capacity(ways.len());
            for (way, direction) in ways.iter().enumerate() {
                let at = layer * ways.len() + way;
                let states = self.run_layer(&output, at, *direction, start, ctx);
                sides.push(self.narrowed(states.outputs()));
                hidden.push(self.narrowed(states.last(0)));
                if self.cell == Cell::Lstm {
                    memory.push(self.narrowed(states.last(1)));
                }
            }
            output = if sides.len() == 1 { sides.remove(0) } else { Tensor::cat(&sides.iter().collect::<Vec<_>>(), 2) };
            if let Some(lengths) = &start.lengths {
                let steps = Tensor::arange(0, x.shape()[1] as i32, x.device());
                output = output.mul(&steps.lt(lengths.unsqueeze(1)).unsqueeze(2).cast(output.dtype()));
            }
            if let Some(dropout) = self.dropout.get(layer) {
                output = dropout.forward(&output, ctx);
            }
        }
        let stacked = |parts: &[Tensor]| Tensor::stack(&parts.iter().collect::<Vec<_>>(), 0);
        let cell = (!memory.is_empty()).then(|| stacked(&memory));
        (output, RnnState { hidden: stacked(&hidden), cell })
    }

    /// The layer's name where it has no path.
    fn kind(&self) -> &'static str {
        match self.cell {
            Cell::Tanh | Cell::Relu => "Rnn",
            Cell::Lstm => "Lstm",
            Cell::Gru => "Gru",
        }
    }

    #[track_caller]
    fn check(&self, x: &Tensor, start: &RnnStart, ctx: &Ctx) {
        refuse(self.misfit(x, ctx));
        let (shape, weight) = (x.shape(), self.weights[0].weight_ih.tensor());
        let path = path(&weight, self.kind());
        let expected = Shape::from([self.weights.len(), shape[0], self.hidden]);
        for state in [&start.hidden, &start.cell].into_iter().flatten() {
            assert!(state.shape() == expected, "{path}: {shape} x {}: expected a state {expected}", state.shape());
        }
        if let Some(lengths) = &start.lengths {
            let fits = lengths.shape()[..] == shape[..1] && matches!(lengths.dtype(), DType::I32 | DType::I64);
            assert!(fits, "{path}: {shape} x {}: expected a length (i32) for each sequence", lengths.shape());
        }
        let is_lstm = self.cell == Cell::Lstm;
        assert!(is_lstm || start.cell.is_none(), "{path}: only an LSTM has a memory to start from");
    }

    #[track_caller]
    fn run_layer(&self, x: &Tensor, at: usize, direction: Direction, start: &RnnStart, ctx: &Ctx) -> States {
        let RecurrentWeights { weight_ih, weight_hh, bias_ih, bias_hh } = &self.weights[at];
        let of = |bias: &Option<Parameter>| bias.as_ref().map(|bias| self.widened(&ctx.param(bias)));
        let (mut bias_ih, mut bias_hh) = (of(bias_ih), of(bias_hh));
        if self.cell != Cell::Gru {
            // Only a GRU tells the two apart.
            bias_ih = match (bias_ih, bias_hh.take()) {
                (Some(a), Some(b)) => Some(a.add(&b)),
                (a, b) => a.or(b),
            };
        }
        let inputs = x.linear(&self.widened(&ctx.param(weight_ih)), bias_ih.as_ref());
        let wide = self.hidden.next_multiple_of(4);
        let zeros = || x.new_zeros([x.shape()[0], wide]);
        let own = |state: &Option<Tensor>| match state {
            Some(state) => state.narrow(0, at, 1).squeeze(0).pad(&[(0, wide - self.hidden)], 0.0),
            None => zeros(),
        };
        let initial = match self.cell {
            Cell::Lstm if start.hidden.is_none() && start.cell.is_none() => x.new_zeros([2, x.shape()[0], wide]),
            Cell::Lstm => Tensor::stack(&[&own(&start.hidden), &own(&start.cell)], 0),
            _ => own(&start.hidden).unsqueeze(0),
        };
        let weight = self.widened(&ctx.param(weight_hh));
        let weight = if wide == self.hidden { weight } else { weight.pad(&[(0, wide - self.hidden)], 0.0) };
        inputs.recurrent(&Recurrence {
            cell: self.cell,
            weight: &weight,
            bias: bias_hh.as_ref(),
            initial: &initial,
            lengths: start.lengths.as_ref(),
            direction,
        })
    }

    /// With units that stay 0, so that their number is a multiple of 4.
    fn widened(&self, weight: &Tensor) -> Tensor {
        let more = self.hidden.next_multiple_of(4) - self.hidden;
        if more == 0 {
            return weight.clone();
        }
        let (gates, inner) = (self.cell.gates(), weight.numel() / (self.cell.gates() * self.hidden));
        let wide = weight.reshape_to(Shape::from([gates, self.hidden, inner])).pad(&[(0, 0), (0, more)], 0.0);
        let rows = gates * (self.hidden + more);
        wide.reshape_to(if weight.rank() == 1 { Shape::from([rows]) } else { Shape::from([rows, inner]) })
    }

    /// Without them.
    fn narrowed(&self, x: Tensor) -> Tensor {
        if x.size(-1) == self.hidden { x } else { x.narrow(-1, 0, self.hidden) }
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
            for (name, bias) in [("bias_ih", &weights.bias_ih), ("bias_hh", &weights.bias_hh)] {
                if let Some(bias) = bias {
                    visitor.parameter(&format!("{name}_l{layer}{end}"), bias);
                }
            }
        }
    }
}

impl Layer for Recurrent {
    /// The output of each step, from a state of 0.
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.run(x, &RnnStart::default(), ctx).0
    }

    fn batched_rank(&self) -> Option<usize> {
        Some(3)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let weight = self.weights[0].weight_ih.tensor();
        let (shape, inputs) = (x.shape(), weight.shape()[1]);
        let fits = shape.rank() == 3 && shape[2] == inputs && shape[1] > 0;
        misfit(fits, self.kind(), x, &weight, || format!("expected sequences [batch, steps, {inputs}]"))
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

            fn batched_rank(&self) -> Option<usize> {
                self.0.batched_rank()
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
