//! Layers that do more than a function of theirs.

use crate::trial::Trial;
use wgrad::Tensor;
use wgrad::nn::{BatchNorm1d, BatchNorm2d, Buffer, Ctx, Embedding, Init, Layer};

/// A row of padding gets no gradient.
pub fn embedding(t: &Trial) -> Tensor {
    let padding = t.attrs().size("padding_idx").map(|row| i32::try_from(row).expect("a row fits i32"));
    Embedding { padding, ..t.parameter("weight").into() }.forward(t.x(), &Ctx::eval().tracked())
}

/// The output, and the running statistics after it.
pub fn batch_norm(t: &Trial) -> Vec<Tensor> {
    let (a, x, init) = (t.attrs(), t.x(), &mut Init::new(0, t.device()));
    let channels = t.input("weight").size(0);
    let (mut rows, mut planes) = (BatchNorm1d::new(channels, init), BatchNorm2d::new(channels, init));
    let layer = if x.rank() == 4 { &mut planes.0 } else { &mut rows.0 };
    [layer.weight, layer.bias] = ["weight", "bias"].map(|name| t.given(name));
    // They move, and the file's stay as they are.
    [layer.running_mean, layer.running_var] =
        ["running_mean", "running_var"].map(|name| Some(Buffer::new(t.input(name).copy())));
    (layer.eps, layer.momentum) = (a.float("eps", 1e-5), Some(a.float("momentum", 0.1)));
    let moved = [&layer.running_mean, &layer.running_var].map(|buffer| buffer.clone().expect("it was set"));
    let ctx = if a.flag("training", false) { Ctx::train() } else { Ctx::eval().tracked() };
    let y = if x.rank() == 4 { planes.forward(x, &ctx) } else { rows.forward(x, &ctx) };
    [y].into_iter().chain(moved.map(|buffer| buffer.tensor())).collect()
}
