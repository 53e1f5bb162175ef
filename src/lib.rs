//! Train neural networks on any GPU.

pub mod autograd;
pub mod backend;
pub mod checkpoint;
pub mod data;
pub mod device;
pub mod dtype;
pub mod error;
pub mod fused;
pub mod kernel;
pub mod metrics;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod rng;
pub mod shape;
pub mod tensor;

pub use device::Device;
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use fused::conv::Conv2dOptions;
pub use fused::cross_entropy::{CrossEntropyOptions, Reduction};
pub use fused::dropout::Draw;
pub use fused::norm::BatchNorm;
pub use fused::pool::{AvgPool2dOptions, MaxPool2dOptions};
pub use ops::reduce::KeepDims;
pub use rng::Rng;
pub use shape::Shape;
pub use tensor::Tensor;
