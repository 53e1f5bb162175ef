//! Norms, with the running statistics after them.

use super::run;
use crate::trial::Trial;
use wgrad::Tensor;
use wgrad::nn::{
    BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormState, Buffer, GroupNorm, Init, InstanceNorm1d, InstanceNorm2d,
    InstanceNorm3d, Layer, LayerNorm, RmsNorm,
};

/// A norm that may keep running statistics, and what of its builders the cases ask for.
pub trait Kept: Layer {
    fn make(channels: usize, affine: Option<bool>, tracked: Option<bool>, init: &mut Init) -> Self;
    fn state(&mut self) -> &mut BatchNormState;
}

macro_rules! kept {
    ($($batch:ident, $instance:ident);*) => {$(
        impl Kept for $batch {
            fn make(channels: usize, affine: Option<bool>, tracked: Option<bool>, init: &mut Init) -> $batch {
                let norm = $batch::new(channels, init);
                let norm = if affine == Some(false) { norm.without_affine() } else { norm };
                if tracked == Some(false) { norm.without_running_stats() } else { norm }
            }

            fn state(&mut self) -> &mut BatchNormState {
                &mut self.0
            }
        }

        impl Kept for $instance {
            fn make(channels: usize, affine: Option<bool>, tracked: Option<bool>, init: &mut Init) -> $instance {
                let norm = $instance::new(channels, init);
                let norm = if affine == Some(true) { norm.with_affine(init) } else { norm };
                if tracked == Some(true) { norm.with_running_stats(init) } else { norm }
            }

            fn state(&mut self) -> &mut BatchNormState {
                &mut self.0
            }
        }
    )*};
}

kept!(BatchNorm1d, InstanceNorm1d; BatchNorm2d, InstanceNorm2d; BatchNorm3d, InstanceNorm3d);

/// The output, and buffers after it.
pub fn batch<N: Kept>(t: &Trial) -> Vec<Tensor> {
    let a = t.attrs();
    let told = |name: &str| a.is_told(name).then(|| a.flag(name, true));
    let mut norm = N::make(t.size("num_features"), told("affine"), told("track_running_stats"), &mut t.init());
    let state = norm.state();
    state.eps = a.float("eps", 1e-5);
    // None, where it is told to be none.
    let momentum = a.is_told("momentum").then(|| a.float("momentum", 0.1));
    state.momentum = momentum.or_else(|| (!a.is_told("eps")).then_some(0.1));
    if !a.flag("bias", true) {
        state.bias = None;
    }
    let whole = [("weight", state.weight.is_some()), ("bias", state.bias.is_some())];
    for (name, is_there) in whole.into_iter().chain([("running_mean", state.running_mean.is_some())]) {
        assert_eq!(is_there, t.maybe(name).is_some(), "whether there is a {name}");
    }
    [state.weight, state.bias] = ["weight", "bias"].map(|name| t.given(name));
    // They move, and the file's stay as they are.
    let kept = |name: &str| t.maybe(name).map(|value| Buffer::new(value.copy()));
    [state.running_mean, state.running_var, state.num_batches_tracked] =
        ["running_mean", "running_var", "num_batches_tracked"].map(kept);
    let after = [&state.running_mean, &state.running_var, &state.num_batches_tracked].map(|buffer| buffer.clone());
    let y = run(t, &norm);
    [y].into_iter().chain(after.into_iter().flatten().map(|buffer| buffer.tensor())).collect()
}

pub fn group(t: &Trial) -> Tensor {
    let a = t.attrs();
    let norm = GroupNorm::new(t.size("num_groups"), t.size("num_channels"), &mut t.init()).eps(a.float("eps", 1e-5));
    let norm = if a.flag("affine", true) { norm } else { norm.without_affine() };
    let mut norm = if a.flag("bias", true) { norm } else { norm.without_bias() };
    assert_eq!([&norm.weight, &norm.bias].map(Option::is_some), ["weight", "bias"].map(|name| t.maybe(name).is_some()));
    [norm.weight, norm.bias] = ["weight", "bias"].map(|name| t.given(name));
    run(t, &norm)
}

fn sizes(t: &Trial) -> Vec<usize> {
    t.attrs().list("normalized_shape").expect("expected sizes").into_iter().map(isize::unsigned_abs).collect()
}

pub fn layer(t: &Trial) -> Tensor {
    let a = t.attrs();
    let norm = LayerNorm::new(sizes(t), &mut t.init()).eps(a.float("eps", 1e-5));
    let norm = if a.flag("bias", true) { norm } else { norm.without_bias() };
    let mut norm = if a.flag("elementwise_affine", true) { norm } else { norm.without_affine() };
    assert_eq!([&norm.weight, &norm.bias].map(Option::is_some), ["weight", "bias"].map(|name| t.maybe(name).is_some()));
    [norm.weight, norm.bias] = ["weight", "bias"].map(|name| t.given(name));
    run(t, &norm)
}

pub fn rms(t: &Trial) -> Tensor {
    let norm = RmsNorm::new(sizes(t), &mut t.init()).eps(t.attrs().float("eps", f32::EPSILON));
    let mut norm = if t.attrs().flag("elementwise_affine", true) { norm } else { norm.without_affine() };
    assert_eq!(norm.weight.is_some(), t.maybe("weight").is_some(), "the weight");
    norm.weight = t.given("weight");
    run(t, &norm)
}
