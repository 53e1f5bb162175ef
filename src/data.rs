//! Data sets of images: reading them from files, fetching them, and cutting them into batches.
//!
//! Everything here lives on the host and knows nothing of tensors or devices. What a file holds is checked as it is
//! read, so that a truncated download or a label out of range is an [`Error`](crate::Error) with the file's name, not
//! a model that learns nothing.
//!
//! ```no_run
//! use wgrad::data::{DataLoader, LoaderOptions, Normalization, mnist};
//!
//! let mnist = mnist::load("data/mnist")?;
//! let normalization = Some(Normalization::of(&mnist.train));
//! let options = LoaderOptions { shuffle: Some(7), normalization, ..LoaderOptions::default() };
//! let loader = DataLoader::new(mnist.train, options)?;
//! for epoch in 0..3 {
//!     for batch in loader.epoch(epoch) {
//!         assert_eq!(batch.shape, [batch.labels.len(), 1, 28, 28]);
//!     }
//! }
//! # Ok::<(), wgrad::Error>(())
//! ```

pub mod cifar;
#[cfg(feature = "download")]
pub mod download;
mod files;
pub mod idx;
mod images;
mod loader;
pub mod mnist;

pub use images::ImageSet;
pub use loader::{Batch, DataLoader, Epoch, LastBatch, LoaderOptions, Normalization};
