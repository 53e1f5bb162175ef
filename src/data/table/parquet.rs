//! Tables in Parquet files.

use super::{Row, Table};
use crate::error::{Error, Result};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use std::fs::File;
use std::path::Path;

impl Table {
    /// Of a Parquet file, as pandas, Polars, DuckDB and Spark write them. Numbers keep all their digits; what is null is empty; dates
    /// and times are texts, and truth values `true` and `false`.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, or is no Parquet file or a damaged one; [`Error::Data`] if it has no rows, or with the
    /// column, if that holds lists, maps or structs.
    pub fn read_parquet(path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let damaged = |error: ParquetError| match error.to_string() {
            text if text.contains("Disabled feature") => {
                let kept = "which is not read: write it with Snappy, gzip, LZ4, Zstandard or none";
                Error::file(path, format!("it is compressed by a codec {kept} ({text})"))
            }
            text => Error::file(path, format!("this is no whole Parquet file ({text})")),
        };
        let file = File::open(path).map_err(|error| Error::file_because(path, "cannot be read", error))?;
        let reader = SerializedFileReader::new(file).map_err(damaged)?;
        let fields = reader.metadata().file_metadata().schema_descr().root_schema().get_fields().to_vec();
        let header: Vec<String> = fields.iter().map(|field| field.name().to_string()).collect();
        if let Some(nested) = fields.iter().find(|field| !field.is_primitive()) {
            let column = nested.name();
            return Err(Error::Data(format!(
                "{name}, column `{column}`: it holds lists, maps or structs, where a table takes numbers and texts"
            )));
        }
        let mut rows = Vec::new();
        for row in reader.get_row_iter(None).map_err(damaged)? {
            let row = row.map_err(damaged)?;
            let fields = row.get_column_iter().map(|(_, field)| text(field)).collect();
            rows.push(Row { line: rows.len() as u64 + 1, fields });
        }
        if rows.is_empty() || header.is_empty() {
            return Err(Error::Data(format!("{name}: expected rows, and there are none")));
        }
        Ok(Table { name, header, rows, unit: "row" })
    }
}

/// A field as a CSV file would have it.
fn text(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        // As they stand: printed, they would be in quotes.
        Field::Str(text) => text.trim().to_string(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).trim().to_string(),
        // Those of Rust, which give the same number back: printed, they would be cut.
        Field::Float16(number) => number.to_f32().to_string(),
        Field::Float(number) => number.to_string(),
        Field::Double(number) => number.to_string(),
        other => other.to_string(),
    }
}
