//! A table in memory, whose every complaint names line and column.

#[cfg(feature = "parquet")]
mod parquet;

use super::files;
use crate::backend::whole;
use crate::error::{Error, Result};
use std::path::Path;

/// A CSV file in memory, or a Parquet file (feature `parquet`): a header, and rows of as many fields. What is wrong with it is told
/// with line and column. An [`Encoder`](super::Encoder) makes numbers of it.
///
/// ```
/// let table = wgrad::data::Table::parse("flats.csv", b"area,district\n70,north\n,south\n")?;
/// let area = table.column("area")?;
/// assert_eq!((table.len(), table.number(0, area)?, table.number(1, area)?), (2, Some(70.0), None));
/// assert!(table.number(0, table.column("district")?).unwrap_err().to_string().contains("line 2, column `district`"));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("DataFrame", "read_csv", "read_parquet"))]
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    name: String,
    header: Vec<String>,
    rows: Vec<Row>,
    /// What errors call a row: a line of text, or a row.
    unit: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    line: u64,
    fields: Vec<String>,
}

const LINE: &str = "line";

/// What stands in a column of numbers where one is missing: the words that pandas takes so.
const MISSING: [&str; 18] = [
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NULL",
    "NaN", "None", "n/a", "nan", "null", "NA",
];

impl Table {
    /// Of a file (RFC 4180, in UTF-8), gzipped or not.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, and as [`parse`](Table::parse).
    pub fn read(path: impl AsRef<Path>) -> Result<Table> {
        let (path, mut bytes) = (path.as_ref(), Vec::new());
        let file = whole::read(path)?;
        let read = files::unpacked(&file[..]).and_then(|mut text| text.read_to_end(&mut bytes));
        read.map_err(|error| files::damaged(&path.display().to_string(), &error))?;
        Table::parse(&path.display().to_string(), &bytes)
    }

    /// Takes a header and rows of as many fields apart; `name` is what errors call it. Space around fields is left out, and space
    /// in quotes is kept; lines of nothing but space are no rows, and `,` or `""` is one whose values are missing.
    ///
    /// # Errors
    /// [`Error::Data`] with the line, if it is no UTF-8, a quote does not end, a column has no name of its own, a row has
    /// another number of fields than the header, or there is none.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Table> {
        let broken = |line: u64, problem: &str| Error::Data(format!("{name}, line {line}: {problem}"));
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            broken(before as u64 + 1, "this is no UTF-8 text")
        })?;
        let mut rows =
            records(text.trim_start_matches('\u{feff}')).map_err(|line| broken(line, "a quote has no end"))?;
        if rows.len() < 2 {
            return Err(broken(1, "expected a header and rows after it"));
        }
        let header = rows.remove(0).fields;
        for (i, column) in header.iter().enumerate() {
            if column.is_empty() || header[..i].contains(column) {
                let text = format!("column {} is called `{column}`: each needs its own name", i + 1);
                return Err(broken(1, &text));
            }
        }
        if let Some(row) = rows.iter().find(|row| row.fields.len() != header.len()) {
            let text = format!("there are {} fields where the header has {}", row.fields.len(), header.len());
            return Err(broken(row.line, &text));
        }
        Ok(Table { name: name.into(), header, rows, unit: LINE })
    }

    /// With fields that are one of these words empty, such as `?` or `-999`: what is missing.
    ///
    /// ```
    /// let table = wgrad::data::Table::parse("cars.csv", b"power,kind\n130,a\n?,?\n")?.with_missing(&["?"]);
    /// assert_eq!((table.number(1, 0)?, table.text(1, 1)), (None, None));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[doc(alias = "na_values")]
    #[must_use]
    pub fn with_missing(mut self, words: &[&str]) -> Table {
        let fields = self.rows.iter_mut().flat_map(|row| &mut row.fields);
        fields.filter(|field| words.contains(&field.as_str())).for_each(String::clear);
        self
    }

    /// The number of rows, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a table is never empty")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The number of a column.
    ///
    /// # Errors
    /// [`Error::Data`] with the names there are.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.header.iter().position(|column| column == name).ok_or_else(|| {
            let there = self.header.join(", ");
            let place = if self.unit == LINE { format!("{}, line 1", self.name) } else { self.name.clone() };
            Error::Data(format!("{place}: there is no column `{name}` among {there}"))
        })
    }

    /// What a field holds; nothing where it is empty or `NA`. Other words for what is missing, `None` or `N/A`, are words here:
    /// see [`with_missing`](Table::with_missing).
    ///
    /// # Panics
    /// If there is no such row or column.
    #[track_caller]
    pub fn text(&self, row: usize, column: usize) -> Option<&str> {
        Some(self.rows[row].fields[column].as_str()).filter(|text| !["", "NA"].contains(text))
    }

    /// The number that a field holds. In f64, so that large ones still differ by their last digits, but no larger than an f32.
    /// Nothing where it is empty, or one of the words that pandas' `read_csv` takes for a missing one: `NaN`, `nan`, `null`, `NULL`,
    /// `None`, `N/A`, `n/a`, `NA`, `<NA>`, `#N/A` and rarer ones.
    ///
    /// # Errors
    /// [`Error::Data`] with line and column, if it holds something else.
    ///
    /// # Panics
    /// If there is no such row or column.
    #[track_caller]
    pub fn number(&self, row: usize, column: usize) -> Result<Option<f64>> {
        let text = self.text(row, column).map(str::trim).filter(|text| !MISSING.contains(text));
        let Some(text) = text else { return Ok(None) };
        let number = text.parse().ok().filter(|number: &f64| (*number as f32).is_finite());
        let wrong = || self.wrong(row, column, &format!("`{text}` is no number, as others of this column are"));
        number.map(Some).ok_or_else(wrong)
    }

    /// Whether a column holds numbers in these rows: nine of ten fields that hold anything do, so that a slip of the pen is told.
    ///
    /// # Panics
    /// If there is no such row or column.
    #[track_caller]
    pub fn is_number(&self, rows: &[usize], column: usize) -> bool {
        let (numbers, there) = self.numbers(rows, column);
        there > 0 && numbers * 10 >= there * 9
    }

    /// [`is_number`](Table::is_number), where half of the fields or more, but not nine of ten, are an error: such a column may be
    /// numbers with signs of their own for what is missing, or categories.
    #[track_caller]
    pub(super) fn is_surely_number(&self, rows: &[usize], column: usize) -> Result<bool> {
        let (numbers, there) = self.numbers(rows, column);
        let is_number = self.is_number(rows, column);
        if is_number || numbers * 2 < there || numbers == 0 {
            return Ok(is_number);
        }
        let other = rows.iter().find_map(|&row| self.number(row, column).err().map(|_| row));
        let Some(row) = other else { return Ok(false) };
        let text = self.text(row, column).unwrap_or_default();
        Err(self.wrong(
            row,
            column,
            &format!(
                "`{text}` is no number, and {numbers} of {there} fields of this column are: say that it holds categories, or which \
                 words stand for what is missing (`Table::with_missing`)"
            ),
        ))
    }

    /// How many fields of a column hold numbers, and how many hold anything.
    #[track_caller]
    fn numbers(&self, rows: &[usize], column: usize) -> (usize, usize) {
        let mut counts = (0, 0);
        for &row in rows {
            let found = self.number(row, column);
            counts.0 += usize::from(matches!(found, Ok(Some(_))));
            counts.1 += usize::from(!matches!(found, Ok(None)));
        }
        counts
    }

    /// What is wrong with a field, with its place.
    ///
    /// # Panics
    /// If there is no such row or column.
    #[track_caller]
    pub fn wrong(&self, row: usize, column: usize, problem: &str) -> Error {
        let place = self.place(row);
        Error::Data(format!("{place}, column `{}`: {problem}", self.header[column]))
    }

    /// The file and the line of a row.
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn place(&self, row: usize) -> String {
        format!("{}, {} {}", self.name, self.unit, self.rows[row].line)
    }
}

/// A field as far as it is read: its text, and how much of that was in quotes.
#[derive(Default)]
struct Field {
    text: String,
    quoted: Option<usize>,
}

impl Field {
    /// What it holds, without the space around it and its quotes.
    fn take(&mut self) -> String {
        let Field { mut text, quoted } = std::mem::take(self);
        let Some(kept) = quoted else { return text.trim().to_string() };
        text.truncate(kept + text[kept..].trim_end().len());
        text
    }
}

/// The records of a CSV text (RFC 4180), without the space around fields; empty lines are none. A quote that does not end
/// is an error of its line.
fn records(text: &str) -> Result<Vec<Row>, u64> {
    let (mut rows, mut row) = (Vec::new(), Row { line: 1, fields: Vec::new() });
    let (mut field, mut line) = (Field::default(), 1);
    // The line of the quote that is open.
    let mut open = None;
    let mut rest = text.chars().peekable();
    loop {
        let next = rest.next();
        line += u64::from(next == Some('\n'));
        match (next, open) {
            (Some('"'), Some(_)) if rest.peek() == Some(&'"') => field.text.extend(rest.next()),
            (Some('"'), Some(_)) => (open, field.quoted) = (None, Some(field.text.len())),
            (Some('"'), None) if field.quoted.is_none() && field.text.trim().is_empty() => {
                field.text.clear();
                open = Some(line);
            }
            (Some(','), None) => row.fields.push(field.take()),
            (Some('\n'), None) | (None, _) => {
                let is_empty = row.fields.is_empty() && field.quoted.is_none() && field.text.trim().is_empty();
                row.fields.push(field.take());
                let done = std::mem::replace(&mut row, Row { line, fields: Vec::new() });
                rows.extend(Some(done).filter(|_| !is_empty));
            }
            (Some(c), _) => field.text.push(c),
        }
        if next.is_none() {
            return open.map_or(Ok(rows), Err);
        }
    }
}
