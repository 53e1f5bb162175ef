//! What is seen while a data set comes.

use indicatif::{ProgressBar, ProgressStyle};

/// The bar of a download.
pub struct Download(ProgressBar);

impl Download {
    pub fn new() -> Download {
        let style = ProgressStyle::with_template("downloading {wide_bar} {bytes}/{total_bytes}  {eta} left");
        Download(ProgressBar::new(0).with_style(style.expect("a valid template")))
    }

    pub fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}
