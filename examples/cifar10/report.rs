//! What the terminal shows.

use crate::start::say;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;
use wgrad::Result;
use wgrad::metrics::ConfusionMatrix;

/// The classes by label.
const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The table of epochs, printed row by row, and the bar of the epoch under way.
pub struct Epochs {
    bar: ProgressBar,
    epochs: usize,
    start: Instant,
}

impl Epochs {
    pub fn new(epochs: usize, steps: usize) -> Result<Epochs> {
        say!("epoch    loss  train accuracy  test accuracy  images/s  seconds")?;
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {msg}  {eta} left");
        let bar = ProgressBar::new(steps as u64).with_style(style.expect("a valid template"));
        Ok(Epochs { bar, epochs, start: Instant::now() })
    }

    pub fn start(&mut self, epoch: usize) {
        self.start = Instant::now();
        self.bar.reset();
        self.bar.set_prefix(format!("epoch {}/{}", epoch + 1, self.epochs));
    }

    /// The steps that are done, and the mean loss of their images.
    pub fn show(&self, steps: usize, loss: f32) {
        self.bar.set_message(format!("loss {loss:.4}"));
        self.bar.set_position(steps as u64);
    }

    /// The seconds since the epoch's start.
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// An epoch's row: means over its images, how long they took, and the accuracy after it.
    pub fn add(&self, epoch: usize, [loss, train]: [f32; 2], images: usize, seconds: f64, test: f64) -> Result<()> {
        let (train, test, rate) = (100.0 * train, 100.0 * test, images as f64 / seconds);
        self.bar
            .suspend(|| say!("{:>5}  {loss:.4}  {train:>13.2}%  {test:>12.2}%  {rate:>8.0}  {seconds:>7.1}", epoch + 1))
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// How many images of each class are named right, and what the others are taken for.
pub fn classes(matrix: &ConfusionMatrix) -> Result<()> {
    say!("\n{matrix}\n\nclass       accuracy  most often taken for")?;
    for (class, name) in CLASSES.iter().enumerate() {
        let images: u64 = (0..CLASSES.len()).map(|other| matrix.count(class, other)).sum();
        let accuracy = 100.0 * matrix.count(class, class) as f64 / images.max(1) as f64;
        let others = (0..CLASSES.len()).filter(|&other| other != class && matrix.count(class, other) > 0);
        let worst = others.max_by_key(|&other| matrix.count(class, other));
        let wrong = worst.map_or(String::new(), |other| format!("{} ({})", CLASSES[other], matrix.count(class, other)));
        say!("{name:<10}  {accuracy:>7.2}%  {wrong}")?;
    }
    say!("test accuracy {:.2}%", 100.0 * matrix.accuracy())
}
