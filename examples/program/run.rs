//! What all runs have in common: the options of a run, and what becomes of them.

use crate::losses::Losses;
use crate::start::{DeviceChoice, note, say};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use wgrad::metrics::ConfusionCounts;
use wgrad::nn::{Module, Strictness, Summary};
use wgrad::train::{Checkpoints, History, Progress, Report, Stop, TensorBoard, Trainer};
use wgrad::{Error, Result, checkpoint};

/// The step that `--profile` times: everything that the first ones make is there.
const PROFILED: u64 = 5;

/// How a run is seen.
pub struct Look<'s> {
    pub progress: Progress,
    /// The name of one among several models: what is kept of it goes by it.
    pub part: Option<&'s str>,
    /// The names of the losses that are written: that of the step, and other means by their own.
    pub curves: &'s [&'s str],
    pub summary: Option<&'s Summary>,
    /// The names of classes, for a matrix in the report.
    pub classes: &'s [&'s str],
}

impl Default for Look<'_> {
    fn default() -> Self {
        Look { progress: Progress::new(), part: None, curves: &["loss"], summary: None, classes: &[] }
    }
}

/// Where a run is made, and where it is kept.
#[derive(clap::Args)]
pub struct RunArgs {
    /// Where to train: auto takes a GPU, else the CPU; gpu takes a software adapter too.
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,
    /// All chance follows from it: first weights, the order of the data, masks, noise.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Writes the weights there at the end, as safetensors.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Starts from these weights.
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// Ends after so many steps of the whole run.
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
    /// Keeps the run in this folder: after each epoch, and where it is stopped.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Keeps it after so many seconds, too.
    #[arg(long, value_name = "SECONDS", requires = "checkpoint")]
    pub checkpoint_every: Option<u64>,
    /// Goes on from what is in --checkpoint; the other options are to be those of the first run.
    #[arg(long, requires = "checkpoint")]
    pub resume: bool,
    /// Two batches of everything, to see whether it runs.
    #[arg(long)]
    pub fast_dev_run: bool,
    /// Writes a page with the run's settings, curves and times there, which any browser opens.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Tells the run to TensorBoard, in this folder.
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Prints where the time of one step goes; with a file name, writes a trace that Perfetto opens.
    #[arg(long, value_name = "TRACE.json")]
    pub profile: Option<Option<PathBuf>>,
    /// Writes the loss of each step there in full digits, for comparing runs; slower, since each is waited for.
    #[arg(long, value_name = "FILE")]
    pub losses: Option<PathBuf>,
}

impl RunArgs {
    /// Loads weights where that was asked for, and checks what is to be written.
    pub fn begin(&self, model: &dyn Module) -> Result<()> {
        if let Some(path) = &self.load {
            checkpoint::load(model, path, Strictness::Strict)?;
        }
        self.check()
    }

    /// Whether all can be written that is to be: better to hear of a wrong path now than after the last epoch.
    pub fn check(&self) -> Result<()> {
        self.losses.as_ref().map_or(Ok(()), |path| Losses::clear(path))?;
        self.save.as_ref().map_or(Ok(()), checkpoint::check_writable)
    }

    /// A trainer that obeys, to Ctrl-C too.
    pub fn apply<'a, const N: usize>(&self, mut trainer: Trainer<'a, N>, look: Look) -> Result<Trainer<'a, N>> {
        let within = |path: &Path| look.part.map_or_else(|| path.to_path_buf(), |part| path.join(part));
        trainer = trainer.callback(look.progress).fast_dev_run(self.fast_dev_run).stop_by(ctrl_c());
        if let Some(steps) = self.max_steps {
            trainer = trainer.max_steps(steps);
        }
        if let Some(run) = &self.checkpoint {
            let checkpoints = Checkpoints::in_folder(within(run)).resume_if(self.resume);
            trainer = trainer.checkpoints(match self.checkpoint_every {
                Some(seconds) => checkpoints.every(Duration::from_secs(seconds)),
                None => checkpoints,
            });
        }
        if let Some(path) = &self.losses {
            trainer = trainer.callback(Losses::new(path, look.curves)?);
        }
        if let Some(path) = &self.report {
            let name = |part: &str| format!("{part}-{}", path.file_name().unwrap_or_default().display());
            let path = look.part.map_or_else(|| path.clone(), |part| path.with_file_name(name(part)));
            let report = look.summary.map_or(Report::new(&path), |summary| Report::new(&path).summary(summary));
            let report = settings()
                .iter()
                .fold(report.classes(look.classes), |report, (name, value)| report.setting(name, value));
            trainer = trainer.callback(report);
            if !look.classes.is_empty() {
                trainer = trainer.metric(ConfusionCounts::new(look.classes.len()));
            }
        }
        if let Some(folder) = &self.tensorboard {
            let board = TensorBoard::new(within(folder));
            trainer =
                trainer.callback(settings().iter().fold(board, |board, (name, value)| board.setting(name, value)));
        }
        if let Some(trace) = self.profile.clone() {
            trainer = trainer.profile_step(PROFILED, move |profile| {
                say!("{profile}\n")?;
                let Some(path) = trace else { return Ok(()) };
                std::fs::write(&path, profile.trace())
                    .map_err(|problem| Error::file_because(&path, "cannot be written", problem))?;
                note!("trace written to {}: open it at ui.perfetto.dev", path.display());
                Ok(())
            });
        }
        Ok(trainer)
    }

    /// Saves the weights where that was asked for, and says how a run that was stopped goes on.
    pub fn finish(&self, history: &History, model: &dyn Module) -> Result<()> {
        self.tell_how_to_go_on(history);
        if let Some(path) = &self.save {
            checkpoint::save(model, path)?;
            note!("weights saved to {}", path.display());
        }
        Ok(())
    }

    /// Says how a run that was stopped goes on.
    pub fn tell_how_to_go_on(&self, history: &History) {
        let was_ended = ctrl_c().is_asked() || self.max_steps.is_some();
        if history.stopped.is_some() && was_ended && self.checkpoint.is_some() {
            let resume = if self.resume { "" } else { " --resume" };
            note!("go on by: {}{resume}", std::env::args().collect::<Vec<_>>().join(" "));
        }
    }
}

/// What the command line says: options and their values.
fn settings() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for word in std::env::args().skip(1) {
        match (word.strip_prefix("--"), found.last_mut()) {
            (Some(option), _) => {
                let (name, value) = option.split_once('=').unwrap_or((option, "yes"));
                found.push((format!("--{name}"), value.into()));
            }
            (None, Some((_, value))) => *value = word,
            (None, None) => {}
        }
    }
    found
}

/// What Ctrl-C asks for: the first ends the batch, and the run is saved; the second ends at once.
fn ctrl_c() -> &'static Stop {
    static STOP: OnceLock<Stop> = OnceLock::new();
    STOP.get_or_init(|| {
        let stop = Stop::default();
        let asked = stop.clone();
        let handled = ctrlc::set_handler(move || {
            if asked.is_asked() {
                std::process::exit(130);
            }
            asked.stop();
            note!("\nending after this batch; Ctrl-C once more ends at once");
        });
        if let Err(problem) = handled {
            note!("Ctrl-C will end at once: {problem}");
        }
        stop
    })
}
