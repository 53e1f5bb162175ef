//! Columns become numbers about 1 in size, and what is to be learned becomes numbers or classes. Everything that is
//! measured for this (means, medians, categories) is measured on the training rows only.

use super::item::Array;
use super::table::Table;
use crate::backend::whole;
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;

/// Makes numbers of a [`Table`]'s rows: numbers are standardised, a category becomes a one beside zeros, what is missing is a
/// median with a mark beside it, or nothing but zeros. It is fitted on the training rows alone, and
/// [saved](Encoder::save) with the model.
///
/// ```
/// use wgrad::data::{DataLoader, Encoder, LoaderOptions, Table, Target};
/// let text = "area,district,rent\n70,north,900\n50,south,600\n,north,800\n90,south,950\n";
/// let table = Table::parse("flats.csv", text.as_bytes())?;
/// let train = [0, 1, 2];
/// let encoder = Encoder::fit(&table, &train, &["area", "district"], &[])?;
/// let target = Target::fit(&table, &train, "rent", &[])?;
/// let rows = encoder.rows(&table, &train)?.into_iter().zip(target.answers(&table, &train, "rent")?).collect::<Vec<_>>();
/// let loader = DataLoader::new(rows, LoaderOptions::default())?;
/// # let batch = loader.epoch(0).next().unwrap()?;
/// # assert_eq!((batch.columns[0].shape(), encoder.names().len()), (&[3, encoder.width()][..], encoder.width()));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("StandardScaler", "OneHotEncoder", "SimpleImputer", "ColumnTransformer"))]
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    columns: Vec<Column>,
    /// Whether a category of no training row is taken for a missing one.
    ignores_unknown: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Column {
    /// (x - mean) / std, where a missing x is the median; and, if any is missing, a 1 beside those that are.
    Number { name: String, median: f64, scale: Scale, missing: usize },
    /// One number for each category: 1 for the row's own, 0 for the others, and only 0 where it is missing.
    Category { name: String, values: Vec<String>, missing: usize },
}

/// The mean and the standard deviation of a column's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The mean.
    pub mean: f64,
    /// The deviation; 1 where all numbers are one, up to rounding.
    pub std: f64,
}

impl Scale {
    /// Of some numbers: the training part's.
    pub fn of(values: &[f64]) -> Scale {
        let (count, first) = (values.len().max(1) as f64, values.first().copied().unwrap_or(0.0));
        // About the first, so that the mean of equal numbers is that number to the bit.
        let mean = first + values.iter().map(|x| x - first).sum::<f64>() / count;
        let std = (values.iter().map(|&x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        // A column without variation, but for rounding, can be divided by 1.
        Scale { mean, std: if std > 4.0 * f64::EPSILON * mean.abs() { std } else { 1.0 } }
    }

    /// What a number becomes: rounded to f32 at last, since what is left is about 1 in size.
    pub fn apply(self, x: f64) -> f32 {
        ((x - self.mean) / self.std) as f32
    }

    /// The number that became this: what a model foretells, in the units of the data.
    pub fn undo(self, x: f32) -> f64 {
        f64::from(x) * self.std + self.mean
    }
}

/// The middle value, or the mean of the two in the middle; 0 for none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// The categories of a column, in the order of the alphabet.
fn categories(table: &Table, rows: &[usize], column: usize) -> Vec<String> {
    let mut values: Vec<String> = rows.iter().filter_map(|&row| table.text(row, column)).map(String::from).collect();
    values.sort();
    values.dedup();
    values
}

/// The place of a row's category among those that training has seen.
fn place(table: &Table, row: usize, column: usize, values: &[String]) -> Result<Option<usize>> {
    let Some(text) = table.text(row, column) else { return Ok(None) };
    values.iter().position(|value| value == text).map(Some).ok_or_else(|| {
        let known = values.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
        table.wrong(row, column, &format!("`{text}` is in no training row; known are {known}"))
    })
}

/// What is told of columns that hold categories and are not there.
fn there(table: &Table, as_categories: &[&str]) -> Result<()> {
    as_categories.iter().try_for_each(|name| table.column(name).map(drop))
}

/// What is told of a row that no table has.
#[track_caller]
fn check(table: &Table, rows: &[usize]) {
    if let Some(row) = rows.iter().find(|row| **row >= table.len()) {
        panic!("row {row} of {}, which has {} rows", table.name(), table.len());
    }
}

impl Encoder {
    /// Looks at the training rows of the columns `inputs`; those in `as_categories` hold categories, whatever they
    /// look like. Others hold numbers where nine of ten fields that hold anything do, and categories where fewer than half do. What
    /// stands for a missing number is told at [`Table::number`].
    ///
    /// # Errors
    /// [`Error::Data`] with line and column where a column of numbers holds something else, or numbers in a good part only and is
    /// not in `as_categories`, or the table has no column of a name in `inputs` or `as_categories`.
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn fit(table: &Table, rows: &[usize], inputs: &[&str], as_categories: &[&str]) -> Result<Encoder> {
        check(table, rows);
        there(table, as_categories)?;
        let mut columns = Vec::new();
        for name in inputs {
            let (name, column) = (name.to_string(), table.column(name)?);
            columns.push(if !as_categories.contains(&name.as_str()) && table.is_surely_number(rows, column)? {
                let numbers: Vec<Option<f64>> =
                    rows.iter().map(|&row| table.number(row, column)).collect::<Result<_>>()?;
                let median = median(&numbers.iter().flatten().copied().collect::<Vec<_>>());
                let missing = numbers.iter().filter(|number| number.is_none()).count();
                let filled: Vec<f64> = numbers.iter().map(|x| x.unwrap_or(median)).collect();
                Column::Number { name, median, scale: Scale::of(&filled), missing }
            } else {
                let missing = rows.iter().filter(|&&row| table.text(row, column).is_none()).count();
                Column::Category { name, values: categories(table, rows, column), missing }
            });
        }
        Ok(Encoder { columns, ignores_unknown: false })
    }

    /// Takes a category that was in no training row for a missing one, nothing but zeros, where [`rows`](Encoder::rows) refuses it
    /// otherwise.
    ///
    /// ```
    /// # use wgrad::data::{Encoder, Table};
    /// let table = Table::parse("flats.csv", b"district\nnorth\nsouth\nharbour\n")?;
    /// let encoder = Encoder::fit(&table, &[0, 1], &["district"], &[])?;
    /// assert!(encoder.rows(&table, &[2]).unwrap_err().to_string().contains("`harbour` is in no training row"));
    /// assert_eq!(encoder.ignore_unknown().rows(&table, &[0, 2])?, [[1.0, 0.0], [0.0, 0.0]]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[doc(alias("handle_unknown", "oov"))]
    #[must_use]
    pub fn ignore_unknown(self) -> Encoder {
        Encoder { ignores_unknown: true, ..self }
    }

    /// The numbers that a row becomes.
    pub fn width(&self) -> usize {
        let width = |column: &Column| match column {
            Column::Number { missing, .. } => 1 + usize::from(*missing > 0),
            Column::Category { values, .. } => values.len(),
        };
        self.columns.iter().map(width).sum()
    }

    /// A name for each number of a row: that of its column, `column=value` of a category, and `column is missing`.
    pub fn names(&self) -> Vec<String> {
        let named = |column: &Column| match column {
            Column::Number { name, missing, .. } => {
                let beside = (*missing > 0).then(|| format!("{name} is missing"));
                std::iter::once(name.clone()).chain(beside).collect::<Vec<_>>()
            }
            Column::Category { name, values, .. } => values.iter().map(|value| format!("{name}={value}")).collect(),
        };
        self.columns.iter().flat_map(named).collect()
    }

    /// The numbers of each of some rows, [`width`](Encoder::width) of them.
    ///
    /// # Errors
    /// [`Error::Data`] with line and column, where a number is none, or a category was in no training row and that is not
    /// [ignored](Encoder::ignore_unknown).
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn rows(&self, table: &Table, rows: &[usize]) -> Result<Vec<Vec<f32>>> {
        check(table, rows);
        let name = |column: &Column| match column {
            Column::Number { name, .. } | Column::Category { name, .. } => table.column(name),
        };
        let places = self.columns.iter().map(name).collect::<Result<Vec<_>>>()?;
        rows.iter().map(|&row| self.row(table, row, &places)).collect()
    }

    fn row(&self, table: &Table, row: usize, places: &[usize]) -> Result<Vec<f32>> {
        let mut out = Vec::with_capacity(self.width());
        for (column, &at) in self.columns.iter().zip(places) {
            match column {
                Column::Number { median, scale, missing, .. } => {
                    let number = table.number(row, at)?;
                    out.push(scale.apply(number.unwrap_or(*median)));
                    if *missing > 0 {
                        out.push(if number.is_none() { 1.0 } else { 0.0 });
                    }
                }
                Column::Category { values, .. } => {
                    let own = match place(table, row, at, values) {
                        Err(_) if self.ignores_unknown => None,
                        own => own?,
                    };
                    out.extend((0..values.len()).map(|i| if own == Some(i) { 1.0 } else { 0.0 }));
                }
            }
        }
        Ok(out)
    }

    /// Keeps what was measured in a file, as JSON.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let column = |column: &Column| match column {
            Column::Number { name, median, scale: Scale { mean, std }, missing } => {
                json!({"name": name, "median": median, "mean": mean, "std": std, "missing": missing})
            }
            Column::Category { name, values, missing } => json!({"name": name, "values": values, "missing": missing}),
        };
        let columns: Vec<Value> = self.columns.iter().map(column).collect();
        let (path, text) =
            (path.as_ref(), json!({"columns": columns, "ignores_unknown": self.ignores_unknown}).to_string());
        whole::write(path, text)
    }

    /// Takes it from there.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read or holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Encoder> {
        let path = path.as_ref();
        let text = whole::read(path)?;
        let column = |column: &Value| {
            let name = column["name"].as_str()?.to_string();
            let missing = usize::try_from(column["missing"].as_u64()?).ok()?;
            let Some(values) = column["values"].as_array() else {
                let [median, mean, std] = ["median", "mean", "std"].map(|key| column[key].as_f64());
                let scale = Scale { mean: mean?, std: std? };
                return Some(Column::Number { name, median: median?, scale, missing });
            };
            let values = values.iter().map(|value| value.as_str().map(String::from)).collect::<Option<_>>()?;
            Some(Column::Category { name, values, missing })
        };
        let whole: Option<Value> = serde_json::from_slice(&text).ok();
        let columns = whole.as_ref().and_then(|whole| whole["columns"].as_array()?.iter().map(column).collect());
        // Older files do not say.
        let ignores_unknown = whole.as_ref().is_some_and(|whole| whole["ignores_unknown"] == true);
        let encoder = columns.map(|columns| Encoder { columns, ignores_unknown });
        encoder.ok_or_else(|| Error::file(path, "holds no encoder of a table"))
    }
}

impl fmt::Display for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for column in &self.columns {
            let missing = match column {
                Column::Number { name, median, scale, missing } => {
                    let Scale { mean, std } = scale;
                    write!(f, "{name:<12} a number: mean {mean:.1}, deviation {std:.1}, median {median:.1}")?;
                    missing
                }
                Column::Category { name, values, missing } => {
                    write!(f, "{name:<12} one of {}", values.len())?;
                    missing
                }
            };
            writeln!(f, "{}", if *missing > 0 { format!(", missing in {missing} rows") } else { String::new() })?;
        }
        Ok(())
    }
}

/// The column of a [`Table`] that is to be learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A number, standardised as the inputs are.
    Number(Scale),
    /// One of these.
    Class(Vec<String>),
}

impl Target {
    /// Looks at the training rows of a column, which holds categories where it is in `as_categories`.
    ///
    /// # Errors
    /// As [`Encoder::fit`].
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn fit(table: &Table, rows: &[usize], column: &str, as_categories: &[&str]) -> Result<Target> {
        check(table, rows);
        there(table, as_categories)?;
        let at = table.column(column)?;
        if !as_categories.contains(&column) && table.is_surely_number(rows, at)? {
            let known = |&row: &usize| table.number(row, at).transpose();
            return Ok(Target::Number(Scale::of(&rows.iter().filter_map(known).collect::<Result<Vec<_>>>()?)));
        }
        Ok(Target::Class(categories(table, rows, at)))
    }

    /// The outputs that a model needs: a number, or a logit for each class.
    pub fn outputs(&self) -> usize {
        match self {
            Target::Number(_) => 1,
            Target::Class(values) => values.len(),
        }
    }

    /// The right answers of some rows: arrays without dimensions, of f32, or of i32 for classes.
    ///
    /// # Errors
    /// [`Error::Data`] with line and column, where one is missing or is no class of the training rows.
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn answers(&self, table: &Table, rows: &[usize], column: &str) -> Result<Vec<Array>> {
        check(table, rows);
        let at = table.column(column)?;
        let none = |row| table.wrong(row, at, "what is to be learned is missing: leave this row out");
        let answer = |&row: &usize| match self {
            Target::Number(scale) => {
                let number = table.number(row, at)?.ok_or_else(|| none(row))?;
                Ok(Array::new(vec![scale.apply(number)], []))
            }
            Target::Class(values) => {
                let class = place(table, row, at, values)?.ok_or_else(|| none(row))?;
                Ok(Array::new(vec![class as i32], []))
            }
        };
        rows.iter().map(answer).collect()
    }
}
