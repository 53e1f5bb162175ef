//! Callbacks that write a run's figures to files, a line for each epoch.

use super::callback::{Callback, Run};
use super::history::Record;
use crate::backend::whole;
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The figures of each epoch as a line of a CSV file. Where a run is resumed, the file is written anew from its
/// [history](Run::history): each epoch has one line, whatever was written behind the checkpoint or was cut off. Figures that come
/// later have columns behind the others, which are empty where an epoch has none.
#[derive(Debug)]
pub struct CsvLog {
    path: PathBuf,
    file: Option<File>,
    /// The figures that have columns.
    names: Vec<String>,
}

impl CsvLog {
    /// In a file, which is made anew where the run begins.
    pub fn new(path: impl AsRef<Path>) -> CsvLog {
        CsvLog { path: path.as_ref().into(), file: None, names: Vec::new() }
    }

    /// Writes all epochs so far.
    fn begin(&mut self, epochs: &[Record]) -> Result<()> {
        self.names.clear();
        for name in epochs.iter().flat_map(|record| record.figures.names()) {
            if !self.names.iter().any(|own| own == name) {
                self.names.push(name.into());
            }
        }
        self.file = Some(File::create(&self.path).map_err(|error| unwritten(&self.path, error))?);
        if epochs.is_empty() {
            return Ok(());
        }
        let names: String = self.names.iter().map(|name| format!(",{}", field(name))).collect();
        let rows: String = epochs.iter().map(|record| self.row(record)).collect();
        self.write(&format!("epoch,step,seconds,lr{names}\n{rows}"))
    }

    fn row(&self, record: &Record) -> String {
        let (epoch, step, seconds, lr) = (record.epoch + 1, record.step, record.seconds, record.lr);
        let figure = |name: &String| record.figures.get(name).map_or_else(String::new, |value| value.to_string());
        let figures: String = self.names.iter().map(|name| format!(",{}", figure(name))).collect();
        format!("{epoch},{step},{seconds:.3},{lr}{figures}\n")
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(text.as_bytes()).map_err(|error| unwritten(&self.path, error))
    }
}

impl Callback for CsvLog {
    fn name(&self) -> &str {
        "csv"
    }

    fn on_every_rank(&self) -> bool {
        false
    }

    fn writes_files(&self) -> bool {
        true
    }

    fn started(&mut self, run: &mut Run) -> Result<()> {
        self.begin(&run.history.epochs)
    }

    fn epoch(&mut self, run: &mut Run) -> Result<()> {
        let Some(record) = run.history.epochs.last() else { return Ok(()) };
        match record.figures.iter().all(|(name, _)| self.names.iter().any(|own| own == name)) {
            true => self.write(&self.row(record)),
            false => self.begin(&run.history.epochs),
        }
    }
}

/// A name as a field of its own (RFC 4180).
fn field(name: &str) -> String {
    match name.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.into(),
    }
}

/// The figures of each epoch as a line of JSON; the start of a run and its end have lines too. Where it is resumed, the file grows,
/// but for lines that were cut off, and those of epochs behind the checkpoint, which come again.
#[derive(Debug)]
pub struct JsonLog {
    path: PathBuf,
    file: Option<File>,
}

impl JsonLog {
    /// In a file, which is made anew where the run begins.
    pub fn new(path: impl AsRef<Path>) -> JsonLog {
        JsonLog { path: path.as_ref().into(), file: None }
    }

    fn add(&mut self, line: Value) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        writeln!(file, "{line}").map_err(|error| unwritten(&self.path, error))
    }

    /// Leaves whole lines, but for those of epochs that come again: all behind so many.
    fn leave(&self, epochs: u64) -> Result<()> {
        let text = whole::read(&self.path)?;
        let stays = |line: &&[u8]| {
            let is_whole = line.ends_with(b"\n");
            serde_json::from_slice::<Value>(line)
                .is_ok_and(|line| is_whole && (line["event"] != "epoch" || line["epoch"].as_u64() <= Some(epochs)))
        };
        let left = text.split_inclusive(|byte| *byte == b'\n').filter(stays).collect::<Vec<_>>().concat();
        if left == text { Ok(()) } else { whole::write(&self.path, left) }
    }
}

impl Callback for JsonLog {
    fn name(&self) -> &str {
        "json"
    }

    fn on_every_rank(&self) -> bool {
        false
    }

    fn writes_files(&self) -> bool {
        true
    }

    fn started(&mut self, run: &mut Run) -> Result<()> {
        // A pipe has no lines.
        let grows = run.step > 0 && self.path.is_file();
        if grows {
            self.leave(run.history.epochs.len() as u64)?;
        }
        let file = if grows { OpenOptions::new().append(true).open(&self.path) } else { File::create(&self.path) };
        self.file = Some(file.map_err(|error| unwritten(&self.path, error))?);
        let device = run.device.to_string();
        self.add(json!({"event": "start", "step": run.step, "epochs": run.epochs, "device": device, "data": run.data}))
    }

    fn epoch(&mut self, run: &mut Run) -> Result<()> {
        let Some(record) = run.history.epochs.last() else { return Ok(()) };
        let mut line = json!({
            "event": "epoch", "epoch": record.epoch + 1, "step": record.step, "seconds": record.seconds, "lr": record.lr,
            "rate": record.rate,
        });
        record.figures.iter().for_each(|(name, value)| line[name] = json!(value));
        self.add(line)
    }

    fn ended(&mut self, run: &mut Run, error: Option<&Error>) -> Result<()> {
        let error = error.map(ToString::to_string);
        self.add(json!({"event": "end", "step": run.step, "stopped": run.history.stopped, "error": error}))
    }
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    Error::file_because(path, "cannot be written", error)
}
