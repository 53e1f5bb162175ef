//! Loaders: reproducible orders, every image once, and options that make no sense.

use std::sync::Arc;

use wgrad::Error;
use wgrad::data::{DataLoader, ImageSet, LastBatch, LoaderOptions, Normalization};

/// `count` images of two pixels in two channels; a pixel of the first channel is the image's number.
fn numbered(count: u8) -> ImageSet {
    let pixels = (0..count).flat_map(|image| [image, 255]).collect();
    ImageSet::new([2, 1, 1], 256, pixels, (0..count).collect()).unwrap()
}

fn loader(count: u8, options: LoaderOptions) -> DataLoader {
    DataLoader::new(numbered(count), options).unwrap()
}

fn labels(loader: &DataLoader, epoch: u64) -> Vec<i32> {
    loader.epoch(epoch).flat_map(|batch| batch.labels).collect()
}

#[test]
fn the_order_depends_on_seed_and_epoch_alone() {
    let shuffled = |seed| loader(200, LoaderOptions { shuffle: Some(seed), ..LoaderOptions::default() });
    let (one, again, other) = (shuffled(1), shuffled(1), shuffled(2));
    let _ = labels(&again, 4);
    assert_eq!(labels(&one, 3), labels(&again, 3));
    assert_ne!(labels(&one, 3), labels(&one, 4));
    assert_ne!(labels(&one, 3), labels(&one, 3 + (1 << 32)));
    assert_ne!(labels(&one, 3), labels(&other, 3));
    // Neighbouring seeds do not give one another's epochs.
    assert_ne!(labels(&one, 2), labels(&other, 1));
}

#[test]
fn the_order_is_the_same_on_every_machine() {
    let loader = loader(8, LoaderOptions { shuffle: Some(7), ..LoaderOptions::default() });
    // Computed by another implementation, from the words of `order`'s documentation.
    assert_eq!(loader.order(0), [1, 3, 6, 4, 5, 2, 0, 7]);
    assert_eq!(loader.order(1), [1, 7, 6, 3, 0, 2, 4, 5]);
    assert_eq!(loader.order(1 << 32), [7, 3, 4, 6, 0, 2, 5, 1]);
}

#[test]
fn every_image_comes_once_with_its_own_label() {
    let loader = loader(100, LoaderOptions { batch_size: 7, shuffle: Some(5), ..LoaderOptions::default() });
    for epoch in 0..5 {
        let mut seen = Vec::new();
        for batch in loader.epoch(epoch) {
            for (image, label) in batch.images.chunks(2).zip(&batch.labels) {
                assert_eq!(image, [*label as f32 / 255.0, 1.0]);
                seen.push(*label);
            }
        }
        assert!(!seen.is_sorted());
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn without_a_seed_the_set_keeps_its_order() {
    let loader = loader(100, LoaderOptions::default());
    assert_eq!(labels(&loader, 9), (0..100).collect::<Vec<_>>());
}

#[test]
fn the_last_batch_is_kept_or_dropped() {
    let sizes = |count, last| {
        let loader = loader(count, LoaderOptions { batch_size: 4, last, ..LoaderOptions::default() });
        assert_eq!((loader.len(), loader.epoch(0).len()), (loader.epoch(0).count(), loader.len()));
        loader
            .epoch(0)
            .map(|batch| {
                assert_eq!(batch.shape, [batch.labels.len(), 2, 1, 1]);
                assert_eq!(batch.images.len(), 2 * batch.labels.len());
                batch.labels.len()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(sizes(10, LastBatch::Keep), [4, 4, 2]);
    assert_eq!(sizes(10, LastBatch::Drop), [4, 4]);
    assert_eq!(sizes(8, LastBatch::Keep), [4, 4]);
    assert_eq!(sizes(8, LastBatch::Drop), [4, 4]);
    assert_eq!(sizes(3, LastBatch::Keep), [3]);
    assert_eq!(LoaderOptions::default().batch_size, 64);
    assert_eq!(LoaderOptions::default().last, LastBatch::Keep);
}

#[test]
fn pixels_are_normalised_by_channel() {
    let normalization = Some(Normalization { mean: vec![0.5, 0.25], std: vec![0.5, 2.0] });
    let set = ImageSet::new([2, 1, 2], 2, vec![0, 255, 51, 0], vec![1]).unwrap();
    let loader = DataLoader::new(set, LoaderOptions { normalization, ..LoaderOptions::default() }).unwrap();
    let batch = loader.epoch(0).next().unwrap();
    assert_eq!((batch.shape, batch.labels), ([1, 2, 1, 2], vec![1]));
    for (found, expected) in batch.images.iter().zip([-1.0, 1.0, -0.025, -0.125]) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn a_set_knows_its_mean_and_deviation() {
    let set = ImageSet::new([2, 1, 2], 2, vec![0, 255, 51, 51, 255, 0, 51, 51], vec![0, 1]).unwrap();
    let Normalization { mean, std } = Normalization::of(&set);
    assert!((mean[0] - 0.5).abs() < 1e-6 && (mean[1] - 0.2).abs() < 1e-6, "{mean:?}");
    // The second channel does not vary; its deviation of 1 keeps the division defined.
    assert!((std[0] - 0.5).abs() < 1e-6 && std[1] == 1.0, "{std:?}");
    for (pixel, count) in (0..=255).flat_map(|pixel| [(pixel, 3), (pixel, 7)]) {
        let flat = ImageSet::new([1, 1, 1], 1, vec![pixel; count], vec![0; count]).unwrap();
        assert_eq!(Normalization::of(&flat).std, [1.0], "{count} pixels of {pixel}");
    }
}

#[test]
fn a_set_is_shared_between_loaders() {
    let set = Arc::new(numbered(5));
    let train =
        DataLoader::new(Arc::clone(&set), LoaderOptions { shuffle: Some(1), ..LoaderOptions::default() }).unwrap();
    let watch = DataLoader::new(set, LoaderOptions::default()).unwrap();
    assert_eq!(train.set(), watch.set());
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let option_error = |options| match DataLoader::new(numbered(10), options) {
        Err(Error::Option(text)) => text,
        other => panic!("not an option error: {other:?}"),
    };
    let options = LoaderOptions::default;
    assert!(option_error(LoaderOptions { batch_size: 0, ..options() }).contains("batch size is 0"));
    let none_left = option_error(LoaderOptions { batch_size: 11, last: LastBatch::Drop, ..options() });
    assert!(none_left.contains("10 images has no full batch of 11"), "{none_left}");
    let bad = [
        ([0.0, 0.0].as_slice(), [1.0, 0.0].as_slice()),
        (&[0.0], &[1.0]),
        (&[f32::NAN, 0.0], &[1.0, 1.0]),
        (&[0.0, 0.0], &[1.0, -1.0]),
        (&[0.0, 0.0], &[1.0, f32::INFINITY]),
    ];
    for (mean, std) in bad {
        let normalization = Some(Normalization { mean: mean.to_vec(), std: std.to_vec() });
        let text = option_error(LoaderOptions { normalization, ..options() });
        assert!(text.contains("cannot normalise 2 channels"), "{text}");
    }
    let empty = ImageSet::new([1, 1, 1], 1, vec![], vec![]).unwrap();
    assert!(matches!(DataLoader::new(empty, options()), Err(Error::Data(text)) if text.contains("empty")));
}
