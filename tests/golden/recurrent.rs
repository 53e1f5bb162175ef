//! Recurrent layers, weights named as in the `state_dict` of PyTorch's.

use crate::models::Sizes;
use crate::trial::Trial;
use wgrad::Tensor;
use wgrad::nn::{
    Ctx, Directions, Embedding, Gru, GruCell, Init, Layer, Linear, Lstm, LstmCell, Module, Recurrent, RecurrentOptions,
    Rnn, RnnCell, RnnStart, RnnState, Visitor,
};

/// A layer with the file's weights, and what it makes of the file's sequences.
fn walked(t: &Trial, make: fn(usize, usize, RecurrentOptions, &mut Init) -> Recurrent) -> (Tensor, RnnState) {
    let a = t.attrs();
    a.only("batch_first", true);
    let directions = if a.flag("bidirectional", false) { Directions::Both } else { Directions::Forward };
    let options = RecurrentOptions { layers: a.int("num_layers", 1).unsigned_abs(), directions, dropout: 0.0 };
    let inputs = t.x().size(-1);
    let hidden = t.input("weight_hh_l0").size(1);
    let mut layer = make(inputs, hidden, options, &mut t.init());
    let ways = if directions == Directions::Both { 2 } else { 1 };
    for (at, weights) in layer.weights.iter_mut().enumerate() {
        let end = format!("l{}{}", at / ways, if at % ways == 1 { "_reverse" } else { "" });
        weights.weight_ih = t.parameter(&format!("weight_ih_{end}"));
        weights.weight_hh = t.parameter(&format!("weight_hh_{end}"));
        let bias = |name: &str| t.maybe(&format!("{name}_{end}")).map(|_| t.parameter(&format!("{name}_{end}")));
        (weights.bias_ih, weights.bias_hh) = (bias("bias_ih"), bias("bias_hh"));
    }
    let [hidden, cell, lengths] = ["h_0", "c_0", "lengths"].map(|name| t.maybe(name).cloned());
    layer.forward_from(t.x(), RnnStart { hidden, cell, lengths }, &Ctx::eval().tracked())
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
    ($t:expr, $cell:ident) => {
        $cell {
            weight_ih: $t.parameter("weight_ih"),
            weight_hh: $t.parameter("weight_hh"),
            bias_ih: Some($t.parameter("bias_ih")),
            bias_hh: Some($t.parameter("bias_hh")),
        }
    };
}

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
