//! The loss of each step in a file, in full digits, so that runs can be compared.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use wgrad::train::{Callback, Run};
use wgrad::{Error, Result, Tensor};

/// The file, if one was asked for.
pub struct Losses(Option<(PathBuf, File)>);

impl Losses {
    /// A new file.
    pub fn new(path: Option<&Path>) -> Result<Losses> {
        let make = |path: &Path| match File::create(path) {
            Ok(file) => Ok((path.to_path_buf(), file)),
            Err(problem) => Err(Error::file_because(path, "cannot be written", problem)),
        };
        Ok(Losses(path.map(make).transpose()?))
    }

    /// Adds a line with the name of a curve and a loss. Reading it waits for the device, so it is only read for a file.
    pub fn add(&mut self, curve: &str, loss: &Tensor) -> Result<()> {
        let Some((path, file)) = &mut self.0 else { return Ok(()) };
        let loss = loss.item()?;
        writeln!(file, "{curve} {loss}").map_err(|problem| Error::file_because(path, "cannot be written", problem))
    }
}

impl Callback for Losses {
    fn name(&self) -> &str {
        "losses"
    }

    fn step(&mut self, run: &mut Run) -> Result<()> {
        run.loss.map_or(Ok(()), |loss| self.add("loss", loss))
    }
}
