//! What TensorBoard is told, read back by a decoder that shares nothing with the writer but the format's description.

use crate::train::trainer::{loader, network, plain};
use std::collections::BTreeMap;
use std::path::Path;
use wgrad::nn::{Ctx, Layer};
use wgrad::train::{Checkpoints, EventFile, TensorBoard};
use wgrad::{Device, Tensor};

/// CRC32C by long division: the remainder of a polynomial whose lowest power stands in the highest bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut rest: u32 = 0xffff_ffff;
    for at in 0..8 * bytes.len() {
        let bit = bytes[at / 8] >> (at % 8) & 1;
        let out = rest & 1 == 1;
        rest >>= 1;
        if out != (bit == 1) {
            rest ^= 0x1edc_6f41u32.reverse_bits();
        }
    }
    !rest
}

fn checks(bytes: &[u8], masked: &[u8]) -> bool {
    let crc = crc32c(bytes);
    let mask = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    u32::from_le_bytes(masked.try_into().expect("four bytes")) == mask
}

/// The contents of records.
fn records(file: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).expect("it was written");
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().expect("eight bytes")) as usize;
        assert!(checks(&rest[..8], &rest[8..12]) && checks(&rest[12..][..length], &rest[12 + length..][..4]));
        found.push(rest[12..][..length].to_vec());
        rest = &rest[16 + length..];
    }
    found
}

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Int(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
}

impl Field {
    fn bytes(&self) -> &[u8] {
        match self {
            Field::Bytes(bytes) | Field::Fixed(bytes) => bytes,
            Field::Int(_) => panic!("{self:?} has no bytes"),
        }
    }

    fn fields(&self) -> BTreeMap<u64, Vec<Field>> {
        message(self.bytes())
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("UTF-8")
    }

    fn number(&self) -> f64 {
        match self {
            Field::Int(value) => *value as f64,
            Field::Fixed(bytes) if bytes.len() == 4 => f64::from(f32::from_le_bytes(bytes[..].try_into().expect("4"))),
            Field::Fixed(bytes) => f64::from_le_bytes(bytes[..].try_into().expect("8")),
            Field::Bytes(_) => panic!("{self:?} is no number"),
        }
    }
}

/// The fields of a message by their numbers.
fn message(bytes: &[u8]) -> BTreeMap<u64, Vec<Field>> {
    fn varint(rest: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = rest[0];
            *rest = &rest[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let (mut rest, mut found) = (bytes, BTreeMap::<u64, Vec<Field>>::new());
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let take = |count: usize, rest: &mut &[u8]| {
            let (own, left) = rest.split_at(count);
            *rest = left;
            own.to_vec()
        };
        let field = match key & 7 {
            0 => Field::Int(varint(&mut rest)),
            1 => Field::Fixed(take(8, &mut rest)),
            5 => Field::Fixed(take(4, &mut rest)),
            2 => {
                let length = varint(&mut rest) as usize;
                Field::Bytes(take(length, &mut rest))
            }
            other => panic!("a field of kind {other}"),
        };
        found.entry(key >> 3).or_default().push(field);
    }
    found
}

/// The events of a folder: step, and the value of a summary.
fn values(folder: &Path) -> Vec<(u64, BTreeMap<u64, Vec<Field>>)> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("it was made").flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let events: Vec<_> = records(&file).iter().map(|record| message(record)).collect();
        assert_eq!(events[0][&3][0].text(), "brain.Event:2");
        for event in &events[1..] {
            assert!(event[&1][0].number() > 1.6e9, "a time of these years");
            let Field::Int(step) = event[&2][0] else { panic!("a step is a whole number") };
            if let Some(summary) = event.get(&5) {
                found.push((step, summary[0].fields()[&1][0].fields()));
            } else {
                // The start of a run that was resumed.
                assert_eq!(event[&7][0].fields()[&1], [Field::Int(1)]);
                found.push((step, BTreeMap::new()));
            }
        }
    }
    found
}

#[test]
fn all_that_is_written_is_read() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the check value of the catalogue of CRCs");
    let folder = tempfile::tempdir().expect("a folder");
    let mut events = EventFile::new(folder.path(), 0).expect("it can be written");
    events.scalar("a/b", 3, -1.5).expect("written");
    events.histogram("weights", u64::from(u32::MAX) + 7, &[1.0, 2.0, 2.5, f32::NAN, 5.0]).expect("written");
    events.text("note", 1, "größer").expect("written");
    events.image("picture", 2, [2, 3], &[7; 18]).expect("written");
    events.hparams(&[("lr".into(), "0.1".into()), ("model".into(), "cnn".into())]).expect("written");
    let wrong = events.image("picture", 2, [2, 3], &[7; 17]).expect_err("too few").to_string();
    assert!(wrong.contains("17 bytes for 3 x 2 pixels: expected 6, three or four times"), "{wrong}");

    let found = values(folder.path());
    let tag = |at: usize| found[at].1[&1][0].text();
    assert_eq!((found[0].0, tag(0), found[0].1[&2][0].number()), (3, "a/b".into(), -1.5));
    let histogram = found[1].1[&5][0].fields();
    assert_eq!((found[1].0, tag(1)), (u64::from(u32::MAX) + 7, "weights".into()));
    let sums = [1, 2, 3, 4, 5].map(|field| histogram[&field][0].number());
    assert_eq!(sums, [1.0, 5.0, 4.0, 10.5, 1.0 + 4.0 + 6.25 + 25.0]);
    let doubles = |field: &Field| -> Vec<f64> {
        field.bytes().chunks(8).map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight"))).collect()
    };
    let (limits, counts) = (doubles(&histogram[&6][0]), doubles(&histogram[&7][0]));
    assert!(limits.len() == counts.len() && limits.is_sorted() && (limits[limits.len() - 1] - 5.0).abs() < 1e-9);
    assert_eq!((counts.iter().sum::<f64>(), counts[0], counts[counts.len() - 1]), (4.0, 1.0, 1.0));
    assert_eq!(tag(2), "note/text_summary");
    assert_eq!(found[2].1[&8][0].fields()[&8][0].text(), "größer");
    assert_eq!(found[2].1[&9][0].fields()[&1][0].fields()[&1][0].text(), "text");
    let picture = found[3].1[&4][0].fields();
    assert_eq!([1, 2, 3].map(|field| picture[&field][0].number()), [2.0, 3.0, 3.0]);
    let mut png = png::Decoder::new(std::io::Cursor::new(picture[&4][0].bytes())).read_info().expect("a PNG file");
    let mut pixels = vec![0; 18];
    png.next_frame(&mut pixels).expect("a whole one");
    assert_eq!(pixels, [7; 18]);
    let settings = found[4].1[&9][0].fields()[&1][0].fields();
    assert_eq!((tag(4), settings[&1][0].text()), ("_hparams_/session_start_info".into(), "hparams".into()));
    let start = message(settings[&2][0].bytes())[&3][0].fields();
    let entries: Vec<_> =
        start[&1].iter().map(|entry| (entry.fields()[&1][0].text(), entry.fields()[&2][0].fields())).collect();
    assert_eq!((entries[0].0.as_str(), entries[0].1[&2][0].number()), ("lr", 0.1));
    assert_eq!((entries[1].0.as_str(), entries[1].1[&3][0].text()), ("model", "cnn".into()));
}

#[test]
fn a_graph_names_layers_and_what_they_read() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let model = network(&device);
    // The visit of the whole model tells its layers their names.
    assert!(!wgrad::nn::parameters(&model).is_empty());
    let graph = model.forward(&Tensor::zeros([4, 2], &device).named("points"), &Ctx::train()).square().mean().graph();
    let mut events = EventFile::new(folder.path(), 0).expect("it can be written");
    events.graph(&graph).expect("written");
    let event = message(&records(events.path())[1]);
    let nodes: Vec<_> = event[&4][0].fields()[&1].iter().map(Field::fields).collect();
    assert_eq!(nodes.len(), graph.values().len());
    let names: Vec<String> = nodes.iter().map(|node| node[&1][0].text()).collect();
    assert!(
        names.iter().any(|name| name == "0/weight") && names.iter().any(|name| name.starts_with("4/linear_")),
        "{names:?}"
    );
    for (at, node) in nodes.iter().enumerate() {
        let inputs = node.get(&3).map_or(&[][..], |all| all);
        assert!(inputs.iter().all(|input| names[..at].contains(&input.text())), "{node:?}");
    }
    assert_eq!(nodes.last().map(|node| node[&2][0].text()), Some("mean".into()));
}

#[test]
fn a_run_tells_its_figures_and_what_came_after_a_checkpoint_once_more() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let [board, kept] = ["board", "kept"].map(|name| folder.path().join(name));
    let model = network(&device);
    for steps in [15, u64::MAX] {
        let mut trainer = plain(&device, &model, 0.1)
            .epochs(3)
            .max_steps(steps)
            .checkpoints(Checkpoints::in_folder(&kept).resume())
            .callback(TensorBoard::new(&board).setting("lr", 0.1).histograms());
        trainer.fit(&loader(300, 0), Some(&loader(70, 0))).expect("it trains");
    }
    let found = values(&board);
    let of = |tag: &str| -> Vec<u64> {
        let own = |value: &BTreeMap<u64, Vec<Field>>| value.get(&1).is_some_and(|own| own[0].text() == tag);
        found.iter().filter(|(_, value)| own(value)).map(|(step, _)| *step).collect()
    };
    for tag in ["loss/training", "loss/validation", "size/validation", "rate", "items a second", "model.0.weight"] {
        assert_eq!(of(tag), [10, 20, 30], "{tag}");
    }
    assert!(found.iter().any(|(step, value)| *step == 16 && value.is_empty()), "steps from 16 on are void");
}
