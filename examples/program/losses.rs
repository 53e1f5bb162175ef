//! The loss of each step in a file, in full digits, so that runs can be compared.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use wgrad::train::{Callback, Run};
use wgrad::{Error, Result, Tensor};

/// Adds the losses of a run to a file.
pub struct Losses {
    path: PathBuf,
    /// The curves' names in the file: the loss, and other means by the names that the step gives them.
    curves: Vec<String>,
    file: File,
}

fn told(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |problem| Error::file_because(path, "cannot be written", problem)
}

impl Losses {
    /// An empty file: better to hear of a wrong path before the first step.
    pub fn clear(path: &Path) -> Result<()> {
        File::create(path).map(drop).map_err(told(path))
    }

    /// At the end of that file.
    pub fn new(path: &Path, curves: &[&str]) -> Result<Losses> {
        let file = File::options().append(true).create(true).open(path).map_err(told(path))?;
        Ok(Losses { path: path.into(), curves: curves.iter().map(|name| name.to_string()).collect(), file })
    }

    /// A line with the name of a curve and a loss. Reading it waits for the device, so it is only read for a file.
    fn add(&mut self, at: usize, loss: &Tensor) -> Result<()> {
        writeln!(self.file, "{} {}", self.curves[at], loss.item()?).map_err(told(&self.path))
    }
}

impl Callback for Losses {
    fn name(&self) -> &str {
        "losses"
    }

    fn on_every_rank(&self) -> bool {
        false
    }

    fn step(&mut self, run: &mut Run) -> Result<()> {
        if let Some(loss) = run.loss {
            self.add(0, loss)?;
        }
        for at in 1..self.curves.len() {
            if let Some((_, loss)) = run.others.iter().find(|(name, _)| *name == self.curves[at]) {
                self.add(at, loss)?;
            }
        }
        Ok(())
    }
}
