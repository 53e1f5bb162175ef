//! The guide: one page for each thing that a program does sooner or later. Each can be read in five minutes, has a whole
//! program to start from, and ends with the mistakes that are made at midnight, and what is seen then.
//!
//! | Page | For whoever |
//! |---|---|
//! | [`training`] | begins: devices, tensors, a model, a loop |
//! | [`trainer`] | wants a run that is watched, validated, saved and resumed |
//! | [`from_pytorch`] | knows PyTorch: what is called how, what differs, what is not there |
//! | [`data`] | has data of another kind |
//! | [`layers`] | writes a layer, with weights, buffers or chance of its own |
//! | [`fine_tuning`] | trains a part of a model, or each part at its own rate |
//! | [`optimizers`] | clips, schedules, or writes a rule |
//! | [`gradients`] | has a gradient in a loss: physics-informed networks, gradient penalties, Hessian products |
//! | [`saving`] | stops and goes on, to the bit |
//! | [`replay`] | wants the same step in less time |
//! | [`mixed_precision`] | wants activations in half the memory |
//! | [`threads`] | has several threads, several devices, an executor, or a browser |
//! | [`parallel`] | has several devices or machines for one model |
//! | [`kernels`] | has an operation that should be one pass over memory |
//! | [`debugging`] | asks why |
//!
//! The pages are in `docs/guide` of the repository, and their programs are tests of the crate.

#[doc = include_str!("../docs/guide/training.md")]
///
/// Names on this page: [`Device`](crate::Device), [`Tensor`](crate::Tensor), [`Module`](trait@crate::nn::Module),
/// [`Layer`](crate::nn::Layer), [`Ctx`](crate::nn::Ctx), [`Init`](crate::nn::Init), [`Adam`](crate::optim::Adam),
/// [`Grads`](crate::autograd::Grads).
pub mod training {}

#[doc = include_str!("../docs/guide/trainer.md")]
///
/// Names on this page: [`Trainer`](crate::train::Trainer), [`Outcome`](crate::train::Outcome),
/// [`Callback`](crate::train::Callback), [`Checkpoints`](crate::train::Checkpoints),
/// [`EarlyStopping`](crate::train::EarlyStopping), [`Task`](crate::train::Task), [`metrics`](crate::metrics).
pub mod trainer {}

#[doc = include_str!("../docs/guide/from_pytorch.md")]
///
/// Names on this page: [`Tensor`](crate::Tensor) in families, [`nn`](crate::nn), [`optim`](crate::optim),
/// [`loss`](crate::loss), [`data`](crate::data), [`checkpoint`](crate::checkpoint).
pub mod from_pytorch {}

#[doc = include_str!("../docs/guide/data.md")]
///
/// Names on this page: [`Dataset`](trait@crate::data::Dataset), [`ImageSet`](crate::data::ImageSet), [`DataLoader`](crate::data::DataLoader),
/// [`Normalization`](crate::data::Normalization), [`Generator`](crate::nn::Generator),
/// [`Embedding`](crate::nn::Embedding).
pub mod data {}

#[doc = include_str!("../docs/guide/layers.md")]
///
/// Names on this page: [`Module`](trait@crate::nn::Module), [`Layer`](crate::nn::Layer),
/// [`Parameter`](crate::nn::Parameter), [`Buffer`](crate::nn::Buffer), [`Generator`](crate::nn::Generator),
/// [`Draw`](crate::Draw), [`Path`](crate::nn::Path), [`init`](crate::nn::init).
pub mod layers {}

#[doc = include_str!("../docs/guide/fine_tuning.md")]
///
/// Names on this page: [`load_state`](crate::nn::load_state), [`Ctx::untracked`](crate::nn::Ctx::untracked),
/// [`Stepper::grouped`](crate::optim::Stepper::grouped), [`Ema`](crate::optim::Ema),
/// [`copy_from`](crate::nn::Module::copy_from).
pub mod fine_tuning {}

#[doc = include_str!("../docs/guide/optimizers.md")]
///
/// Names on this page: [`Rule`](crate::optim::Rule), [`Stepper`](crate::optim::Stepper),
/// [`Optimizer`](crate::optim::Optimizer), [`Decision`](crate::optim::Decision),
/// [`schedule`](crate::optim::schedule), [`Grads`](crate::autograd::Grads).
pub mod optimizers {}

#[doc = include_str!("../docs/guide/gradients.md")]
///
/// Names on this page: [`Tensor::grad`](crate::Tensor::grad), [`Tensor::grad_with`](crate::Tensor::grad_with),
/// [`Tensor::jvp`](crate::Tensor::jvp), [`composed`](crate::autograd::composed),
/// [`GradOptions`](crate::autograd::GradOptions).
pub mod gradients {}

#[doc = include_str!("../docs/guide/saving.md")]
///
/// Names on this page: [`checkpoint`](crate::checkpoint), [`state`](crate::nn::state()),
/// [`StateDict`](crate::nn::StateDict), [`Optimizer::state`](crate::optim::Optimizer::state),
/// [`Generator::position`](crate::nn::Generator::position),
/// [`Scheduler::go_to`](crate::optim::schedule::Scheduler::go_to).
pub mod saving {}

#[doc = include_str!("../docs/guide/replay.md")]
///
/// Names on this page: [`Replay`](crate::plan::Replay), [`Device::capture`](crate::Device::capture),
/// [`Captured`](crate::plan::Captured), [`Device::host`](crate::Device::host),
/// [`Grads::to_vec`](crate::autograd::Grads::to_vec).
pub mod replay {}

#[doc = include_str!("../docs/guide/mixed_precision.md")]
///
/// Names on this page: [`Precision`](crate::nn::Precision), [`Ctx::precision`](crate::nn::Ctx::precision),
/// [`Ctx::cast`](crate::nn::Ctx::cast), [`GradScaler`](crate::optim::GradScaler), [`Checkpoint`](crate::nn::Checkpoint),
/// [`Ctx::checkpoint`](crate::nn::Ctx::checkpoint),
/// [`Trainer::precision`](crate::train::Trainer::precision).
pub mod mixed_precision {}

#[doc = include_str!("../docs/guide/threads.md")]
///
/// Names on this page: [`Device`](crate::Device), [`WgpuOptions`](crate::backend::WgpuOptions),
/// [`Tensor::read`](crate::Tensor::read), [`Pending`](crate::Pending), [`Device::open`](crate::Device::open).
pub mod threads {}

#[doc = include_str!("../docs/guide/parallel.md")]
///
/// Names on this page: [`Group`](crate::parallel::Group), [`Threads`](crate::parallel::Threads),
/// [`DataParallel`](crate::parallel::DataParallel), [`Trainer::parallel`](crate::train::Trainer::parallel),
/// [`Callback::on_every_rank`](crate::train::Callback::on_every_rank),
/// [`DataLoader::dealt`](crate::data::DataLoader::dealt).
pub mod parallel {}

#[doc = include_str!("../docs/guide/kernels.md")]
///
/// Names on this page: [`Kernel`](crate::kernel::Kernel), [`Variant`](crate::kernel::Variant),
/// [`Shader`](crate::kernel::Shader), [`Pass`](crate::kernel::Pass), [`Call`](crate::kernel::Call),
/// [`Tensor::run`](crate::Tensor::run), [`Tensor::tracked`](crate::Tensor::tracked),
/// [`gradient_check`](crate::autograd::gradient_check).
pub mod kernels {}

#[doc = include_str!("../docs/guide/debugging.md")]
///
/// Names on this page: [`Summary`](crate::nn::Summary), [`Tensor::graph`](crate::Tensor::graph),
/// [`Trace`](crate::nn::Trace), [`Device::profile`](crate::Device::profile),
/// [`Device::checked`](crate::Device::checked), [`gradient_check`](crate::autograd::gradient_check).
pub mod debugging {}
