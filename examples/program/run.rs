//! What the command lines of all runs have in common.

use crate::start::note;
use std::path::PathBuf;
use std::time::Duration;
use wgrad::train::{Checkpoints, History, Progress, Trainer};

/// How long a run is, by default so many epochs, and where it is kept.
#[derive(clap::Args)]
pub struct RunArgs<const EPOCHS: usize> {
    /// Walks over the training data.
    #[arg(long, default_value_t = EPOCHS)]
    pub epochs: usize,
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
}

impl<const EPOCHS: usize> RunArgs<EPOCHS> {
    /// A trainer that obeys, to Ctrl-C too: the first ends the batch, and the run is saved; the second ends at once.
    pub fn apply<'a, const N: usize>(&self, trainer: Trainer<'a, N>) -> Trainer<'a, N> {
        let mut trainer = trainer.epochs(self.epochs).callback(Progress::new());
        if let Some(steps) = self.max_steps {
            trainer = trainer.max_steps(steps);
        }
        if let Some(folder) = &self.checkpoint {
            let checkpoints = Checkpoints::in_folder(folder).resume_if(self.resume);
            trainer = trainer.checkpoints(match self.checkpoint_every {
                Some(seconds) => checkpoints.every(Duration::from_secs(seconds)),
                None => checkpoints,
            });
        }
        let stop = trainer.stop_handle();
        let handled = ctrlc::set_handler(move || {
            if stop.is_asked() {
                std::process::exit(130);
            }
            stop.stop();
            note!("\nending after this batch; Ctrl-C once more ends at once");
        });
        if let Err(problem) = handled {
            note!("Ctrl-C will end at once: {problem}");
        }
        trainer
    }

    /// Says how a run that was stopped goes on.
    pub fn finish(&self, history: &History) {
        if history.stopped.is_some() && self.checkpoint.is_some() {
            let resume = if self.resume { "" } else { " --resume" };
            note!("go on by: {}{resume}", std::env::args().collect::<Vec<_>>().join(" "));
        }
    }
}
