//! Tables in Parquet files: the feature `parquet`.

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use wgrad::Error;
use wgrad::data::{Encoder, Table};

const SCHEMA: &str = "message flats {
    optional double area;
    required int64 built;
    optional binary district (UTF8);
    required boolean sold;
}";

fn write(path: &Path, compression: Compression) {
    let properties = WriterProperties::builder().set_compression(compression).build();
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let file = File::create(path).expect("it can be made");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).expect("it starts");
    // Two groups of rows.
    for first in [0, 3] {
        let mut group = writer.next_row_group().expect("a group");
        let mut column = group.next_column().expect("it has it").expect("a column");
        column.typed::<DoubleType>().write_batch(&[70.1, 1e-9], Some(&[1, 0, 1]), None).expect("areas");
        column.close().expect("it closes");
        let mut column = group.next_column().expect("it has it").expect("a column");
        let built = [first, 1_700_000_000_000_000_001, 3].map(|year| year + first);
        column.typed::<Int64Type>().write_batch(&built, None, None).expect("years");
        column.close().expect("it closes");
        let mut column = group.next_column().expect("it has it").expect("a column");
        let texts = [ByteArray::from("north"), ByteArray::from("\"a, b\"")];
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&[1, 1, 0]), None).expect("texts");
        column.close().expect("it closes");
        let mut column = group.next_column().expect("it has it").expect("a column");
        column.typed::<BoolType>().write_batch(&[true, false, true], None, None).expect("truth");
        column.close().expect("it closes");
        group.close().expect("it closes");
    }
    writer.close().expect("it closes");
}

#[test]
fn a_table_is_read_in_every_codec() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flats.parquet");
    let all = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for compression in all {
        write(&path, compression);
        let table = Table::read_parquet(&path).expect("a table");
        assert_eq!(table.header(), ["area", "built", "district", "sold"], "{compression:?}");
        assert_eq!(table.len(), 6);
        assert_eq!(table.number(0, 0).expect("a number"), Some(70.1));
        assert_eq!(table.number(1, 0).expect("nothing"), None);
        assert_eq!(table.number(5, 0).expect("a number"), Some(1e-9));
        assert_eq!(table.text(4, 1), Some("1700000000000000004"));
        assert_eq!(table.text(1, 2), Some("\"a, b\""));
        assert_eq!((table.text(2, 2), table.text(2, 3)), (None, Some("true")));
        let wrong = table.number(1, 2).expect_err("it is a text").to_string();
        assert!(wrong.contains("flats.parquet, row 2, column `district`"), "{wrong}");
        let lacking = table.column("rooms").expect_err("there is none").to_string();
        assert!(
            lacking.ends_with("flats.parquet: there is no column `rooms` among area, built, district, sold"),
            "{lacking}"
        );
    }
}

#[test]
fn an_encoder_makes_numbers_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flats.parquet");
    write(&path, Compression::SNAPPY);
    let table = Table::read_parquet(&path).expect("a table");
    let rows: Vec<usize> = (0..table.len()).collect();
    let encoder = Encoder::fit(&table, &rows, &["area", "district"], &[]).expect("it fits");
    assert!(encoder.width() >= 3, "a number, and a column for each district");
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flats.parquet");
    let refused = |part: &str| match Table::read_parquet(&path) {
        Err(error @ (Error::File { .. } | Error::Data(_))) => assert!(error.to_string().contains(part), "{error}"),
        other => panic!("{other:?}"),
    };
    refused("cannot be read");
    fs::write(&path, "area,district\n70,north\n").expect("it can be written");
    refused("no whole Parquet file");
    write(&path, Compression::SNAPPY);
    let whole = fs::read(&path).expect("it can be read");
    fs::write(&path, &whole[..whole.len() - 20]).expect("it can be written");
    refused("no whole Parquet file");
}

/// `write.py` beside them has written them.
fn from_pandas(name: &str) -> wgrad::Result<Table> {
    Table::read_parquet(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet").join(name))
}

#[test]
fn a_table_of_pandas_has_its_values() {
    let table = from_pandas("pandas.parquet").expect("a table");
    assert_eq!(table.header(), ["area", "rooms", "district", "sold", "seen", "day", "large", "half"]);
    let row = |row: usize| (0..8).map(|column| table.text(row, column).unwrap_or("-")).collect::<Vec<_>>();
    let first =
        ["70.1", "3", "north", "true", "2024-01-02 03:04:05.678000 +00:00", "2024-02-29", "9223372036854775809", "0.1"];
    assert_eq!(row(0), first);
    assert_eq!(row(1), ["-", "-", "south", "false", "-", "-", "0", "0.2"]);
    let last = [
        "0.000000001",
        "2",
        "-",
        "true",
        "1969-12-31 23:59:59.000000 +00:00",
        "1970-01-01",
        "18446744073709551615",
        "0.3",
    ];
    assert_eq!(row(2), last);
}

#[test]
fn a_codec_that_is_not_read_is_named() {
    let refused = from_pandas("brotli.parquet").expect_err("it is not read").to_string();
    assert!(refused.contains("compressed by a codec which is not read: write it with Snappy"), "{refused}");
    assert!(refused.contains("brotli"), "{refused}");
}
