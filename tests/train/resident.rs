//! Runs on sets that live on the device: the same bits as from the host, resumed, dealt to ranks, and refused where they do not fit.

use super::rules::panics;
use super::trainer::network;
use crate::devices::devices;
use std::path::Path;
use wgrad::data::{Array, DataLoader, Dataset, ImageSet, Item, LoaderOptions, Normalization, Resident};
use wgrad::nn::{Init, Layer, Linear, Normalize, Sequential, StateDict, state};
use wgrad::optim::{Adam, AdamOptions};
use wgrad::train::{Batches, Checkpoints, Outcome, Trainer};
use wgrad::{Device, Tensor};

type Points = Vec<([f32; 2], i32)>;

fn points(count: usize) -> Points {
    (0..count).map(|at| ([at as f32 / count as f32, (at % 7) as f32 / 7.0], i32::from(at % 3 == 0))).collect()
}

fn loader<D: Dataset + 'static>(set: D) -> DataLoader<D> {
    let options = LoaderOptions { batch_size: 32, shuffle: Some(7), ..LoaderOptions::default() };
    DataLoader::new(set, options).expect("points")
}

/// What two epochs learn, up to a step.
fn learned(device: &Device, data: &dyn Batches<2>, folder: &Path, until: u64) -> StateDict {
    let model = network(device);
    let adam = Adam::new(&model, AdamOptions::default()).expect("good options");
    let mut trainer = Trainer::new(device, &model, adam, |[x, labels], ctx| {
        let logits = model.forward(x, ctx);
        Ok(Outcome::of(logits.cross_entropy(labels)).judged(&logits, labels))
    });
    trainer = trainer.epochs(2).max_steps(until).checkpoints(Checkpoints::in_folder(folder).every_steps(3).resume());
    trainer.fit(data, Some(data)).expect("the run goes on");
    drop(trainer);
    state(&model).expect("the device works")
}

#[test]
fn a_run_from_the_device_learns_the_same_bits_and_is_resumed_from_either() {
    for (name, device) in devices() {
        let (here, there) = (loader(points(150)), loader(Resident::new(points(150), &device).expect("it fits")));
        let new = || tempfile::tempdir().expect("a folder");
        let want = learned(&device, &here, new().path(), 10);
        assert!(learned(&device, &there, new().path(), 10) == want, "on {name}");
        let folder = new();
        learned(&device, &here, folder.path(), 4);
        assert!(learned(&device, &there, folder.path(), 10) == want, "on {name}, resumed");
    }
}

#[test]
fn parts_of_batches_and_subsets_are_gathered_too() {
    for (name, device) in devices() {
        let [rows, more] = [vec![80, 3, 3, 149], vec![1, 0]];
        let set = Resident::new(points(150), &device).expect("it fits").subset(rows).expect("rows of it");
        let got = set.batch(&more).expect("rows of it").map(|column| column.to(&device));
        assert_eq!(got[0].to_vec::<f32>().unwrap(), [3.0 / 150.0, 3.0 / 7.0, 80.0 / 150.0, 3.0 / 7.0], "on {name}");
        assert_eq!(got[1].to_vec::<i32>().unwrap(), [1, 0], "on {name}");

        let (here, there) = (loader(points(150)), loader(Resident::new(points(150), &device).expect("it fits")));
        for rank in 0..3 {
            let all = here.part_from(1, 2, (rank, 3)).zip(there.part_from(1, 2, (rank, 3)));
            for (want, got) in all {
                let ([want, _], items) = want.expect("a batch");
                let ([got, _], same) = got.expect("a batch");
                assert_eq!((items, want.f32s()), (same, &got.to(&device).to_vec::<f32>().unwrap()[..]), "on {name}");
            }
        }
    }
}

#[test]
fn images_as_bytes_are_normalised_on_the_device() {
    for (name, device) in devices() {
        let pixels: Vec<u8> = (0..10 * 2 * 9).map(|at| (at * 37 % 256) as u8).collect();
        let images = ImageSet::new([2, 3, 3], 10, pixels, (0..10).collect()).expect("ten images");
        let of = Normalization::of(&images);
        let want = images.clone().normalized(&of).and_then(|set| set.batch(&[4, 9, 0])).expect("images");
        let layer = Normalize::new(&of.mean, &of.std, &Init::new(0, &device));
        let ctx = wgrad::nn::Ctx::eval();
        for there in [false, true] {
            let set = images.clone().into_bytes();
            let batch = match there {
                false => set.batch(&[4, 9, 0]),
                true => Resident::new(set, &device).and_then(|set| set.batch(&[4, 9, 0])),
            };
            let [x, labels] = batch.expect("images").map(|column| column.to(&device));
            let got = layer.forward(&x, &ctx).to_vec::<f32>().unwrap();
            assert_eq!((x.dtype(), labels.to_vec::<i32>().unwrap()), (wgrad::DType::U8, vec![4, 9, 0]), "on {name}");
            let near = got.iter().zip(want[0].f32s()).all(|(got, want)| (got - want).abs() < 1e-5);
            assert!(near && got.len() == want[0].f32s().len(), "on {name}: {got:?} {:?}", want[0].f32s());
        }
        let wrong = layer.misfit(&Tensor::zeros([1, 3, 4, 4], &device), &ctx).expect("three channels");
        assert!(wrong.contains("expected images [n, 2, h, w]"), "{wrong}");
        let model = Sequential::new().push(layer).push(wgrad::nn::Flatten::new()).push(Linear::new(
            18,
            10,
            &mut Init::new(0, &device),
        ));
        assert!(state(&model).expect("it is read").contains_key("0.mean"), "a model keeps the means");
    }
}

#[test]
fn what_cannot_lie_on_a_device_is_refused() {
    let device = Device::new_cpu();
    let told = |set: Vec<Array>| Resident::new(set, &device).map(drop).expect_err("they differ").to_string();
    let of = |length: usize| Array::new(vec![0.0f32; length], [length]);
    let text = told(vec![of(2), of(2), of(3)]);
    assert!(text.contains("shapes [2] and [3]"), "{text}");
    assert!(told(Vec::new()).contains("empty"));
    let set = Resident::new(points(3), &device).expect("it fits");
    let text = set.batch(&[3]).expect_err("no such row").to_string();
    assert!(text.contains("row 3 of a set of 3 items"), "{text}");
    assert!(Item::collate(vec![set.get(2).expect("a row")]).expect("a batch")[1].i32s() == [0]);
    let [x, _] = set.batch(&[0]).expect("a row");
    let text = panics(|| drop(x.clone().to(&Device::new_cpu())));
    assert!(text.contains("lives on another device"), "{text}");
    let text = panics(|| drop(x.f32s().to_vec()));
    assert!(text.contains("take the tensor"), "{text}");
}
