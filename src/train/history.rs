//! The figures of a run, epoch by epoch.

use std::fmt;

/// Named numbers in an order, such as `loss`, `accuracy`, `val_loss`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures(Vec<(String, f64)>);

impl Figures {
    /// Of a name, if it is there.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    /// Each in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The names in order.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Adds a number, or replaces it.
    pub fn set(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = value,
            None => self.0.push((name.to_string(), value)),
        }
    }
}

impl FromIterator<(String, f64)> for Figures {
    fn from_iter<I: IntoIterator<Item = (String, f64)>>(figures: I) -> Figures {
        Figures(figures.into_iter().collect())
    }
}

/// An epoch that is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its number, from 0.
    pub epoch: usize,
    /// Steps since the run began.
    pub step: u64,
    /// Seconds that its steps took.
    pub seconds: f64,
    /// Items a second in training.
    pub rate: f64,
    /// The learning rate at its end.
    pub lr: f32,
    /// Means and metrics of training, and those of validation with `val_` before their names.
    pub figures: Figures,
}

/// All epochs of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// In order.
    pub epochs: Vec<Record>,
    /// Why it ended before its last epoch, if it did.
    pub stopped: Option<String>,
}

impl History {
    /// A figure of every epoch that has it.
    pub fn of(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().filter_map(|record| record.figures.get(name)).collect()
    }

    /// A figure of the last epoch.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.epochs.last()?.figures.get(name)
    }
}

impl fmt::Display for History {
    /// A table, an epoch a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.epochs.first() else { return f.write_str("no epoch is done") };
        let names = first.figures.names();
        f.write_str(&heading(&names))?;
        for record in &self.epochs {
            write!(f, "\n{}", row(record, &names))?;
        }
        self.stopped.as_ref().map_or(Ok(()), |why| write!(f, "\nstopped: {why}"))
    }
}

/// The width of a column.
fn width(name: &str) -> usize {
    name.len().max(9)
}

pub(super) fn heading(names: &[&str]) -> String {
    let columns: String = names.iter().map(|name| format!("  {name:>0$}", width(name))).collect();
    format!("epoch{columns}  items/s  seconds")
}

pub(super) fn row(record: &Record, names: &[&str]) -> String {
    let columns: String = names
        .iter()
        .map(|name| match record.figures.get(name) {
            Some(value) => format!("  {:>1$}", shown(value), width(name)),
            None => format!("  {:>1$}", "-", width(name)),
        })
        .collect();
    format!("{:>5}{columns}  {:>7.0}  {:>7.1}", record.epoch + 1, record.rate, record.seconds)
}

/// A number in few digits.
pub(super) fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1e-3..1e4 => format!("{value:.4}"),
        _ if value.is_finite() => format!("{value:.3e}"),
        _ => value.to_string(),
    }
}
