//! What layers do that no operation's case tells.

use crate::devices::devices;
use wgrad::nn::{
    Ctx, Dropout2d, Embedding, GroupNorm, Identity, Init, Layer, Linear, Positions, Sequential, Summary,
    TransformerEncoderLayer, TransformerOptions, Unflatten, parameters,
};
use wgrad::{Device, Rng, Tensor};

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
