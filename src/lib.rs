//! Train neural networks on any GPU.

pub mod data;
pub mod dtype;
pub mod error;
pub mod rng;
pub mod shape;

pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use rng::Rng;
pub use shape::Shape;
