//! What each layer says to an input that does not fit: its path, both shapes, and what would fit.

use super::rules::panics;
use crate::devices::devices;
use wgrad::nn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AvgPool1d, AvgPool2d, BatchNorm1d,
    BatchNorm2d, ChannelShuffle, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Ctx, Dropout2d, Embedding,
    FeatureAlphaDropout, Flatten, Fold, GroupNorm, Gru, Init, Layer, LayerNorm, Linear, Lstm, MaxPool1d, MaxPool2d,
    MaxUnpool1d, MaxUnpool2d, Module, MultiheadAttention, PRelu, PixelShuffle, PixelUnshuffle, Positions,
    RandomCropFlip, RmsNorm, Rnn, RnnStart, StateDict, Strictness, TransformerDecoderLayer, TransformerEncoderLayer,
    TransformerOptions, Unflatten, Upsample, Visitor, load_state, parameters, state,
};
use wgrad::{AttentionOptions, Conv2dOptions, DType, Device, Error, KeepDims, Tensor, Upsampling};

/// A layer of one's own name inside a model, behind another.
struct Net {
    first: Linear,
    layer: Box<dyn Layer>,
}

impl Module for Net {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.child("first", &self.first);
        visitor.child("blocks.1.attn_qkv", &self.layer);
    }
}

/// What the layer says to zeros of a shape.
fn said(layer: impl Layer + 'static, sizes: &[usize], init: &mut Init) -> String {
    said_to(layer, Tensor::zeros(sizes, &init.device), init)
}

fn said_to(layer: impl Layer + 'static, x: Tensor, init: &mut Init) -> String {
    let net = Net { first: Linear::new(1, 1, init), layer: Box::new(layer) };
    parameters(&net);
    panics(|| net.layer.forward(&x, &Ctx::train()))
}

#[test]
fn a_weight_of_another_rank_is_told() {
    for (_, device) in devices() {
        let weight = wgrad::nn::Parameter::new(Tensor::ones([3], &device));
        let line = Linear { weight, bias: None };
        let said = panics(|| line.forward(&Tensor::ones([2, 3], &device), &Ctx::eval()));
        assert_eq!(said, "Linear: [2, 3] x [3]: expected a weight [out, in], got [3]");
    }
}

#[test]
fn what_was_pooled_is_put_back_or_told() {
    for (name, device) in devices() {
        let ctx = Ctx::train();
        let x = Tensor::arange(0, 36, &device).cast(DType::F32).sin().reshape([1, 2, 18]);
        let (y, index) = MaxPool1d::new(3).forward_indices(&x, &ctx);
        let back = MaxUnpool1d::new(3).forward(&y, &index, &ctx);
        assert_eq!(back.shape(), x.shape());
        let kept = back.eq(&x).logical_or(&back.eq(0.0)).all().item().expect("the device works");
        assert_eq!(
            (kept, back.count_nonzero(&[2], KeepDims::No).to_vec::<f32>().expect("read")),
            (1.0, vec![6.0, 6.0]),
            "{name}"
        );
        let images = x.reshape([2, 3, 6]);
        let (y, index) = MaxPool2d::new(2).forward_indices(&images, &ctx);
        assert_eq!(*y.shape(), [2, 1, 3], "one image on {name}");
        assert_eq!(*MaxUnpool2d::new(2).forward_to(&y, &index, [3, 6], &ctx).shape(), [2, 3, 6]);
        let said = panics(|| MaxUnpool2d::new(2).forward(&y, &y, &ctx));
        assert_eq!(
            said,
            "MaxUnpool2d: [2, 1, 3]: expected [n, c] and 2 sizes, and as many places of i32, got f32 [2, 1, 3]"
        );
    }
}

#[test]
fn layers_name_their_path_both_shapes_and_what_fits() {
    for (_, device) in devices() {
        let init = &mut Init::new(0, &device);
        let small = TransformerOptions { feedforward: 8, ..TransformerOptions::default() };
        let groups = Conv2dOptions { groups: 2, ..Conv2dOptions::default() };
        let table: Vec<(String, &str)> = vec![
            (said(Linear::new(4, 2, init), &[3, 5], init), "[3, 5] x [2, 4]: expected rows of 4, got 5"),
            (
                said_to(Linear::new(4, 2, init), Tensor::from_slice(&[1, 2, 3, 4], [1, 4], &device), init),
                "[1, 4] x [2, 4]: expected a tensor of floats, got i32",
            ),
            (said(Linear::new(4, 2, init), &[], init), "[] x [2, 4]: expected rows of 4, got 1"),
            (
                said(Conv2d::new(3, 8, 3, init), &[2, 1, 8, 8], init),
                "[2, 1, 8, 8] x [8, 3, 3, 3]: expected images [n, 3, h, w]",
            ),
            (
                said(Conv2d::new(3, 8, 3, init), &[2, 3, 8], init),
                "[2, 3, 8] x [8, 3, 3, 3]: expected images [n, 3, h, w]",
            ),
            (
                said(Conv2d::new(3, 8, 5, init).padding(1), &[2, 3, 2, 8], init),
                "[2, 3, 2, 8] x [8, 3, 5, 5]: expected images of at least 3 x 3",
            ),
            (
                said(Conv2d::with(4, 8, [3, 3], groups, init), &[2, 2, 8, 8], init),
                "[2, 2, 8, 8] x [8, 2, 3, 3]: expected images [n, 4, h, w]",
            ),
            (said(Conv1d::new(3, 8, 3, init), &[2, 4, 9], init), "[2, 4, 9] x [8, 3, 3]: expected [n, 3, length]"),
            (
                said(Conv1d::new(3, 8, 3, init), &[2, 3, 2], init),
                "[2, 3, 2] x [8, 3, 3]: expected a length of at least 3",
            ),
            (
                said(ConvTranspose2d::new(3, 8, 3, init), &[2, 8, 4, 4], init),
                "[2, 8, 4, 4] x [3, 8, 3, 3]: expected images [n, 3, h, w]",
            ),
            (
                said(ConvTranspose1d::new(3, 8, 3, init), &[2, 8, 4], init),
                "[2, 8, 4] x [3, 8, 3]: expected [n, 3, length]",
            ),
            (
                said(BatchNorm1d::new(4, init), &[2, 5], init),
                "[2, 5] x [4]: expected a batch [n, c] or [n, c, length] of 4 channels",
            ),
            (
                said(BatchNorm1d::new(4, init), &[1, 4], init),
                "[1, 4] x [4]: in training, expected more than one value a channel; `LastBatch::Drop` leaves out a last batch of \
                 one item, or of one a rank",
            ),
            (
                said(BatchNorm2d::new(4, init), &[2, 4, 3], init),
                "[2, 4, 3] x [4]: expected a batch [n, c, h, w] of 4 channels",
            ),
            (said(LayerNorm::new([4], init), &[2, 5], init), "[2, 5] x [4]: expected last sizes of [4]"),
            (said(RmsNorm::new([3, 4], init), &[2, 4], init), "[2, 4] x [3, 4]: expected last sizes of [3, 4]"),
            (said(GroupNorm::new(2, 4, init), &[2, 6, 3], init), "[2, 6, 3] x [4]: expected a batch [n, 4, ..]"),
            (
                said(Embedding::new(7, 4, init), &[2, 3], init),
                "[2, 3] x [7, 4]: expected indices of i32 or i64, got f32",
            ),
            (said(Positions::new(7, 4, init), &[2, 8, 4], init), "[2, 8, 4] x [7, 4]: expected [.., up to 7 rows, 4]"),
            (said(PRelu::new(4, init), &[2, 3], init), "[2, 3] x [4]: expected a batch [n, 4, ..]"),
            (said(Rnn::new(4, 8, init), &[2, 3, 5], init), "[2, 3, 5] x [8, 4]: expected sequences [batch, steps, 4]"),
            (said(Lstm::new(4, 8, init), &[2, 5], init), "[2, 5] x [32, 4]: expected sequences [batch, steps, 4]"),
            (said(Gru::new(4, 8, init), &[2, 0, 4], init), "[2, 0, 4] x [24, 4]: expected sequences [batch, steps, 4]"),
            (
                said(MultiheadAttention::new(4, 2, init), &[2, 3, 6], init),
                "[2, 3, 6] x [12, 4]: expected [batch, rows, 4]",
            ),
            (
                said(TransformerEncoderLayer::new(4, 2, small, init), &[2, 5], init),
                ".self_attn: [2, 5] x [12, 4]: expected [batch, rows, 4]",
            ),
        ];
        for (said, due) in table {
            let start = if due.starts_with('.') { "" } else { ": " };
            assert_eq!(said, format!("blocks.1.attn_qkv{start}{due}"));
        }
    }
}

#[test]
fn layers_without_parameters_know_their_path_too() {
    let device = Device::cpu();
    let init = &mut Init::new(0, &device);
    let table: Vec<(String, &str)> = vec![
        (said(MaxPool2d::new(2), &[2, 784], init), "[2, 784]: expected images [n, c, h, w]"),
        (said(MaxPool2d::new(3), &[2, 4, 3, 2], init), "[2, 4, 3, 2]: expected at least [3, 3] behind the channels"),
        (said(AvgPool2d::new(2), &[4, 4], init), "[4, 4]: expected images [n, c, h, w]"),
        (said(MaxPool1d::new(2), &[2, 4, 1], init), "[2, 4, 1]: expected at least [2] behind the channels"),
        (said(AvgPool1d::new(2), &[4], init), "[4]: expected [n, c, length]"),
        (said(AdaptiveAvgPool2d::new([1, 1]), &[2, 4], init), "[2, 4]: expected images [n, c, h, w]"),
        (
            said(AdaptiveMaxPool2d::new([1, 1]), &[2, 4, 0, 3], init),
            "[2, 4, 0, 3]: expected at least [1, 1] behind the channels",
        ),
        (said(AdaptiveAvgPool1d::new(2), &[4], init), "[4]: expected [n, c, length]"),
        (said(AdaptiveMaxPool1d::new(2), &[4], init), "[4]: expected [n, c, length]"),
        (
            said(Upsample::new(2.0, Upsampling::Nearest), &[2, 4], init),
            "[2, 4]: expected sequences [n, c, l], images [n, c, h, w] or volumes [n, c, d, h, w]",
        ),
        (said(Upsample::with([2.0], Upsampling::Bilinear), &[2, 4], init), "[2, 4]: expected sequences [n, c, l]"),
        (
            said(Upsample::to_size([4, 4, 4], Upsampling::Bilinear), &[2, 3, 4, 4], init),
            "[2, 3, 4, 4]: expected volumes [n, c, d, h, w]",
        ),
        (
            said(Upsample::new(2.0, Upsampling::Bicubic), &[2, 3, 4], init),
            "[2, 3, 4]: expected images [n, c, h, w], which alone Bicubic is for",
        ),
        (
            said(PixelShuffle::new(2), &[2, 6, 3, 3], init),
            "[2, 6, 3, 3]: expected images [n, c, h, w] of a multiple of 4 channels",
        ),
        (
            said(PixelUnshuffle::new(2), &[2, 6, 3, 4], init),
            "[2, 6, 3, 4]: expected images [n, c, h, w] of a multiple of 2 pixels",
        ),
        (
            said(ChannelShuffle::new(0), &[2, 6, 3, 4], init),
            "[2, 6, 3, 4]: expected images [n, c, h, w] with channels for 0 groups",
        ),
        (
            said(Fold::new([3, 3], [2, 2], Conv2dOptions::default()), &[2, 6, 4], init),
            "[2, 6, 4]: expected columns [n, c * 2 * 2, windows]",
        ),
        (said(RandomCropFlip::new(2, init), &[2, 9], init), "[2, 9]: expected images [n, c, h, w]"),
        (said(GroupNorm::instance(3), &[2, 4, 5], init), "[2, 4, 5]: expected a batch [n, 3, ..]"),
        (said(FeatureAlphaDropout::new(0.5, init), &[2], init), "[2]: expected a batch [n, c, ..] of floats"),
        (said(Dropout2d::new(0.5, init), &[2], init), "[2]: expected a batch [n, c, ..]"),
        (said(Flatten::new(), &[], init), "[]: expected a batch [n, ..]"),
        (said(Unflatten::new(-1, [2, 3]), &[2, 5], init), "[2, 5]: expected 6 elements along -1"),
    ];
    for (said, due) in table {
        assert_eq!(said, format!("blocks.1.attn_qkv: {due}"));
    }
    // Before anybody has visited the model.
    let said = panics(|| MaxPool2d::new(2).forward(&Tensor::zeros([2, 784], &device), &Ctx::eval()));
    assert_eq!(said, "MaxPool2d: [2, 784]: expected images [n, c, h, w]");
}

#[test]
fn layers_of_several_inputs_name_all_shapes() {
    let device = Device::cpu();
    let init = &mut Init::new(0, &device);
    let zeros = |sizes: &[usize]| Tensor::zeros(sizes, &device);
    let plain = AttentionOptions::default();
    let small = TransformerOptions { feedforward: 8, ..TransformerOptions::default() };
    let decoders = vec![TransformerDecoderLayer::new(4, 2, small, init)];
    parameters(&decoders);
    let text = panics(|| decoders[0].decode(&zeros(&[2, 3, 4]), &zeros(&[5, 3, 4]), [&plain; 2], &Ctx::eval()));
    let due = "expected keys and values of one length for each query's batch";
    assert_eq!(text, format!("0.multihead_attn: [2, 3, 4] x [5, 3, 4] x [5, 3, 4]: {due}"));

    let lstms = vec![Lstm::new(4, 8, init)];
    parameters(&lstms);
    let x = zeros(&[2, 3, 4]);
    let from = |start: RnnStart| panics(|| lstms[0].forward_from(&x, start.clone(), &Ctx::eval()));
    let text = from(RnnStart { hidden: Some(zeros(&[1, 3, 8])), ..RnnStart::default() });
    assert_eq!(text, "0: [2, 3, 4] x [1, 3, 8]: expected a state [1, 2, 8]");
    let text = from(RnnStart { lengths: Some(zeros(&[2])), ..RnnStart::default() });
    assert_eq!(text, "0: [2, 3, 4] x [2]: expected a length (i32) for each sequence");
}

#[test]
fn weights_that_do_not_fit_are_listed() {
    let device = Device::cpu();
    let init = &mut Init::new(0, &device);
    let model = vec![Linear::new(4, 2, init)];
    let mut saved: StateDict = state(&vec![Linear::new(4, 3, init)]).expect("the device works");
    let bias = saved.remove("0.bias").expect("it has one");
    saved.insert("1.bias".into(), bias);
    let text = match load_state(&model, &saved, Strictness::Strict) {
        Err(Error::Weights(text)) => text,
        other => panic!("{other:?}"),
    };
    let due = "missing: 0.bias; extra: 1.bias; of another shape: 0.weight is [3, 4], not [2, 4]";
    assert_eq!(text, format!("the weights do not fit the model: {due}"));
}

/// A layer from outside, which says what fits and not where it stands.
#[derive(wgrad::nn::Module)]
struct Halved {
    path: wgrad::nn::Path,
}

impl Layer for Halved {
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        x.narrow(-1, 0, x.size(-1) / 2)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let odd = x.size(-1) % 2 == 1;
        odd.then(|| format!("{}: expected an even number of elements along -1", x.shape()))
    }
}

#[test]
fn a_layer_of_ones_own_is_told_with_its_path() {
    let device = Device::cpu();
    let said = |model: &dyn Layer| panics(|| model.forward(&Tensor::zeros([2, 3], &device), &Ctx::eval()));
    let layer = Halved { path: wgrad::nn::Path::new() };
    assert_eq!(said(&layer), "[2, 3]: expected an even number of elements along -1");
    let model = wgrad::nn::Sequential::new().push(wgrad::nn::Relu::new()).push(layer);
    parameters(&model);
    assert_eq!(said(&model), "1: [2, 3]: expected an even number of elements along -1");
}
