//! A CSV file in memory, whose every complaint names line and column.

use wgrad::{Error, Result};

pub struct Table {
    /// The file's name, for messages.
    pub name: String,
    pub header: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    line: u64,
    fields: Vec<String>,
}

impl Table {
    /// Takes a header and rows of as many fields apart.
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
        Ok(Table { name: name.into(), header, rows })
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The number of a column.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.header.iter().position(|column| column == name).ok_or_else(|| {
            let there = self.header.join(", ");
            Error::Data(format!("{}, line 1: there is no column `{name}` among {there}", self.name))
        })
    }

    /// What a field holds; nothing where it is empty or `NA`.
    pub fn text(&self, row: usize, column: usize) -> Option<&str> {
        Some(self.rows[row].fields[column].as_str()).filter(|text| !["", "NA"].contains(text))
    }

    /// The number that a field holds. In f64, so that large ones still differ by their last digits, but no larger than an f32.
    pub fn number(&self, row: usize, column: usize) -> Result<Option<f64>> {
        let Some(text) = self.text(row, column) else { return Ok(None) };
        let number = text.parse().ok().filter(|number: &f64| (*number as f32).is_finite());
        let wrong = || self.wrong(row, column, &format!("`{text}` is no number, as others of this column are"));
        number.map(Some).ok_or_else(wrong)
    }

    /// Whether a column holds numbers: nine of ten fields that hold anything do, so that a slip of the pen is told.
    pub fn is_number(&self, rows: &[usize], column: usize) -> bool {
        let there = rows.iter().filter(|&&row| self.text(row, column).is_some()).count();
        let numbers = rows.iter().filter(|&&row| self.number(row, column).is_ok_and(|n| n.is_some())).count();
        there > 0 && numbers * 10 >= there * 9
    }

    /// What is wrong with a field.
    pub fn wrong(&self, row: usize, column: usize, problem: &str) -> Error {
        let place = self.place(row);
        Error::Data(format!("{place}, column `{}`: {problem}", self.header[column]))
    }

    /// The file and the line of a row.
    pub fn place(&self, row: usize) -> String {
        format!("{}, line {}", self.name, self.rows[row].line)
    }
}

/// The records of a CSV text (RFC 4180), without the space around fields; empty lines are none. A quote that does not end
/// is an error of its line.
fn records(text: &str) -> Result<Vec<Row>, u64> {
    let (mut rows, mut row) = (Vec::new(), Row { line: 1, fields: Vec::new() });
    let (mut field, mut line) = (String::new(), 1);
    // The line of the quote that is open.
    let mut quoted = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        line += u64::from(c == '\n');
        match (c, quoted) {
            ('"', Some(_)) if rest.peek() == Some(&'"') => field.extend(rest.next()),
            ('"', Some(_)) => quoted = None,
            ('"', None) if field.trim().is_empty() => quoted = Some(line),
            (',', None) => row.fields.push(std::mem::take(&mut field).trim().to_string()),
            ('\n', None) => {
                row.fields.push(std::mem::take(&mut field).trim().to_string());
                rows.push(std::mem::replace(&mut row, Row { line, fields: Vec::new() }));
            }
            (c, _) => field.push(c),
        }
    }
    row.fields.push(field.trim().to_string());
    rows.push(row);
    rows.retain(|row| row.fields.iter().any(|field| !field.is_empty()));
    quoted.map_or(Ok(rows), Err)
}
