//! Data sets of images: reading them from files.
//!
//! Everything here lives on the host and knows nothing of tensors or devices. What a file holds is checked as it is
//! read, so that a truncated download or a label out of range is an [`Error`](crate::Error) with the file's name, not
//! a model that learns nothing.

pub mod cifar;
mod files;
pub mod idx;
mod images;
pub mod mnist;

pub use images::ImageSet;
