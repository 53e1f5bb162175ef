//! What layers do that no operation's case tells.

use super::rules::panics;
use crate::devices::devices;
use wgrad::loss::CtcOptions;
use wgrad::nn::{
    ChannelShuffle, Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, Ctx, Dropout2d, Embedding, Flatten, Fold,
    GroupNorm, Gru, Identity, Init, Layer, Linear, Lstm, MultiheadAttention, PixelShuffle, PixelUnshuffle, Positions,
    Sequential, Summary, TransformerEncoderLayer, TransformerOptions, Unflatten, Unfold, parameters,
};
use wgrad::{AttentionOptions, Conv2dOptions, DType, Device, Rng, Tensor};

#[test]
fn a_padding_row_is_0_and_stays() {
    for (name, device) in devices() {
        let table = Embedding::new(5, 4, &mut Init::new(0, &device)).padding(2);
        let ids = Tensor::from_slice(&[1, 2, 4, 2], [4], &device);
        let y = table.forward(&ids, &Ctx::train());
        let rows = y.to_vec::<f32>().expect("the device works");
        assert!(rows[4..8] == [0.0; 4] && rows[12..] == [0.0; 4], "on {name}: {rows:?}");
        let grads = y.sum().backward();
        let gradient = grads.of(&table.weight.tensor()).expect("it has one").to_vec::<f32>().expect("the device works");
        let trained: Vec<bool> = gradient.chunks(4).map(|row| row == [1.0; 4]).collect();
        assert_eq!(trained, [false, true, false, false, true], "on {name}: {gradient:?}");
        assert_eq!(gradient[8..12], [0.0; 4], "on {name}");
    }
}

#[test]
fn positions_are_an_embedding_of_numbers() {
    for (_, device) in devices() {
        let mut init = Init::new(3, &device);
        let positions = Positions::new(6, 4, &mut init);
        let embedding = Embedding::from(positions.weight.clone());
        let x = Tensor::normal([2, 3, 4], 0.0, 1.0, &mut Rng::new(1), &device);
        let due = x.add(&embedding.forward(&Tensor::arange(0, 3, &device), &Ctx::eval()));
        assert_eq!(positions.forward(&x, &Ctx::eval()).to_vec::<f32>(), due.to_vec::<f32>());
    }
}

#[test]
fn whole_channels_drop() {
    for (name, device) in devices() {
        let dropout = Dropout2d::new(0.25, &mut Init::new(0, &device));
        let x = Tensor::ones([8, 16, 3, 2], &device);
        let y = dropout.forward(&x, &Ctx::train()).to_vec::<f32>().expect("the device works");
        let dropped = y.chunks(6).filter(|channel| *channel == [0.0; 6]).count();
        let scaled = y.chunks(6).filter(|channel| *channel == [1.0 / 0.75; 6]).count();
        assert!(dropped + scaled == 128 && (16..48).contains(&dropped), "on {name}: {dropped} and {scaled}");
        let same = dropout.forward(&x, &Ctx::eval()).to_vec::<f32>();
        assert_eq!(same, x.to_vec::<f32>());
    }
}

#[test]
fn group_norm_is_named_as_in_pytorch_and_normalises() {
    for (name, device) in devices() {
        let layer = GroupNorm::new(2, 6, &mut Init::new(0, &device));
        let names: Vec<String> = parameters(&layer).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["weight", "bias"]);
        let x = Tensor::normal([2, 6, 5], 3.0, 2.0, &mut Rng::new(1), &device);
        let y = layer.forward(&x, &Ctx::eval()).to_vec::<f32>().expect("the device works");
        for group in y.chunks(15) {
            let mean = group.iter().sum::<f32>() / 15.0;
            let variance = group.iter().map(|y| (y - mean).powi(2)).sum::<f32>() / 15.0;
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-3, "on {name}: {mean}, {variance}");
        }
        // Each channel by itself is as many groups as there are channels.
        let alone = GroupNorm::instance(6).forward(&x, &Ctx::eval()).to_vec::<f32>();
        let groups = GroupNorm::new(6, 6, &mut Init::new(0, &device)).forward(&x, &Ctx::eval()).to_vec::<f32>();
        assert_eq!(alone, groups, "on {name}");
    }
}

#[test]
fn a_dimension_becomes_several() {
    for (_, device) in devices() {
        let model = Sequential::new().push(Identity::new()).push(Unflatten::new(-2, [2, 3]));
        let y = model.forward(&Tensor::zeros([4, 6, 5], &device), &Ctx::eval());
        assert_eq!(*y.shape(), [4, 2, 3, 5]);
    }
}

#[test]
fn a_summary_has_a_row_for_each_layer_under_its_own_path() {
    let device = Device::cpu();
    let init = &mut Init::new(0, &device);
    let small = TransformerOptions { feedforward: 8, ..TransformerOptions::default() };
    let model = Sequential::new().push(TransformerEncoderLayer::new(4, 2, small, init)).push(Linear::new(4, 1, init));
    let summary = Summary::of(&model, [1, 3, 4], &device);
    let path = |layer: &str| {
        let row = summary.rows.iter().find(|row| row.layer.starts_with(layer));
        row.unwrap_or_else(|| panic!("no {layer}: {summary}")).path.clone()
    };
    assert_eq!(path("TransformerEncoderLayer"), "0");
    assert_eq!(path("MultiheadAttention(4, heads: 2)"), "0.self_attn");
    assert_eq!(path("Linear(4, 8)"), "0.linear1");
    assert_eq!(path("Linear(4, 1)"), "1");
}

#[test]
fn one_item_is_a_batch_of_one() {
    for (name, device) in devices() {
        let init = &mut Init::new(0, &device);
        let small = TransformerOptions { feedforward: 8, dropout: 0.0, ..TransformerOptions::default() };
        let layers: Vec<(Box<dyn Layer>, Vec<usize>)> = vec![
            (Box::new(Conv1d::new(3, 4, 3, init)), vec![3, 8]),
            (Box::new(Conv2d::new(3, 4, 3, init)), vec![3, 6, 7]),
            (Box::new(Conv3d::new(2, 3, 2, init)), vec![2, 3, 4, 5]),
            (Box::new(ConvTranspose1d::new(3, 4, 3, init)), vec![3, 8]),
            (Box::new(ConvTranspose2d::new(3, 4, 3, init)), vec![3, 6, 7]),
            (Box::new(PixelShuffle::new(2)), vec![4, 3, 3]),
            (Box::new(PixelUnshuffle::new(2)), vec![3, 4, 6]),
            (Box::new(ChannelShuffle::new(2)), vec![4, 3, 3]),
            (Box::new(Unfold::new([2, 3], Conv2dOptions::default())), vec![2, 4, 5]),
            (Box::new(Fold::new([4, 5], [2, 3], Conv2dOptions::default())), vec![12, 9]),
            (Box::new(Lstm::new(6, 4, init)), vec![5, 6]),
            (Box::new(Gru::new(6, 4, init)), vec![5, 6]),
            (Box::new(MultiheadAttention::new(8, 2, init)), vec![5, 8]),
            (Box::new(TransformerEncoderLayer::new(8, 2, small, init)), vec![5, 8]),
            (
                Box::new(
                    Sequential::new()
                        .push(Conv2d::new(1, 2, 3, init))
                        .push(Flatten::new())
                        .push(Linear::new(8, 3, init)),
                ),
                vec![1, 4, 4],
            ),
        ];
        let mut rng = Rng::new(3);
        for (layer, sizes) in &layers {
            let x = Tensor::uniform(sizes.clone(), -1.0, 1.0, &mut rng, &device);
            let [one, batch] = [x.clone(), x.unsqueeze(0)].map(|x| layer.forward(&x, &Ctx::train()));
            assert_eq!([&[1], &one.shape()[..]].concat(), batch.shape()[..], "{} on {name}", layer.title());
            assert_eq!(one.to_vec::<f32>(), batch.to_vec::<f32>(), "{} on {name}", layer.title());
        }
        let x = Tensor::uniform([4, 6, 6], -1.0, 1.0, &mut rng, &device);
        let columns = x.unfold([2, 3], Conv2dOptions::default());
        let whole = x.unsqueeze(0).unfold([2, 3], Conv2dOptions::default());
        assert_eq!(columns.to_vec::<f32>(), whole.to_vec::<f32>());
        assert_eq!(*columns.fold([6, 6], [2, 3], Conv2dOptions::default()).shape(), [4, 6, 6]);
        assert_eq!(*x.pixel_unshuffle(2).shape(), [16, 3, 3]);
        let attention = MultiheadAttention::new(6, 2, init);
        let rows = x.narrow(0, 0, 1).squeeze(0);
        let y = attention.attend(&rows, &rows, &rows, &AttentionOptions::default(), &Ctx::eval());
        assert_eq!(*y.shape(), [6, 6]);
        let number = |n: i32| Tensor::scalar(n, &device);
        let labels = Tensor::ones([2], &device).cast(DType::I32);
        let loss = x.reshape([24, 6]).log_softmax(-1).ctc_loss(&labels, &number(24), &number(2), CtcOptions::default());
        assert!(loss.item().is_ok_and(f32::is_finite), "on {name}");
    }
}

/// Masks of truth values as PyTorch's layers have them: true where a key is hidden.
#[test]
fn attention_takes_the_masks_of_pytorchs_layers() {
    for (name, device) in devices() {
        let attention = MultiheadAttention::new(4, 2, &mut Init::new(3, &device));
        let x = Tensor::normal([2, 3, 4], 0.0, 1.0, &mut Rng::new(5), &device);
        let y = |options: AttentionOptions| -> Vec<f32> {
            attention.attend_self(&x, &options, &Ctx::eval()).to_vec().expect("the device works")
        };
        let near = |what: &str, got: Vec<f32>, want: Vec<f32>| {
            assert!(
                got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5),
                "{what} on {name}: {got:?}, not {want:?}"
            );
        };
        let truth = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &device).cast(DType::Bool);
        let ahead = truth(&[0., 1., 1., 0., 0., 1., 0., 0., 0.], &[3, 3]);
        near("attn_mask", y(AttentionOptions::default().hidden(&ahead)), y(AttentionOptions::causal()));
        let lengths = Tensor::from_slice(&[2, 3], [2], &device);
        let padding = truth(&[0., 0., 1., 0., 0., 0.], &[2, 3]);
        let padded = || AttentionOptions::default().padded(&lengths, 3);
        near("key_padding_mask", y(AttentionOptions::default().key_padding(&padding)), y(padded()));
        let none = truth(&[0.0; 6], &[2, 3]);
        near("nothing hidden", y(AttentionOptions::default().key_padding(&none)), y(AttentionOptions::default()));
        // Beside one that is true where a key is seen.
        let mask = Some(ahead.cast(DType::F32).eq(0.0).cast(DType::Bool));
        let both = AttentionOptions { mask, ..AttentionOptions::default() }.key_padding(&padding);
        near("both", y(both), y(AttentionOptions { is_causal: true, ..padded() }));
        let text = panics(|| AttentionOptions::default().key_padding(&lengths));
        assert!(text.contains("key_padding: [2]: expected a mask [batch, keys]"), "{text}");
    }
}
