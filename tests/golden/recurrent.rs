//! Recurrent layers, weights named as in the `state_dict` of PyTorch's.

use crate::models::Sizes;
use crate::trial::Trial;
use wgrad::Tensor;
use wgrad::nn::{
    Ctx, Directions, Embedding, Gru, GruCell, Init, Layer, Linear, Lstm, LstmCell, Module, Recurrent, RecurrentOptions,
    Rnn, RnnCell, RnnStart, RnnState, Visitor,
};

/// A layer with the file's weights, and what it makes of the file's sequences.
fn walked(t: &Trial, make: Make) -> (Tensor, RnnState) {
    let layer = layer(t, make, true);
    let [hidden, cell, lengths] = ["h_0", "c_0", "lengths"].map(|name| t.maybe(name).cloned());
    layer.forward_from(t.x(), RnnStart { hidden, cell, lengths }, &Ctx::eval().tracked())
}

type Make = fn(usize, usize, RecurrentOptions, &mut Init) -> Recurrent;

/// A layer with the file's weights, the batch first as said where the file does not.
pub fn layer(t: &Trial, make: Make, batch_first: bool) -> Recurrent {
    let a = t.attrs();
    let directions = if a.flag("bidirectional", false) { Directions::Both } else { Directions::Forward };
    let options = RecurrentOptions {
        layers: a.int("num_layers", 1).unsigned_abs(),
        directions,
        dropout: 0.0,
        batch_first: a.flag("batch_first", batch_first),
        proj_size: a.size("proj_size").unwrap_or(0),
    };
    let inputs = a.size("input_size").unwrap_or_else(|| t.x().size(-1));
    let hidden = t.attrs().size("hidden_size").unwrap_or_else(|| t.input("weight_hh_l0").size(1));
    let mut layer = make(inputs, hidden, options, &mut t.init());
    let ways = if directions == Directions::Both { 2 } else { 1 };
    for (at, weights) in layer.weights.iter_mut().enumerate() {
        let end = format!("l{}{}", at / ways, if at % ways == 1 { "_reverse" } else { "" });
        weights.weight_ih = t.parameter(&format!("weight_ih_{end}"));
        weights.weight_hh = t.parameter(&format!("weight_hh_{end}"));
        let bias = |name: &str| t.given(&format!("{name}_{end}"));
        [weights.bias_ih, weights.bias_hh, weights.weight_hr] = ["bias_ih", "bias_hh", "weight_hr"].map(bias);
    }
    layer
}

fn all((output, state): (Tensor, RnnState)) -> Vec<Tensor> {
    [output, state.hidden].into_iter().chain(state.cell).collect()
}

pub fn rnn(t: &Trial) -> Tensor {
    walked(t, |i, h, o, init| Rnn::with(i, h, o, init).0).0
}

pub fn lstm(t: &Trial) -> Tensor {
    walked(t, |i, h, o, init| Lstm::with(i, h, o, init).0).0
}

pub fn gru(t: &Trial) -> Tensor {
    walked(t, |i, h, o, init| Gru::with(i, h, o, init).0).0
}

pub fn rnn_states(t: &Trial) -> Vec<Tensor> {
    all(walked(t, |i, h, o, init| Rnn::with(i, h, o, init).0))
}

pub fn lstm_states(t: &Trial) -> Vec<Tensor> {
    all(walked(t, |i, h, o, init| Lstm::with(i, h, o, init).0))
}

pub fn gru_states(t: &Trial) -> Vec<Tensor> {
    all(walked(t, |i, h, o, init| Gru::with(i, h, o, init).0))
}

/// An embedding, an LSTM, and a linear layer on its last output.
struct Classifier {
    embedding: Embedding,
    lstm: Lstm,
    fc: Linear,
}

impl Module for Classifier {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.child("embedding", &self.embedding);
        visitor.child("lstm", &self.lstm);
        visitor.child("fc", &self.fc);
    }
}

impl Layer for Classifier {
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        let y = self.lstm.forward(&self.embedding.forward(ids, ctx), ctx);
        self.fc.forward(&y.narrow(1, y.size(1) - 1, 1).squeeze(1), ctx)
    }
}

pub fn classifier(sizes: &Sizes, init: &mut Init) -> Box<dyn Layer> {
    let (table, weight) = (sizes.of("embedding.weight"), sizes.of("lstm.weight_hh_l0"));
    let embedding = Embedding::new(table[0], table[1], init);
    let lstm = Lstm::new(table[1], weight[1], init);
    Box::new(Classifier { embedding, lstm, fc: sizes.linear("fc", init) })
}

macro_rules! cell {
    ($t:expr, $cell:ident) => {{
        let mut cell = $cell::new($t.input("weight_ih").size(1), $t.input("weight_hh").size(1), &mut $t.init());
        [cell.weight_ih, cell.weight_hh] = ["weight_ih", "weight_hh"].map(|name| $t.parameter(name));
        [cell.bias_ih, cell.bias_hh] = ["bias_ih", "bias_hh"].map(|name| $t.given(name));
        cell
    }};
}
pub(crate) use cell;

pub fn rnn_cell(t: &Trial) -> Tensor {
    cell!(t, RnnCell).forward(t.x(), t.input("hx"), &Ctx::train())
}

pub fn gru_cell(t: &Trial) -> Tensor {
    cell!(t, GruCell).forward(t.x(), t.input("hx"), &Ctx::train())
}

pub fn lstm_cell(t: &Trial) -> Vec<Tensor> {
    let state = ["hx", "cx"].map(|name| t.input(name).clone());
    cell!(t, LstmCell).forward(t.x(), &state, &Ctx::train()).into()
}
