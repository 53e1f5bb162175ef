//! Times of something that is run again and again.

use std::time::{Duration, Instant};
use wgrad::Result;

/// What a run takes, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub median: f64,
    pub least: f64,
}

/// Times `run` until `budget` is spent, at least 7 and at most 200 times, after one run that is not counted.
pub fn repeated(budget: Duration, mut run: impl FnMut() -> Result<()>) -> Result<Timing> {
    run()?;
    let start = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < 7 || seconds.len() < 200 && start.elapsed() < budget {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(Timing { median: seconds[seconds.len() / 2], least: seconds[0] })
}
