//! Layers: what they hold, how they are visited, and what they compute.

pub mod activation;
pub mod attention;
pub mod augment;
pub mod container;
pub mod conv;
pub mod ctx;
pub mod dropout;
pub mod embedding;
pub mod init;
pub mod layer_norm;
pub mod linear;
pub mod module;
pub mod norm;
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
pub use container::{Flatten, Sequential};
pub use conv::{AvgPool2d, Conv1d, Conv2d, ConvTranspose2d, MaxPool2d, Upsample};
pub use ctx::{Ctx, Mode, Randomness};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use layer_norm::{LayerNorm, RmsNorm};
pub use linear::Linear;
pub use module::{Init, Layer, Module, Parameter, Visitor, parameters};
pub use norm::{BatchNorm1d, BatchNorm2d};
pub use recurrent::{Directions, Gru, Lstm, Recurrent, RecurrentOptions, RecurrentWeights, Rnn, Walk, Walked};
pub use state::{LoadReport, StateDict, StateTensor, Strictness, Values, load_state, state};
pub use summary::Summary;
pub use transformer::{NormPlace, TransformerDecoderLayer, TransformerEncoderLayer, TransformerOptions};
