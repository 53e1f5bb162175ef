//! Loaders: reproducible orders, every image once, and options that make no sense.

use std::sync::Arc;

use wgrad::data::{Array, DataLoader, Dataset, ImageSet, LastBatch, LoaderOptions, Normalization};
use wgrad::{DType, Error};

/// `count` images of two pixels in two channels; a pixel of the first channel is the image's number.
fn numbered(count: u8) -> ImageSet {
    let pixels = (0..count).flat_map(|image| [image, 255]).collect();
    ImageSet::new([2, 1, 1], 256, pixels, (0..count).collect()).unwrap()
}

fn loader(count: u8, options: LoaderOptions) -> DataLoader<ImageSet> {
    DataLoader::new(numbered(count), options).unwrap()
}

fn labels(loader: &DataLoader<ImageSet>, epoch: u64) -> Vec<i32> {
    loader.epoch(epoch).flat_map(|batch| batch.unwrap().columns[1].i32s().to_vec()).collect()
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
            let [images, labels] = batch.unwrap().columns;
            for (image, label) in images.f32s().chunks(2).zip(labels.i32s()) {
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
                let [images, labels] = batch.unwrap().columns;
                assert_eq!(images.shape(), [labels.i32s().len(), 2, 1, 1]);
                labels.i32s().len()
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
    let normalization = Normalization { mean: vec![0.5, 0.25], std: vec![0.5, 2.0] };
    let set = ImageSet::new([2, 1, 2], 2, vec![0, 255, 51, 0], vec![1]).unwrap().normalized(&normalization).unwrap();
    let (image, label) = set.get(0).unwrap();
    assert_eq!((image.shape(), label), ([2, 1, 2].as_slice(), 1));
    let loader = DataLoader::new(set, LoaderOptions::default()).unwrap();
    let [images, labels] = loader.epoch(0).next().unwrap().unwrap().columns;
    assert_eq!((images.shape(), labels.i32s()), ([1, 2, 1, 2].as_slice(), [1].as_slice()));
    assert_eq!(images.f32s(), image.f32s());
    for (found, expected) in images.f32s().iter().zip([-1.0, 1.0, -0.025, -0.125]) {
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
        other => panic!("not an option error: {:?}", other.map(|loader| loader.len())),
    };
    let options = LoaderOptions::default;
    assert!(option_error(LoaderOptions { batch_size: 0, ..options() }).contains("batch size is 0"));
    let none_left = option_error(LoaderOptions { batch_size: 11, last: LastBatch::Drop, ..options() });
    assert!(none_left.contains("10 items has no full batch of 11"), "{none_left}");
    let bad = [
        ([0.0, 0.0].as_slice(), [1.0, 0.0].as_slice()),
        (&[0.0], &[1.0]),
        (&[f32::NAN, 0.0], &[1.0, 1.0]),
        (&[0.0, 0.0], &[1.0, -1.0]),
        (&[0.0, 0.0], &[1.0, f32::INFINITY]),
    ];
    for (mean, std) in bad {
        let normalization = Normalization { mean: mean.to_vec(), std: std.to_vec() };
        let refused = numbered(10).normalized(&normalization).map(drop);
        assert!(
            matches!(&refused, Err(Error::Option(text)) if text.contains("cannot normalise 2 channels")),
            "{refused:?}"
        );
    }
    let empty = ImageSet::new([1, 1, 1], 1, vec![], vec![]).unwrap();
    assert!(matches!(DataLoader::new(empty, options()), Err(Error::Data(text)) if text.contains("empty")));
}

/// Items of two parts; one may fail, one may panic.
struct Odd {
    fails: Option<usize>,
    panics: Option<usize>,
}

impl Dataset for Odd {
    type Item = (Vec<f32>, u8);

    fn len(&self) -> usize {
        100
    }

    fn get(&self, row: usize) -> wgrad::Result<Self::Item> {
        assert!(self.panics != Some(row), "its picture is upside down");
        match self.fails {
            Some(fails) if fails == row => Err(Error::Data("no such word".into())),
            _ => Ok((vec![row as f32, 0.5], row as u8)),
        }
    }
}

#[test]
fn workers_change_neither_batches_nor_their_order() {
    let batches = |workers, from| {
        let options = LoaderOptions { batch_size: 7, shuffle: Some(3), workers, ..LoaderOptions::default() };
        let loader = DataLoader::new(Odd { fails: None, panics: None }, options).unwrap();
        (2..4).flat_map(|epoch| loader.epoch_from(epoch, from)).map(Result::unwrap).collect::<Vec<_>>()
    };
    let want = batches(0, 0);
    assert_eq!(want.len(), 30);
    for workers in [1, 2, 3, 40] {
        assert_eq!(batches(workers, 0), want, "{workers} workers");
    }
    for from in [0, 5, 14, 15, 20] {
        let rest: Vec<_> = want.chunks(15).flat_map(|epoch| epoch.iter().skip(from).cloned()).collect();
        assert_eq!(batches(2, from), rest, "from batch {from}");
    }
}

#[test]
fn an_item_that_fails_or_panics_ends_the_epoch_with_its_row() {
    for workers in [0, 2] {
        let error = |fails, panics| {
            let options = LoaderOptions { batch_size: 8, workers, ..LoaderOptions::default() };
            let loader = DataLoader::new(Odd { fails, panics }, options).unwrap();
            let mut epoch = loader.epoch(0);
            let whole = epoch.by_ref().take_while(Result::is_ok).count();
            assert_eq!((whole, epoch.next()), (5, None), "what came before it, and nothing after it");
            loader.epoch(0).find_map(Result::err).expect("an error")
        };
        assert_eq!(error(Some(42), None), Error::Data("item 42: no such word".into()));
        assert_eq!(error(None, Some(43)), Error::Data("item 43: it panicked: its picture is upside down".into()));
    }
}

#[test]
fn sets_are_made_of_others() {
    let numbers = |range: std::ops::Range<i32>| range.collect::<Vec<i32>>();
    let all = |set: &dyn Dataset<Item = i32>| (0..set.len()).map(|row| set.get(row).unwrap()).collect::<Vec<_>>();
    assert_eq!(all(&numbers(0..3).map(|x| Ok(10 * x))), [0, 10, 20]);
    assert_eq!(all(&numbers(0..3).concat(numbers(7..9))), [0, 1, 2, 7, 8]);
    assert_eq!(all(&numbers(0..9).subset(vec![8, 0, 8]).unwrap()), [8, 0, 8]);
    assert!(matches!(numbers(0..9).subset(vec![9]), Err(Error::Option(_))));

    let parts = numbers(0..100).random_split([70, 20], 5).unwrap();
    let again = numbers(0..100).random_split([70, 20], 5).unwrap();
    assert_eq!((parts[0].len(), parts[1].len(), all(&parts[1])), (70, 20, all(&again[1])));
    let mut both = [all(&parts[0]), all(&parts[1])].concat();
    assert!(!both.is_sorted());
    both.sort_unstable();
    both.dedup();
    assert_eq!(both.len(), 90, "nothing is in both");
    assert!(matches!(numbers(0..9).random_split([5, 5], 0), Err(Error::Option(_))));

    let folds = numbers(0..10).k_fold(3, 1).unwrap();
    let mut held: Vec<i32> = folds.iter().flat_map(|(_, held)| all(held)).collect();
    held.sort_unstable();
    assert_eq!(held, numbers(0..10));
    for (train, held) in &folds {
        assert!(train.len() + held.len() == 10 && all(held).iter().all(|x| !all(train).contains(x)));
    }
    assert!(numbers(0..2).k_fold(3, 1).is_err() && numbers(0..9).k_fold(1, 1).is_err());
}

#[test]
fn items_of_unlike_shapes_are_refused() {
    let ragged = vec![vec![1.0f32], vec![1.0, 2.0]];
    let loader = DataLoader::new(ragged, LoaderOptions::default()).unwrap();
    let error = loader.epoch(0).find_map(Result::err).expect("an error");
    assert!(error.to_string().contains("shapes [1] and [2]"), "{error}");
}

#[test]
fn arrays_keep_their_types_up_to_the_device() {
    let item = |i: u8| (Array::new(vec![i; 6], [2, 3]), Array::new(vec![i64::from(i) << 40], [1]), true, i);
    let loader = DataLoader::new((0..5).map(item).collect::<Vec<_>>(), LoaderOptions::default()).unwrap();
    let batch = loader.epoch(0).next().unwrap().unwrap();
    assert_eq!(batch.columns[0].u8s()[6..12], [1; 6]);
    let [pixels, stamps, flags, labels] = batch.to(&wgrad::Device::cpu());
    assert_eq!((pixels.shape(), pixels.dtype()), (wgrad::Shape::from([5, 2, 3]), DType::U8));
    assert_eq!(stamps.to_vec::<i64>().unwrap()[4], 4 << 40);
    assert_eq!((flags.dtype(), labels.dtype()), (DType::F32, DType::I32));
    let mixed = vec![Array::new(vec![1u8], [1]), Array::new(vec![1.0f32], [1])];
    let error = DataLoader::new(mixed, LoaderOptions::default()).unwrap().epoch(0).find_map(Result::err);
    assert_eq!(error, Some(Error::Data("a batch of items of u8 and of f32: make them alike".into())));
}

#[test]
fn batches_of_like_lengths_leave_out_other_items_in_each_epoch() {
    let lengths: Vec<usize> = (0..1000).map(|row| row * 7 % 500).collect();
    for last in [LastBatch::Drop, LastBatch::Keep] {
        let lengths: Arc<[usize]> = lengths.clone().into();
        let options =
            LoaderOptions { shuffle: Some(1), lengths: Some(lengths.clone()), last, ..LoaderOptions::default() };
        let loader = DataLoader::new((0..1000).collect::<Vec<i32>>(), options).unwrap();
        let mut left_out = vec![0; 1000];
        for epoch in 0..20 {
            let rows = loader.order(epoch);
            rows[960..].iter().for_each(|row| left_out[*row] += 1);
            let spread = |rows: &[usize]| {
                let all = || rows.iter().map(|row| lengths[*row]);
                all().max().unwrap() - all().min().unwrap()
            };
            // A batch has 64 of 1000 items, of two a length; one has the place of those that were left out in it.
            assert!(rows.chunks(64).all(|batch| spread(batch) <= 32 + 20), "{last:?}");
            let mut sorted = rows.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..1000));
        }
        assert!(left_out.iter().all(|times| *times < 10), "{last:?}");
    }
}
