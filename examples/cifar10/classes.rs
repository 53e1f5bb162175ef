//! The table of classes.

use crate::start::say;
use wgrad::Result;
use wgrad::metrics::ConfusionMatrix;

/// The classes by label.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// How many images of each class are named right, and what the others are taken for.
pub fn print(matrix: &ConfusionMatrix) -> Result<()> {
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
