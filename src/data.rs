//! Data sets of any structure: reading them from files, fetching them, and cutting them into batches.
//!
//! A [`Dataset`] gives items by number; a [`DataLoader`] makes batches of them, in an order that depends on a seed alone, on
//! threads of its own where there are some. What a file holds is checked as it is read, so that a truncated download or a
//! label out of range is an [`Error`](crate::Error) with the file's name, not a model that learns nothing.
//!
//! ```no_run
//! use wgrad::data::{DataLoader, LoaderOptions, Normalization, mnist};
//!
//! let device = wgrad::Device::best();
//! let train = mnist::load("data/mnist")?.train;
//! let normalization = Normalization::of(&train);
//! let options = LoaderOptions { shuffle: Some(7), workers: 2, ..LoaderOptions::default() };
//! let loader = DataLoader::new(train.normalized(&normalization)?, options)?;
//! for epoch in 0..3 {
//!     for batch in loader.epoch(epoch) {
//!         let [x, labels] = batch?.to(&device);
//!         assert_eq!(x.shape(), [labels.numel(), 1, 28, 28]);
//!     }
//! }
//! # Ok::<(), wgrad::Error>(())
//! ```

pub mod cifar;
mod dataset;
#[cfg(feature = "download")]
pub mod download;
mod encoder;
mod files;
#[cfg(feature = "png")]
mod folder;
pub mod idx;
mod images;
mod item;
mod lines;
mod loader;
pub mod mnist;
mod picture;
mod resident;
mod series;
mod table;
mod tokens;

pub(crate) use dataset::item;
pub use dataset::{Batch, Concat, Dataset, Map, Subset, Zip};
pub use encoder::{Encoder, Scale, Target};
#[cfg(feature = "png")]
pub use folder::ImageFolder;
pub use images::{ImageBytes, ImageSet, Normalization, NormalizedImages};
pub use item::{Array, ArrayValues, Columns, Field, Item, Padded};
pub use lines::TextLines;
pub use loader::{DataLoader, Epoch, LastBatch, LoaderOptions, balanced, class_weights};
pub(crate) use picture::png;
pub use picture::save_images;
pub use resident::Resident;
pub use series::{SeriesWindows, WindowOptions};
pub use table::{Table, TableOptions};
pub use tokens::TokenWindows;
