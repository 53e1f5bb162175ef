//! What the terminal shows.

use crate::judge::Verdict;
use crate::start::say;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;
use wgrad::Result;

/// The table of epochs, printed row by row, and the bar of the epoch under way.
pub struct Epochs {
    bar: ProgressBar,
    epochs: usize,
    start: Instant,
}

/// Means over an epoch's steps, of the discriminator's and the generator's loss, and of how real the discriminator takes
/// real and drawn images to be.
pub struct Means {
    pub losses: [f32; 2],
    pub real: f32,
    pub drawn: f32,
}

impl Epochs {
    pub fn new(epochs: usize, steps: usize) -> Result<Epochs> {
        say!("epoch  discriminator  generator  real taken for real  drawn taken for real  seconds")?;
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {msg}  {eta} left");
        let bar = ProgressBar::new(steps as u64).with_style(style.expect("a valid template"));
        Ok(Epochs { bar, epochs, start: Instant::now() })
    }

    pub fn start(&mut self, epoch: usize) {
        self.start = Instant::now();
        self.bar.reset();
        self.bar.set_prefix(format!("epoch {}/{}", epoch + 1, self.epochs));
    }

    /// The steps that are done, and the means over them.
    pub fn show(&self, steps: usize, means: &Means) {
        let [discriminator, generator] = means.losses;
        self.bar.set_message(format!("losses {discriminator:.3} {generator:.3}"));
        self.bar.set_position(steps as u64);
    }

    /// An epoch's row.
    pub fn add(&self, epoch: usize, means: &Means) -> Result<()> {
        let Means { losses: [discriminator, generator], real, drawn } = means;
        let (real, drawn, seconds) = (100.0 * real, 100.0 * drawn, self.start.elapsed().as_secs_f64());
        let epoch = epoch + 1;
        self.bar.suspend(|| {
            say!("{epoch:>5}  {discriminator:>13.4}  {generator:>9.4}  {real:>18.1}%  {drawn:>19.1}%  {seconds:>7.1}")
        })
    }

    /// Prints something above the bar.
    pub fn print(&self, text: &str) -> Result<()> {
        self.bar.suspend(|| say!("{text}"))
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// What some images were taken for.
pub fn verdict(name: &str, images: usize, verdict: &Verdict) -> Result<()> {
    let found = verdict.counts.iter().filter(|count| **count > 0).count();
    let counts: Vec<String> = verdict.counts.iter().map(|count| format!("{count:>3}")).collect();
    let (confidence, counts) = (verdict.confidence, counts.join(" "));
    say!("{images} {name} digits: mean confidence {confidence:.3}, {found} classes: {counts}")
}
