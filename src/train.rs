//! Training runs: a model, data and a goal make a run that can be watched, stopped, resumed to the bit and read afterwards.
//!
//! ```
//! use wgrad::data::{DataLoader, LoaderOptions};
//! use wgrad::metrics::Accuracy;
//! use wgrad::nn::{Init, Layer, Linear, Relu, Sequential};
//! use wgrad::optim::{Adam, AdamOptions};
//! use wgrad::train::{EarlyStopping, Outcome, Trainer};
//!
//! # fn main() -> wgrad::Result<()> {
//! let device = wgrad::Device::best();
//! let points = |n: i32| (0..n).map(|i| {
//!     let (y, x) = (i as f32 * 2.4).sin_cos();
//!     ([x, y], i32::from(x * y > 0.0))
//! }).collect::<Vec<_>>();
//! let options = LoaderOptions { batch_size: 32, shuffle: Some(7), ..LoaderOptions::default() };
//! let train = DataLoader::new(points(500), options)?;
//! let test = DataLoader::new(points(100), LoaderOptions::default())?;
//!
//! let mut init = Init::new(0, &device);
//! let model = Sequential::new().push(Linear::new(2, 32, &mut init)).push(Relu::new()).push(Linear::new(32, 2, &mut init));
//! let optimizer = Adam::new(&model, AdamOptions { lr: 0.02, ..AdamOptions::default() })?;
//! let mut trainer = Trainer::new(&device, &model, optimizer, |[x, labels], ctx| {
//!     let logits = model.forward(x, ctx);
//!     Ok(Outcome::of(logits.cross_entropy(labels)).judged(&logits, labels))
//! })
//! .epochs(20)
//! .metric(Accuracy::new())
//! .callback(EarlyStopping::new("val_loss", 5).restore_best());
//! let history = trainer.fit(&train, Some(&test))?;
//! assert!(history.last("val_accuracy") > Some(0.9), "{history}");
//! # Ok(())
//! # }
//! ```
//!
//! The closure makes a loss of a batch; the trainer does all else: gradients and the optimizer's step, captured once and
//! replayed, sums of losses and metrics on the device, a schedule, validation, checkpoints. A loop by hand is as
//! [short](crate::guide::training) as it was, and a run of another kind, such as two networks against each other, is a
//! [`Task`].

mod anomaly;
mod batches;
mod callback;
mod chart;
mod checkpoints;
mod events;
mod find;
mod fit;
mod history;
mod logs;
mod memory;
mod page;
mod predict;
mod progress;
mod report;
mod task;
mod tensorboard;
mod totals;
mod trainer;

pub use batches::{Batches, Drawn, Parts, Streamed};
pub use callback::{Callback, EarlyStopping, Run, Saved};
pub use chart::Chart;
pub use checkpoints::Checkpoints;
pub use events::EventFile;
pub use find::{BatchSizes, BatchSizesFound, LrFound, LrRange};
pub use history::{Figures, History, Record};
pub use logs::{CsvLog, JsonLog};
pub use memory::Fitted;
pub use predict::predict;
pub use progress::Progress;
pub use report::Report;
pub use task::{Outcome, StepOptions, Task, Trained};
pub use tensorboard::TensorBoard;
pub use trainer::{Stop, Trainer};
