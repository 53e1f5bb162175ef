//! Trains neural networks on any GPU that [wgpu] reaches (Vulkan, Metal, DX12), through hand-written WGSL.
//!
//! A [`Device`] is chosen at run time: a GPU, or the CPU backend, which runs the definition of every kernel in plain
//! Rust. A [`Tensor`] lives on a device; its methods check shapes at once, queue kernels and return tensors. Nothing
//! waits until a value is read. [`Tensor::backward`] returns the gradients as [`autograd::Grads`], and an
//! [`optim::Optimizer`] moves the parameters of a [`nn::Module`] by them.
//!
//! ```
//! use wgrad::nn::{Ctx, Init, Layer, Linear};
//! use wgrad::optim::{Optimizer, Sgd, SgdOptions};
//! use wgrad::{Device, Tensor};
//!
//! let device = Device::best();
//! let line = Linear::new(1, 1, &mut Init::new(0, &device));
//! let mut optimizer = Sgd::new(&line, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
//! let x = Tensor::from_slice(&[-1.0f32, 0.0, 1.0], [3, 1], &device);
//! let y = &x * 2.0 + 1.0;
//! for _ in 0..200 {
//!     let error = line.forward(&x, &Ctx::train()) - &y;
//!     optimizer.step(&error.square().mean().backward());
//! }
//! assert!((line.weight.tensor().item()? - 2.0).abs() < 1e-3);
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! # The floors
//!
//! Each module uses what is on its own line or below it; but a device names [`plan`], the list of what it ran.
//!
//! * [`data`], [`metrics`], [`checkpoint`], [`tuning`]: data sets, counts of right answers, safetensors files, files of
//!   measured choices.
//! * [`nn`], [`optim`], [`loss`]: layers named as PyTorch's `state_dict` names them, optimizers, losses.
//! * [`ops`]: one page for each operation: element-wise functions, reductions, matrix products, indexing, copies and views;
//!   convolution, pooling, normalisation, attention, embedding, softmax, cross-entropy, dropout.
//! * [`tensor`], [`autograd`], [`plan`], [`profile`]: a shape and strides over a buffer, the graph of gradients, lists of
//!   kernels and their replay, where the time goes.
//! * [`device`]: the handle to a backend.
//! * [`backend`]: [`Wgpu`](backend::Wgpu), [`Cpu`](backend::Cpu), [`Null`](backend::Null), [`Checked`](backend::Checked).
//! * [`kernel`], [`shape`], [`dtype`], [`rng`], [`error`]: plain data.
//!
//! An operation is a [`kernel::Kernel`]: a value with a *twin*, its meaning as a Rust function on slices, and variants,
//! the ways to run it in WGSL. The CPU backend calls the twin, the wgpu backend runs a variant, and the tests hold
//! one against the other.
//!
//! # Errors
//!
//! A shape that does not fit is a bug in the calling code and panics at the caller's line with both shapes. What the
//! outside world can do (no adapter, no memory, a truncated file, a label out of range) is an [`Error`]. A device's
//! first failure sticks: work after it is dropped, and the next read returns it.
//!
//! # Browsers
//!
//! The crate builds for `wasm32-unknown-unknown`, without default features. Nothing can wait there: a device is opened by
//! [`Device::open`] and a value read by [`Tensor::read`], both to be awaited. What waits is an error that says so, but on
//! the CPU backend, whose values are there at once.
//!
//! # Features
//!
//! * `rayon` (default): the CPU backend uses all cores.
//! * `download`: fetches data sets over HTTPS, with resume and checksums.
//! * `noop`: wgpu's adapter that runs nothing, for measuring what a dispatch costs the host.
//!
//! [wgpu]: https://docs.rs/wgpu

// The derive writes `wgrad::nn::Module`, here as elsewhere.
extern crate self as wgrad;

pub mod autograd;
pub mod backend;
pub mod checkpoint;
pub mod data;
pub mod device;
pub mod dtype;
pub mod error;
pub mod guide;
pub mod kernel;
pub mod loss;
pub mod metrics;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod profile;
pub mod rng;
pub mod shape;
pub mod tensor;
pub mod tuning;

pub use backend::Pending;
pub use device::Device;
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use ops::attention::AttentionOptions;
pub use ops::conv::{Conv1dOptions, Conv2dOptions, ConvTranspose1dOptions, ConvTranspose2dOptions};
pub use ops::cross_entropy::{CrossEntropyOptions, Reduction};
pub use ops::norm::BatchNormOutput;
pub use ops::pool::{AvgPool1dOptions, AvgPool2dOptions, MaxPool1dOptions, MaxPool2dOptions};
pub use ops::random::Draw;
pub use ops::reduce::KeepDims;
pub use ops::topk::Extreme;
pub use ops::upsample::Upsampling;
pub use rng::Rng;
pub use shape::Shape;
pub use tensor::Tensor;

/// The code of the README, so that it compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
