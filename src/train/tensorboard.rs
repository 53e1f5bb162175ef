//! A run as TensorBoard shows it.

use super::callback::{Callback, Run};
use super::events::EventFile;
use crate::autograd::Graph;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Tells a run to TensorBoard: the loss of steps a few times a second, and after each epoch all figures (training and
/// validation in one picture), the rate and the items a second.
///
/// ```no_run
/// # use wgrad::train::TensorBoard;
/// // `tensorboard --logdir runs` shows it beside other runs.
/// let board = TensorBoard::new("runs/first").setting("lr", 0.001).setting("model", "cnn").histograms();
/// ```
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    settings: Vec<(String, String)>,
    histograms: bool,
    graph: Option<Graph>,
    file: Option<EventFile>,
}

impl TensorBoard {
    /// In the folder of this run, which is made where there is none.
    pub fn new(folder: impl AsRef<Path>) -> TensorBoard {
        TensorBoard { folder: folder.as_ref().into(), settings: Vec::new(), histograms: false, graph: None, file: None }
    }

    /// Tells a setting of the run.
    #[doc(alias("hparams", "add_hparams"))]
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl ToString) -> TensorBoard {
        self.settings.push((name.into(), value.to_string()));
        self
    }

    /// Also histograms of all weights, after each epoch: they are read for it.
    #[must_use]
    pub fn histograms(self) -> TensorBoard {
        TensorBoard { histograms: true, ..self }
    }

    /// Also the graph of a pass, as `loss.graph()` gives it.
    #[must_use]
    pub fn graph(self, graph: Graph) -> TensorBoard {
        TensorBoard { graph: Some(graph), ..self }
    }
}

/// The tag of a figure: training and validation in one group.
fn tag(figure: &str) -> String {
    match figure.strip_prefix("val_") {
        Some(figure) => format!("{figure}/validation"),
        None => format!("{figure}/training"),
    }
}

impl Callback for TensorBoard {
    fn name(&self) -> &str {
        "tensorboard"
    }

    fn on_every_rank(&self) -> bool {
        false
    }

    fn writes_files(&self) -> bool {
        true
    }

    fn started(&mut self, run: &mut Run) -> Result<()> {
        // A resumed run tells again what came after its checkpoint.
        let from = if run.step == 0 { 0 } else { run.step + 1 };
        let mut file = EventFile::new(&self.folder, from)?;
        if !self.settings.is_empty() {
            file.hparams(&self.settings)?;
            let rows = self.settings.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect::<String>();
            file.text("settings", run.step, &format!("| setting | value |\n|---|---|\n{rows}"))?;
        }
        self.graph.as_ref().map_or(Ok(()), |graph| file.graph(graph))?;
        self.file = Some(file);
        Ok(())
    }

    fn read(&mut self, run: &mut Run) -> Result<()> {
        let (Some(file), Some(loss)) = (&mut self.file, run.loss) else { return Ok(()) };
        file.scalar("loss/step", run.step, f64::from(loss.item()?))
    }

    fn epoch(&mut self, run: &mut Run) -> Result<()> {
        let (Some(file), Some(record)) = (&mut self.file, run.history.epochs.last()) else { return Ok(()) };
        for (name, value) in record.figures.iter() {
            file.scalar(&tag(name), record.step, value)?;
        }
        file.scalar("rate", record.step, f64::from(record.lr))?;
        file.scalar("items a second", record.step, record.rate)?;
        if self.histograms {
            for (path, value) in run.weights()? {
                value.floats().map_or(Ok(()), |values| file.histogram(&path, record.step, &values))?;
            }
        }
        Ok(())
    }

    fn ended(&mut self, run: &mut Run, error: Option<&Error>) -> Result<()> {
        match (&mut self.file, error.map(ToString::to_string).or_else(|| run.history.stopped.clone())) {
            (Some(file), Some(why)) => file.text("ended", run.step, &why),
            _ => Ok(()),
        }
    }
}
