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

/// How a CSV text is written, where it is not as [`Table::read`] takes it.
///
/// ```
/// use wgrad::data::{Table, TableOptions};
/// // Fields between semicolons, and no header.
/// let options = TableOptions { separator: ';', names: Some(vec!["area".into(), "rent".into()]), ..TableOptions::default() };
/// let table = Table::parse_with("flats.csv", b"70;900\n50;600\n", &options)?;
/// assert_eq!((table.len(), table.number(1, table.column("rent")?)?), (2, Some(600.0)));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// What stands between fields; `,`.
    #[doc(alias("sep", "delimiter"))]
    pub separator: char,
    /// The names of the columns of a file that has no header.
    pub names: Option<Vec<String>>,
    /// Lines at the start that are left out; with `names`, 1 leaves out a header that has others.
    #[doc(alias = "skiprows")]
    pub skip: usize,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        TableOptions { separator: ',', names: None, skip: 0 }
    }
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
        Table::read_with(path, &TableOptions::default())
    }

    /// The same with another separator, or without a header.
    ///
    /// # Errors
    /// As [`read`](Table::read) and [`parse_with`](Table::parse_with).
    pub fn read_with(path: impl AsRef<Path>, options: &TableOptions) -> Result<Table> {
        let (path, mut bytes) = (path.as_ref(), Vec::new());
        let file = whole::read(path)?;
        let read = files::unpacked(&file[..]).and_then(|mut text| text.read_to_end(&mut bytes));
        read.map_err(|error| files::damaged(&path.display().to_string(), &error))?;
        Table::parse_with(&path.display().to_string(), &bytes, options)
    }

    /// Takes a header and rows of as many fields apart; `name` is what errors call it. Space around fields is left out, and space
    /// in quotes is kept; lines of nothing but space are no rows, and `,` or `""` is one whose values are missing.
    ///
    /// # Errors
    /// [`Error::Data`] with the line, if it is no UTF-8, a quote does not end, a column has no name of its own, a row has
    /// another number of fields than the header, or there is none; if the header is one field with other separators in it, or holds
    /// numbers as rows do. Whole numbers that grow, such as years, are names.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Table> {
        Table::parse_with(name, bytes, &TableOptions::default())
    }

    /// The same with another separator, or without a header.
    ///
    /// # Errors
    /// As [`parse`](Table::parse); [`Error::Option`] where `names` are not each its own, or the separator is a quote or the end of a
    /// line.
    pub fn parse_with(name: &str, bytes: &[u8], options: &TableOptions) -> Result<Table> {
        let broken = |line: u64, problem: &str| Error::Data(format!("{name}, line {line}: {problem}"));
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            broken(before as u64 + 1, "this is no UTF-8 text")
        })?;
        let TableOptions { separator, names, skip } = options;
        if ['"', '\n', '\r'].contains(separator) {
            return Err(Error::Option(format!("TableOptions: {separator:?} cannot stand between fields")));
        }
        let mut text = text.trim_start_matches('\u{feff}');
        for _ in 0..*skip {
            text = text.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let rows = records(text, *separator, *skip as u64 + 1);
        let mut rows = rows.map_err(|line| broken(line, "a quote has no end"))?;
        if rows.len() < 2 - usize::from(names.is_some()) {
            let expected = if names.is_some() { "expected rows" } else { "expected a header and rows after it" };
            return Err(broken(*skip as u64 + 1, expected));
        }
        let header = match names {
            Some(names) => match unnamed(names) {
                Some(problem) => return Err(Error::Option(format!("TableOptions: {problem}"))),
                None => names.clone(),
            },
            None => {
                let Row { line, fields } = rows.remove(0);
                match unlike(&fields, *separator) {
                    Some(problem) => return Err(broken(line, &problem)),
                    None => fields,
                }
            }
        };
        if let Some(row) = rows.iter().find(|row| row.fields.len() != header.len()) {
            let whose = if names.is_some() { "there are names for" } else { "the header has" };
            let text = format!("there are {} fields where {whose} {}", row.fields.len(), header.len());
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

/// What is told of names that are not each a column's own.
fn unnamed(names: &[String]) -> Option<String> {
    let at = (0..names.len()).find(|&at| names[at].is_empty() || names[..at].contains(&names[at]))?;
    let (name, number) = (&names[at], at + 1);
    let wrong = match name.is_empty() {
        true => format!("column {number} has no name"),
        false => format!("column {number} is called `{name}`, as one before it"),
    };
    Some(format!("{wrong}: each needs its own name"))
}

/// What is told of a header that is none.
fn unlike(header: &[String], separator: char) -> Option<String> {
    if let ([whole], ',') = (header, separator)
        && let Some(other) = [';', '\t', '|'].into_iter().find(|other| whole.contains(*other))
    {
        return Some(format!(
            "the only column is called {whole:?}: where {other:?} stands between fields, say so \
             (`Table::read_with`, `TableOptions {{ separator: {other:?}, .. }}`)"
        ));
    }
    const OTHER: &str = "give names of your own (`Table::read_with`, `TableOptions { names: Some(..)";
    let number = |name: &String| name.parse().ok().filter(|number: &f64| number.is_finite());
    let numbers: Vec<f64> = header.iter().filter_map(number).collect();
    // Years are names, and so are numbers from 0 up; measures are in no order.
    let is_count = numbers == [0.0] || numbers.len() > 1 && numbers.is_sorted_by(|a, b| a < b);
    let is_row = numbers.len() == header.len() || numbers.iter().any(|number| number.fract() != 0.0);
    if is_row && !is_count {
        let names = header.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        return Some(format!(
            "names of columns are numbers ({names}): where there is no header, {OTHER}, .. }}`); `skip: 1` leaves this line out"
        ));
    }
    unnamed(header).map(|problem| format!("{problem}; {OTHER}, skip: 1, .. }}`)"))
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
/// is an error of its line. The first has the number `line`.
fn records(text: &str, separator: char, mut line: u64) -> Result<Vec<Row>, u64> {
    let (mut rows, mut row) = (Vec::new(), Row { line, fields: Vec::new() });
    let mut field = Field::default();
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
            (Some(c), None) if c == separator => row.fields.push(field.take()),
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
