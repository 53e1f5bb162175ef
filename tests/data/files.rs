//! IDX, MNIST and CIFAR-10 files: the good ones are read, and each bad one is told apart in one sentence.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use wgrad::Error;
use wgrad::data::{ImageSet, cifar, idx, mnist};

const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx_file(header: &[u32], bytes: &[u8]) -> Vec<u8> {
    [header.iter().flat_map(|word| word.to_be_bytes()).collect(), bytes.to_vec()].concat()
}

/// Images of 28x28 whose pixels all hold their image's number.
fn digit_images(count: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..count).flat_map(|image| [image; 28 * 28]).collect();
    idx_file(&[0x803, count.into(), 28, 28], &pixels)
}

fn digit_labels(labels: &[u8]) -> Vec<u8> {
    idx_file(&[0x801, labels.len() as u32], labels)
}

fn write_mnist(folder: &Path) {
    for ([images, labels], count) in [(TRAIN, 3), (TEST, 2)] {
        fs::write(folder.join(images), digit_images(count)).unwrap();
        fs::write(folder.join(labels), digit_labels(&[7, 8, 9][..count.into()])).unwrap();
    }
}

fn cifar_records(labels: &[u8]) -> Vec<u8> {
    let planes = |label: u8| [vec![label], vec![10; 1024], vec![20; 1024], vec![30; 1024]].concat();
    labels.iter().flat_map(|&label| planes(label)).collect()
}

/// The one sentence of a file's error, which starts with the file's name and holds all of `parts`.
#[track_caller]
fn expect_file_error<T: std::fmt::Debug>(result: wgrad::Result<T>, name: &str, parts: &[&str]) {
    let Err(error @ Error::File { .. }) = result else { panic!("not a file error: {result:?}") };
    let text = error.to_string();
    assert!(text.starts_with(&format!("{name}: ")), "{text}");
    assert!(parts.iter().all(|part| text.contains(part)), "{text} lacks one of {parts:?}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn idx_is_read_plain_and_gzipped() {
    let file = idx_file(&[0x803, 2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let expected = idx::Images { count: 2, height: 1, width: 3, pixels: vec![1, 2, 3, 4, 5, 6] };
    assert_eq!(idx::images("x", &file), Ok(expected.clone()));
    assert_eq!(idx::images("x", &gzip(&file)), Ok(expected));
    assert_eq!(idx::labels("x", &digit_labels(&[3, 1])), Ok(vec![3, 1]));
    assert_eq!(idx::labels("x", &gzip(&digit_labels(&[]))), Ok(vec![]));
}

#[test]
fn idx_tells_another_format_from_swapped_files() {
    expect_file_error(idx::images("a", &digit_labels(&[1])), "a", &["holds labels where images belong", "swapped"]);
    expect_file_error(idx::labels("a", &digit_images(1)), "a", &["holds images where labels belong", "swapped"]);
    expect_file_error(
        idx::labels("a", b"\x89PNG\r\n\x1a\n"),
        "a",
        &["0x89504e47", "not 0x00000801", "not an IDX file of labels"],
    );
    expect_file_error(idx::images("a", b"<html>404</html>"), "a", &["0x3c68746d", "not an IDX file of images"]);
}

#[test]
fn idx_counts_its_bytes() {
    let file = digit_images(2);
    for packed in [false, true] {
        let pack = |bytes: &[u8]| if packed { gzip(bytes) } else { bytes.to_vec() };
        let truncated = ["1584 bytes expected", "(2 images of 28x28)", "1583 found", "truncated", "fetch it again"];
        expect_file_error(idx::images("a", &pack(&file[..1583])), "a", &truncated);
        let longer = pack(&[&file[..], &[0]].concat());
        expect_file_error(idx::images("a", &longer), "a", &["1584 bytes expected", "more found"]);
        expect_file_error(
            idx::images("a", &pack(&file[..9])),
            "a",
            &["9 bytes found", "header alone has 16", "truncated"],
        );
        expect_file_error(idx::images("a", &pack(&[])), "a", &["0 bytes found", "truncated"]);
        expect_file_error(idx::labels("a", &pack(&[0, 0])), "a", &["2 bytes found", "header alone has 8"]);
    }
}

#[test]
fn idx_does_not_believe_a_huge_header() {
    // More than an address can hold.
    let file = idx_file(&[0x803, u32::MAX, u32::MAX, u32::MAX], &[0; 8]);
    expect_file_error(idx::images("a", &file), "a", &["4294967295 images of 4294967295x4294967295", "more than fit"]);
    // An exabyte and terabytes, which an allocation ahead of reading would die of.
    for (height, width) in [(65_536, 16_384), (28, 28)] {
        let file = idx_file(&[0x803, u32::MAX, height, width], &[0; 8]);
        expect_file_error(idx::images("a", &file), "a", &["24 found", "truncated"]);
        expect_file_error(idx::images("a", &gzip(&file)), "a", &["24 found", "truncated"]);
    }
    expect_file_error(idx::labels("a", &idx_file(&[0x801, u32::MAX], &[1])), "a", &["4294967303 bytes", "9 found"]);
    expect_file_error(idx::images("a", &idx_file(&[0x803, 5, 0, 28], &[])), "a", &["0x28", "no pixels"]);
}

#[test]
fn damaged_gzip_is_an_error() {
    let file = gzip(&digit_images(9));
    for end in [5, 12, file.len() / 2, file.len() - 1] {
        expect_file_error(idx::images("a.gz", &file[..end]), "a.gz", &["gzip data", "truncated", "fetch it again"]);
    }
    let mut flipped = file.clone();
    let checksum = file.len() - 8;
    flipped[checksum] ^= 1;
    expect_file_error(idx::images("a.gz", &flipped), "a.gz", &["gzip data is damaged", "fetch it again"]);
    let garbage = [&file[..], b"garbage"].concat();
    assert!(idx::images("a.gz", &garbage).is_err());
}

#[test]
fn random_bytes_never_panic() {
    let mut rng = wgrad::Rng::new(1);
    for round in 0..2_000 {
        let mut bytes: Vec<u8> = (0..rng.below(64)).map(|_| rng.next_u32() as u8).collect();
        // Half of them get past the first check.
        let start: &[u8] = [&[0, 0, 8, 3], &[0x1f, 0x8b, 8, 0][..], &[0, 0, 8, 1], &[]][round % 4];
        bytes.splice(..start.len().min(bytes.len()), start.iter().copied());
        assert!(idx::images("a", &bytes).is_err() && cifar::from_bytes(&bytes).is_err(), "{bytes:?}");
        assert!(mnist::from_bytes(&bytes, &bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn mnist_is_found_under_all_its_names() {
    let folder = tempfile::tempdir().unwrap();
    write_mnist(folder.path());
    let plain = mnist::load(folder.path()).unwrap();
    assert_eq!((plain.train.len(), plain.test.len()), (3, 2));
    assert_eq!((plain.train.shape(), plain.train.classes()), ([1, 28, 28], 10));
    assert_eq!((plain.train.labels(), plain.train.image(2)), (&[7, 8, 9][..], &[2; 784][..]));
    for name in TRAIN {
        let contents = fs::read(folder.path().join(name)).unwrap();
        fs::remove_file(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(format!("{name}.gz")), gzip(&contents)).unwrap();
    }
    for name in TEST {
        let dotted = name.replace("-idx", ".idx");
        fs::rename(folder.path().join(name), folder.path().join(dotted)).unwrap();
    }
    assert_eq!(mnist::load(folder.path()).unwrap(), plain);
}

#[test]
fn mnist_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().display().to_string();
    write_mnist(folder.path());
    fs::remove_file(folder.path().join(TEST[1])).unwrap();
    let names = ["t10k-labels-idx1-ubyte, ", "t10k-labels-idx1-ubyte.gz", "t10k-labels.idx1-ubyte", "mnist::download"];
    expect_file_error(mnist::load(folder.path()), &shown, &names);
    let nowhere = folder.path().join("nowhere");
    expect_file_error(mnist::load(&nowhere), &nowhere.display().to_string(), &["no such folder", "mnist::download"]);
}

#[test]
fn mnist_names_the_file_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    write_mnist(folder.path());
    let images = folder.path().join(TRAIN[0]);
    fs::write(&images, &digit_images(3)[..1000]).unwrap();
    expect_file_error(mnist::load(folder.path()), &images.display().to_string(), &["(3 images of 28x28), 1000 found"]);
}

#[test]
fn mnist_checks_that_images_and_labels_fit() {
    let data_error = |images: &[u8], labels: &[u8]| match mnist::from_bytes(images, labels) {
        Err(Error::Data(text)) => text,
        other => panic!("not a data error: {other:?}"),
    };
    let text = data_error(&digit_images(3), &digit_labels(&[1, 2]));
    assert!(text.contains("MNIST images holds 3 images but MNIST labels holds 2 labels"), "{text}");
    let text = data_error(&digit_images(3), &digit_labels(&[1, 10, 2]));
    assert_eq!(text, "MNIST labels: row 1: label 10 is not in 0..10");
    let text = data_error(&idx_file(&[0x803, 1, 2, 2], &[0; 4]), &digit_labels(&[1]));
    assert!(text.contains("2x2, MNIST's are 28x28"), "{text}");
}

#[test]
fn cifar_is_read_from_either_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("cifar-10-batches-bin");
    fs::create_dir(&inner).unwrap();
    for place in [folder.path(), &inner] {
        fs::write(place.join("data_batch_1.bin"), cifar_records(&[1, 2])).unwrap();
        fs::write(place.join("data_batch_2.bin.gz"), gzip(&cifar_records(&[3]))).unwrap();
        fs::write(place.join("test_batch.bin"), cifar_records(&[9])).unwrap();
    }
    for place in [folder.path(), &inner] {
        let cifar = cifar::load(place).unwrap();
        assert_eq!((cifar.train.labels(), cifar.test.labels()), (&[1, 2, 3][..], &[9][..]));
        assert_eq!((cifar.train.shape(), cifar.train.classes()), ([3, 32, 32], 10));
        assert_eq!(cifar.train.image(2), [[10; 1024], [20; 1024], [30; 1024]].concat());
    }
    assert_eq!(cifar::from_bytes(&cifar_records(&[4, 0])).unwrap().labels(), [4, 0]);
}

#[test]
fn cifar_checks_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().display().to_string();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    expect_file_error(
        cifar::load(folder.path()),
        &shown,
        &["data_batch_1.bin, data_batch_1.bin.gz", "cifar-10-binary"],
    );
    write("data_batch_1.bin", &cifar_records(&[1]));
    expect_file_error(cifar::load(folder.path()), &shown, &["test_batch.bin"]);
    write("test_batch.bin", &cifar_records(&[1]));
    assert!(cifar::load(folder.path()).is_ok());
    write("data_batch_3.bin", &cifar_records(&[1]));
    expect_file_error(cifar::load(folder.path()), &shown, &["data_batch_2.bin"]);

    let truncated = &cifar_records(&[1, 2])[..6000];
    for bytes in [truncated, &gzip(truncated), &[], &[0; 3074]] {
        expect_file_error(cifar::from_bytes(bytes), "CIFAR-10 records", &["records of 3073", "fetch it again"]);
    }
    let packed = gzip(&cifar_records(&[1, 2]));
    expect_file_error(cifar::from_bytes(&packed[..20]), "CIFAR-10 records", &["gzip data ends too early"]);
    let wrong = cifar::from_bytes(&cifar_records(&[1, 2, 10]));
    assert_eq!(wrong, Err(Error::Data("CIFAR-10 records: record 2: label 10 is not in 0..10".to_string())));
}

#[test]
fn a_set_checks_its_rows() {
    let set =
        |shape, classes, pixels: usize, labels: &[u8]| ImageSet::new(shape, classes, vec![0; pixels], labels.to_vec());
    let data_error = |result| match result {
        Err(Error::Data(text)) => text,
        other => panic!("not a data error: {other:?}"),
    };
    assert_eq!(data_error(set([1, 2, 2], 3, 12, &[0, 2, 3])), "row 2: label 3 is not in 0..3");
    assert!(data_error(set([1, 2, 2], 3, 11, &[0, 1, 2])).starts_with("11 pixel bytes do not make 3 images of 1x2x2"));
    // A product that wraps around to 0.
    assert!(data_error(set([1 << (usize::BITS - 1), 2, 1], 3, 0, &[0])).contains("do not make 1 images"));
    assert!(data_error(set([1, 0, 2], 3, 0, &[])).contains("must be at least 1"));
    assert!(data_error(set([1, 1, 1], 0, 0, &[])).contains("0 classes"));
    assert!(data_error(set([1, 1, 1], 257, 0, &[])).contains("257 classes"));
    assert!(set([1, 1, 1], 256, 1, &[255]).is_ok());
}

#[test]
fn a_set_is_taken_and_split() {
    let set = ImageSet::new([1, 1, 2], 3, vec![1, 2, 3, 4, 5, 6], vec![0, 1, 2]).unwrap();
    let first = set.take(2);
    assert_eq!((first.pixels(), first.labels()), (&[1, 2, 3, 4][..], &[0, 1][..]));
    assert_eq!(set.take(9), set);
    let (left, right) = set.clone().split(1).unwrap();
    assert_eq!((left.pixels(), left.labels()), (&[1, 2][..], &[0][..]));
    assert_eq!((right.pixels(), right.labels()), (&[3, 4, 5, 6][..], &[1, 2][..]));
    assert!(matches!(set.split(4), Err(Error::Option(text)) if text.contains("3 images cannot be split after 4")));
}

#[test]
fn the_examples_own_mnist_is_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/mnist");
    let mnist = mnist::load(folder).unwrap();
    assert_eq!((mnist.train.len(), mnist.test.len()), (10_000, 2_000));
    // The first digits of both halves of MNIST, the latter five apart.
    assert_eq!((&mnist.train.labels()[..5], &mnist.test.labels()[..5]), (&[5, 0, 4, 1, 9][..], &[7, 1, 0, 5, 9][..]));
}
