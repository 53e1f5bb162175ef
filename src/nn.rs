//! Layers: what they hold, how they are visited, and what they compute.

pub mod activation;
pub mod attention;
pub mod augment;
mod collections;
pub mod container;
pub mod conv;
mod copies;
pub mod ctx;
pub mod dropout;
pub mod embedding;
mod fits;
pub mod generator;
pub mod init;
pub mod layer_norm;
pub mod linear;
pub mod module;
pub mod norm;
pub mod parameter;
pub mod pool;
pub mod recurrent;
pub mod state;
pub mod summary;
pub mod transformer;

pub use activation::{
    Activation, Celu, Elu, Gelu, GeluTanh, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu, LogSigmoid,
    LogSoftmax, Mish, PRelu, Relu, Relu6, Selu, Sigmoid, Silu, Softmax, Softmin, Softplus, Softshrink, Softsign, Tanh,
    Tanhshrink, Threshold,
};
pub use attention::{MultiheadAttention, sinusoidal_positions};
pub use augment::RandomCropFlip;
pub use container::{Flatten, Identity, Sequential, Unflatten};
pub use conv::{Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d};
pub use ctx::{Ctx, Entered, Mode, Trace};
pub use dropout::{Dropout, Dropout1d, Dropout2d};
pub use embedding::{Embedding, Positions};
pub use generator::Generator;
pub use layer_norm::{LayerNorm, RmsNorm};
pub use linear::Linear;
pub use module::{Init, Layer, Module, Path, Visitor, generators, parameters};
pub use norm::{BatchNorm1d, BatchNorm2d, GroupNorm};
pub use parameter::{Buffer, Entry, Parameter};
pub use pool::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AvgPool1d, AvgPool2d, MaxPool1d,
    MaxPool2d, PixelShuffle, Upsample,
};
pub use recurrent::{Directions, Gru, Lstm, Recurrent, RecurrentOptions, RecurrentWeights, Rnn, RnnStart, RnnState};
pub(crate) use state::load_read;
pub use state::{LoadReport, StateDict, StateTensor, Strictness, Values, load_state, read_state, state};
pub use summary::Summary;
pub use transformer::{NormPlace, TransformerDecoderLayer, TransformerEncoderLayer, TransformerOptions};
