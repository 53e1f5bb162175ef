//! Columns become numbers about 1 in size, and what is to be learned becomes numbers or classes. Everything that is
//! measured for this (means, medians, categories) is measured on the training rows only.

use crate::table::Table;
use std::fmt;
use wgrad::{Device, Result, Tensor};

pub struct Encoder {
    columns: Vec<Column>,
}

enum Column {
    /// (x - mean) / std, where a missing x is the median; and, if any is missing, a 1 beside those that are.
    Number { name: String, median: f64, scale: Scale, missing: usize },
    /// One number for each category: 1 for the row's own, 0 for the others, and only 0 where it is missing.
    Category { name: String, values: Vec<String>, missing: usize },
}

#[derive(Clone, Copy)]
pub struct Scale {
    pub mean: f64,
    pub std: f64,
}

impl Scale {
    fn of(values: &[f64]) -> Scale {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let std = (values.iter().map(|&x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        // A column without variation can be divided by 1.
        Scale { mean, std: if std > 0.0 { std } else { 1.0 } }
    }

    /// Rounded to f32 at last: what is left is about 1 in size.
    fn apply(self, x: f64) -> f32 {
        ((x - self.mean) / self.std) as f32
    }
}

/// The middle value, or the mean of the two in the middle; 0 for none.
pub fn median(values: &[f64]) -> f64 {
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

impl Encoder {
    /// Looks at the training rows of the columns `inputs`; those in `as_categories` hold categories, whatever they
    /// look like.
    pub fn fit(table: &Table, rows: &[usize], inputs: &[String], as_categories: &[String]) -> Result<Encoder> {
        let mut columns = Vec::new();
        for name in inputs {
            let (name, column) = (name.clone(), table.column(name)?);
            let missing = rows.iter().filter(|&&row| table.text(row, column).is_none()).count();
            columns.push(if table.is_number(rows, column) && !as_categories.contains(&name) {
                let numbers: Vec<Option<f64>> =
                    rows.iter().map(|&row| table.number(row, column)).collect::<Result<_>>()?;
                let median = median(&numbers.iter().flatten().copied().collect::<Vec<_>>());
                let filled: Vec<f64> = numbers.iter().map(|x| x.unwrap_or(median)).collect();
                Column::Number { name, median, scale: Scale::of(&filled), missing }
            } else {
                Column::Category { name, values: categories(table, rows, column), missing }
            });
        }
        Ok(Encoder { columns })
    }

    /// The numbers that a row becomes.
    pub fn width(&self) -> usize {
        let width = |column: &Column| match column {
            Column::Number { missing, .. } => 1 + usize::from(*missing > 0),
            Column::Category { values, .. } => values.len(),
        };
        self.columns.iter().map(width).sum()
    }

    /// Each row's numbers, one row after another.
    pub fn encode(&self, table: &Table, rows: impl IntoIterator<Item = usize>) -> Result<Vec<f32>> {
        let mut places = Vec::new();
        for column in &self.columns {
            let (Column::Number { name, .. } | Column::Category { name, .. }) = column;
            places.push(table.column(name)?);
        }
        let mut out = Vec::new();
        for row in rows {
            for (column, &at) in self.columns.iter().zip(&places) {
                match column {
                    Column::Number { median, scale, missing, .. } => {
                        let number = table.number(row, at)?;
                        out.push(scale.apply(number.unwrap_or(*median)));
                        if *missing > 0 {
                            out.push(if number.is_none() { 1.0 } else { 0.0 });
                        }
                    }
                    Column::Category { values, .. } => {
                        let own = place(table, row, at, values)?;
                        out.extend((0..values.len()).map(|i| if own == Some(i) { 1.0 } else { 0.0 }));
                    }
                }
            }
        }
        Ok(out)
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

/// What is to be learned.
pub enum Goal {
    /// A number, standardised as the inputs are.
    Number(Scale),
    /// One of these.
    Class(Vec<String>),
}

/// The right answers of some rows.
pub enum Answers {
    Numbers(Vec<f32>),
    Classes(Vec<i32>),
}

impl Goal {
    /// Looks at the target of the training rows.
    pub fn fit(table: &Table, rows: &[usize], column: usize, as_categories: &[String]) -> Result<Goal> {
        if table.is_number(rows, column) && !as_categories.contains(&table.header[column]) {
            let known = |&row: &usize| table.number(row, column).transpose();
            return Ok(Goal::Number(Scale::of(&rows.iter().filter_map(known).collect::<Result<Vec<_>>>()?)));
        }
        Ok(Goal::Class(categories(table, rows, column)))
    }

    /// The outputs that a model needs.
    pub fn outputs(&self) -> usize {
        match self {
            Goal::Number(_) => 1,
            Goal::Class(values) => values.len(),
        }
    }

    pub fn answers(&self, table: &Table, rows: &[usize], column: usize) -> Result<Answers> {
        let none = |row| table.wrong(row, column, "what is to be learned is missing: leave this row out");
        Ok(match self {
            Goal::Number(scale) => Answers::Numbers(
                rows.iter()
                    .map(|&row| Ok(scale.apply(table.number(row, column)?.ok_or_else(|| none(row))?)))
                    .collect::<Result<_>>()?,
            ),
            Goal::Class(values) => Answers::Classes(
                rows.iter()
                    .map(|&row| Ok(place(table, row, column, values)?.ok_or_else(|| none(row))? as i32))
                    .collect::<Result<_>>()?,
            ),
        })
    }
}

impl Answers {
    /// Those of some rows, where the model is.
    pub fn tensor(&self, rows: &[usize], device: &Device) -> Tensor {
        match self {
            Answers::Numbers(all) => Tensor::from_vec(rows.iter().map(|&row| all[row]).collect(), [rows.len()], device),
            Answers::Classes(all) => Tensor::from_vec(rows.iter().map(|&row| all[row]).collect(), [rows.len()], device),
        }
    }
}
