//! Trains neural networks on any GPU that [wgpu] reaches (Vulkan, Metal, DX12), through hand-written WGSL, and on a CPU backend
//! in plain Rust, with the same results.
//!
//! A [`Device`] is chosen at run time. A [`Tensor`] lives on a device; its methods check shapes at once, queue kernels and
//! return tensors. Nothing waits until a value is read. [`Tensor::backward`] returns the gradients as [`autograd::Grads`],
//! and an [`optim::Optimizer`] moves the parameters of a model by them.
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
//! # Where to begin
//!
//! * The [`guide`] has a page, with a whole program, for each thing that one does sooner or later:
//!   [a training loop](guide::training), [a trainer](guide::trainer), [data](guide::data) and [layers](guide::layers) of
//!   one's own, [fine-tuning](guide::fine_tuning), [optimizers](guide::optimizers), [saving and resuming](guide::saving),
//!   [replayed steps](guide::replay), [threads and browsers](guide::threads), [kernels](guide::kernels),
//!   [finding faults](guide::debugging).
//! * [From PyTorch](guide::from_pytorch): what is called how, what differs and why, what is not there.
//! * The page of [`Tensor`] lists its methods by family.
//!
//! # What is where
//!
//! | To | Look at |
//! |---|---|
//! | compute | [`Tensor`], [`Device`], [`Shape`], [`DType`]; options of operations stand here, beside them |
//! | build a model | [`nn`]: layers named as PyTorch's `state_dict` names them, [`nn::Module`](trait@nn::Module), [`nn::Ctx`], [`nn::Generator`] |
//! | train it | [`loss`], [`optim`], [`optim::schedule`], [`autograd`], [`plan::Replay`]; or [`train`], which does all around it |
//! | feed and judge it | [`data`]: image sets, loaders, downloads; [`metrics`] |
//! | keep it | [`checkpoint`]: safetensors; [`nn::state`](nn::state()); [`deploy`]: models that load without their program |
//! | look into it | [`profile`], [`tuning`], [`nn::Summary`], [`autograd::Graph`], [`Device::checked`] |
//! | write a kernel | [`kernel`], [`ops`] (one page for each operation), [`autograd::gradient_check`] |
//! | see what runs it | [`backend`]: [`Wgpu`](backend::Wgpu), [`Cpu`](backend::Cpu), [`Null`](backend::Null), [`Checked`](backend::Checked); [`device`], [`tensor`], [`plan`], [`shape`], [`dtype`], [`rng`], [`error`] |
//!
//! An operation is a [`kernel::Kernel`]: a value with a *definition*, its meaning as plain Rust on slices, and variants, the ways
//! to run it in WGSL. The CPU backend calls the definition, or a host path that is faster, the wgpu backend runs a variant, and
//! the tests hold all of them against the definition.
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
//! * `png`: pictures in folders (`data::ImageFolder`).
//! * `parquet`: tables in Parquet files (`data::Table::read_parquet`).
//! * `mpi`: training on the processes of an MPI job (`parallel::Mpi`); needs an MPI to build and to run.
//! * `noop`: wgpu's adapter that runs nothing, for measuring what a dispatch costs the host.
//!
//! [wgpu]: https://docs.rs/wgpu

// The derive writes `wgrad::nn::Module`, here as elsewhere.
extern crate self as wgrad;

// How to use it.
pub mod guide;

// Arrays and what is computed with them.
pub mod tensor;

pub mod autograd;
pub mod loss;
pub mod ops;

// Models, and how they are trained.
pub mod checkpoint;
pub mod data;
pub mod deploy;
pub mod metrics;
pub mod nn;
pub mod optim;
pub mod parallel;
pub mod train;

// How a step runs, and what one sees of it.
pub mod device;
pub mod plan;
pub mod profile;
pub mod tuning;

// Beneath.
pub mod backend;
pub mod dtype;
pub mod error;
pub mod kernel;
pub mod rng;
pub mod shape;

#[doc(inline)]
pub use backend::Pending;
#[doc(inline)]
pub use deploy::load;
#[doc(inline)]
pub use device::Device;
#[doc(inline)]
pub use dtype::{DType, Element};
#[doc(inline)]
pub use error::{Error, Result};
pub use half::{bf16, f16};
#[doc(inline)]
pub use ops::algebra::Interpolation;
#[doc(inline)]
pub use ops::attention::AttentionOptions;
#[doc(inline)]
pub use ops::bag::{BagMode, EmbeddingBagOptions};
#[doc(inline)]
pub use ops::conv::{
    Conv1dOptions, Conv2dOptions, Conv3dOptions, ConvTranspose1dOptions, ConvTranspose2dOptions, ConvTranspose3dOptions,
};
#[doc(inline)]
pub use ops::cross_entropy::CrossEntropyOptions;
#[doc(inline)]
pub use ops::division::Rounding;
#[doc(inline)]
pub use ops::embedding::EmbeddingOptions;
#[doc(inline)]
pub use ops::grid_sample::{GridMode, GridSampleOptions, Outside};
#[doc(inline)]
pub use ops::index::{NewAxis, Rest, step};
#[doc(inline)]
pub use ops::norm::BatchNormOutput;
#[doc(inline)]
pub use ops::padding::Padding;
#[doc(inline)]
pub use ops::pool::{
    AvgPool1dOptions, AvgPool2dOptions, AvgPool3dOptions, LpPoolOptions, MaxPool1dOptions, MaxPool2dOptions,
    MaxPool3dOptions,
};
#[doc(inline)]
pub use ops::random::Draw;
#[doc(inline)]
pub use ops::reduce::KeepDims;
pub use ops::reduction::Reduction;
#[doc(inline)]
pub use ops::scatter::ScatterReduction;
#[doc(inline)]
pub use ops::sort::Order;
#[doc(inline)]
pub use ops::topk::Extreme;
#[doc(inline)]
pub use ops::upsample::Upsampling;
#[doc(inline)]
pub use rng::Rng;
#[doc(inline)]
pub use shape::Shape;
#[doc(inline)]
pub use tensor::Tensor;

/// The code of the README, so that it compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
