//! A callback that tells a run's figures in the terminal.

use super::callback::{Callback, Run};
use super::history::{Record, heading, row, shown};
use crate::error::{Error, Result};
use std::io::{IsTerminal, Write};

/// A table of epochs on standard output, and below it, where standard error is a terminal, a line with a bar, the figures, items
/// a second and the time left.
#[derive(Debug)]
pub struct Progress {
    bar: bool,
    /// The epochs from one row to the next; none for no table.
    every: Option<usize>,
    title: String,
    names: Vec<String>,
    /// What was told of memory last.
    fitted: Option<String>,
    /// The number of the epoch that was printed last.
    printed: Option<usize>,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Progress {
    /// With a bar where somebody can see it.
    pub fn new() -> Progress {
        let bar = std::io::stderr().is_terminal();
        Progress { bar, every: Some(1), title: String::new(), names: Vec::new(), fitted: None, printed: None }
    }

    /// The table alone.
    pub fn without_bar() -> Progress {
        Progress { bar: false, ..Progress::new() }
    }

    /// The bar alone, with some words before it: for a program that trains several models.
    pub fn without_table(title: &str) -> Progress {
        Progress { every: None, title: format!("{title} "), ..Progress::new() }
    }

    /// Prints the first of so many epochs, and the last of all.
    #[must_use]
    pub fn every(self, epochs: usize) -> Progress {
        Progress { every: Some(epochs.max(1)), ..self }
    }

    /// A row of the table, with its heading where figures are new.
    fn add(&mut self, record: &Record) -> Result<()> {
        let names = record.figures.names();
        if names != self.names {
            self.print(&heading(&names))?;
            self.names = names.iter().map(|name| name.to_string()).collect();
        }
        self.printed = Some(record.epoch);
        self.print(&row(record, &names))
    }

    fn wipe(&self) {
        if self.bar {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }

    fn print(&self, text: &str) -> Result<()> {
        self.wipe();
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .map_err(|error| Error::file_because("standard output", "cannot be written", error))
    }
}

impl Callback for Progress {
    fn name(&self) -> &str {
        "progress"
    }

    fn on_every_rank(&self) -> bool {
        false
    }

    fn step(&mut self, run: &mut Run) -> Result<()> {
        let fitted = run.fitted.filter(|_| self.every.is_some()).map(ToString::to_string);
        if fitted.is_none() || fitted == self.fitted {
            return Ok(());
        }
        self.print(fitted.as_deref().unwrap_or_default())?;
        self.fitted = fitted;
        Ok(())
    }

    fn read(&mut self, run: &mut Run) -> Result<()> {
        if !self.bar {
            return Ok(());
        }
        let figures: String = run.figures.iter().map(|(name, value)| format!("  {name} {}", shown(value))).collect();
        let (bar, left) = done(run.batch, run.batches, run.seconds);
        let (title, epoch, epochs, rate) = (&self.title, run.epoch + 1, run.epochs, run.rate);
        let _ = write!(std::io::stderr(), "\r\x1b[2K{title}epoch {epoch}/{epochs} {bar}{figures}  {rate:.0}/s{left}");
        Ok(())
    }

    fn epoch(&mut self, run: &mut Run) -> Result<()> {
        match (run.history.epochs.last(), self.every) {
            (Some(record), Some(every)) if record.epoch.is_multiple_of(every) => self.add(record),
            _ => Ok(()),
        }
    }

    fn ended(&mut self, run: &mut Run, _error: Option<&Error>) -> Result<()> {
        self.wipe();
        if self.every.is_none() {
            return Ok(());
        }
        if let Some(last) = run.history.epochs.last().filter(|last| self.printed.is_some_and(|at| at < last.epoch)) {
            self.add(last)?;
        }
        match &run.history.stopped {
            Some(why) => self.print(&format!("stopped: {why}")),
            None => Ok(()),
        }
    }
}

/// How far an epoch is, and how long the rest takes: of a set that tells no length, the batches so far and nothing.
fn done(batch: usize, batches: usize, seconds: f64) -> (String, String) {
    const WIDTH: usize = 24;
    if batches == usize::MAX {
        return (format!("{batch}"), String::new());
    }
    let done = WIDTH * batch / batches.max(1);
    let left = (seconds / batch.max(1) as f64 * (batches - batch) as f64) as u64;
    let bar = format!("[{}{}] {batch}/{batches}", "=".repeat(done), " ".repeat(WIDTH - done));
    (bar, format!("  {}:{:02} left", left / 60, left % 60))
}

#[cfg(test)]
mod tests {
    use super::done;

    #[test]
    fn a_set_without_a_length_has_no_bar_and_no_time_left() {
        let text = |batches| -> String { <[String; 2]>::from(done(37, batches, 74.0)).concat() };
        assert_eq!(text(74), "[============            ] 37/74  1:14 left");
        assert_eq!(text(usize::MAX), "37");
    }
}
