//! What the terminal shows.

use crate::start::{note, say};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::time::Instant;
use wgrad::profile::Profile;
use wgrad::{Error, Result};

/// The bar of one epoch: loss, accuracy, images a second and time left.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    loss: f64,
    right: f64,
    images: usize,
}

/// What an epoch came to.
pub struct Epoch {
    loss: f64,
    accuracy: f64,
    rate: f64,
    seconds: f64,
}

impl Progress {
    pub fn new(epoch: usize, epochs: usize, steps: usize) -> Progress {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {msg}  {eta} left")
            .expect("a valid template");
        let bar = ProgressBar::new(steps as u64).with_style(style).with_prefix(format!("epoch {}/{epochs}", epoch + 1));
        Progress { bar, start: Instant::now(), loss: 0.0, right: 0.0, images: 0 }
    }

    /// The steps that are done, the sum of their images' losses, and how many of the images were right.
    pub fn show(&mut self, steps: usize, loss: f32, right: f32, images: usize) {
        (self.loss, self.right, self.images) = (f64::from(loss), f64::from(right), images);
        let Epoch { loss, accuracy, rate, .. } = self.means();
        self.bar.set_message(format!("loss {loss:.4}  accuracy {:.2}%  {rate:.0} images/s", 100.0 * accuracy));
        self.bar.set_position(steps as u64);
    }

    fn means(&self) -> Epoch {
        let (images, seconds) = (self.images.max(1) as f64, self.start.elapsed().as_secs_f64());
        Epoch { loss: self.loss / images, accuracy: self.right / images, rate: images / seconds, seconds }
    }

    pub fn finish(self) -> Epoch {
        self.bar.finish_and_clear();
        self.means()
    }
}

/// Where the time of a step goes, and the same as a trace in a file.
pub fn profile(profile: &Profile, trace: Option<&Path>, progress: &Progress) -> Result<()> {
    progress.bar.suspend(|| say!("{profile}\n"))?;
    if let Some(path) = trace {
        std::fs::write(path, profile.trace()).map_err(|problem| Error::file(path, problem))?;
        progress.bar.suspend(|| note!("trace written to {}: open it at ui.perfetto.dev", path.display()));
    }
    Ok(())
}

/// The table of epochs, printed row by row.
pub struct Epochs;

impl Epochs {
    pub fn new() -> Result<Epochs> {
        say!("epoch    loss  train accuracy  test accuracy  images/s  seconds")?;
        Ok(Epochs)
    }

    pub fn add(&mut self, epoch: usize, means: Epoch, test: f64) -> Result<()> {
        let Epoch { loss, accuracy, rate, seconds } = means;
        let (train, test) = (100.0 * accuracy, 100.0 * test);
        say!("{:>5}  {loss:.4}  {train:>13.2}%  {test:>12.2}%  {rate:>8.0}  {seconds:>7.1}", epoch + 1)
    }
}

/// The classes by probability.
pub fn prediction(probabilities: &[f32]) -> Result<()> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    for &class in &order {
        let part = probabilities[class];
        say!("{class}  {:>6.2}%  {}", 100.0 * part, "█".repeat((part * 40.0).round() as usize))?;
    }
    say!("prediction {}", order[0])
}
