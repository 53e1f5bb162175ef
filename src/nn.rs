//! Layers, and models made of them: structs whose fields can be visited by name, as PyTorch's `state_dict` names them.
//!
//! A model is a struct with `#[derive(Module)]`; what maps one tensor to one tensor is a [`Layer`] as well. The pages
//! [`layers`](crate::guide::layers) and [`fine_tuning`](crate::guide::fine_tuning) of the guide show how they are written and
//! trained.
//!
//! | Family | |
//! |---|---|
//! | **Models** | [`Module`](trait@Module), [`Layer`], [`Parameter`], [`Buffer`], [`Path`], [`Sequential`], [`Checkpoint`], [`Recompute`], [`Identity`], [`Flatten`], [`Unflatten`] |
//! | **Passes** | [`Ctx`], [`Mode`], [`Precision`], [`Trace`], [`Entered`], [`Summary`] |
//! | **First values and chance** | [`Init`], [`init`](mod@init), [`Generator`], [`Dropout`], [`Dropout1d`], [`Dropout2d`], [`Dropout3d`], [`AlphaDropout`], [`FeatureAlphaDropout`], [`DropPath`], [`RandomCropFlip`] |
//! | **Images by chance** | [`RandomAffine`], [`RandomResizedCrop`], [`ColorJitter`], [`RandomHue`], [`RandomGrayscale`], [`GaussianBlur`], [`RandomErasing`], [`RandAugment`]; [`Draw::mixup`](crate::Draw::mixup), [`Draw::cutmix`](crate::Draw::cutmix) |
//! | **Linear maps and tables** | [`Linear`], [`Bilinear`], [`Embedding`], [`EmbeddingBag`], [`Positions`], [`sinusoidal_positions`] |
//! | **Convolution** | [`Conv1d`], [`Conv2d`], [`Conv3d`], [`ConvTranspose1d`], [`ConvTranspose2d`], [`ConvTranspose3d`] |
//! | **Pooling and sizes** | [`MaxPool1d`], [`MaxPool2d`], [`AvgPool1d`], [`AvgPool2d`], [`AdaptiveAvgPool1d`], [`AdaptiveAvgPool2d`], [`AdaptiveMaxPool1d`], [`AdaptiveMaxPool2d`], [`MaxPool3d`], [`AvgPool3d`], [`AdaptiveAvgPool3d`], [`AdaptiveMaxPool3d`], [`LpPool1d`], [`LpPool2d`], [`LpPool3d`], [`FractionalMaxPool2d`], [`FractionalMaxPool3d`], [`FractionalSize`], [`MaxUnpool1d`], [`MaxUnpool2d`], [`MaxUnpool3d`], [`Pad`], [`Upsample`], [`PixelShuffle`], [`PixelUnshuffle`], [`ChannelShuffle`], [`Unfold`], [`Fold`] |
//! | **Normalisation** | [`BatchNorm1d`], [`BatchNorm2d`], [`BatchNorm3d`], [`BatchNormState`], [`InstanceNorm1d`], [`InstanceNorm2d`], [`InstanceNorm3d`], [`update_bn`], [`Normalize`], [`LocalResponseNorm`], [`LayerNorm`], [`RmsNorm`], [`GroupNorm`] |
//! | **Activations** | [`Relu`], [`LeakyRelu`], [`PRelu`], [`RRelu`], [`Elu`], [`Selu`], [`Celu`], [`Gelu`], [`GeluTanh`], [`Silu`], [`Mish`], [`Softplus`], [`Softsign`], [`Tanh`], [`Sigmoid`], [`LogSigmoid`], [`Relu6`], [`Hardtanh`], [`Hardsigmoid`], [`Hardswish`], [`Threshold`], [`Hardshrink`], [`Softshrink`], [`Tanhshrink`], [`Glu`], [`Softmax`], [`LogSoftmax`], [`Softmin`], [`Activation`] |
//! | **Sequences** | [`RnnCell`], [`LstmCell`], [`GruCell`], [`Rnn`], [`Lstm`], [`Gru`], [`RnnState`], [`RnnStart`], [`RecurrentOptions`], [`Directions`], [`Recurrent`], [`RecurrentWeights`] |
//! | **Attention** | [`MultiheadAttention`], [`MultiheadAttentionOptions`], [`TransformerEncoderLayer`], [`TransformerDecoderLayer`], [`TransformerEncoder`], [`TransformerDecoder`], [`Transformer`], [`TransformerAttention`], [`TransformerOptions`], [`NormPlace`] |
//! | **Values by name** | [`parameters`], [`trainable`], [`Trainable`], [`generators`], [`state`](fn@state), [`load_state`], [`read_state`], [`StateDict`], [`StateTensor`], [`Values`], [`Strictness`], [`LoadReport`], [`Visitor`], [`Entry`] |

pub mod activation;
pub mod attention;
pub mod augment;
mod bag;
mod cell;
mod collections;
mod colours;
pub mod container;
pub mod conv;
mod copies;
pub mod ctx;
pub mod dropout;
pub mod embedding;
mod fits;
pub mod generator;
mod group_norm;
pub mod init;
mod int8;
pub mod layer_norm;
pub mod linear;
pub mod module;
pub mod norm;
mod normalize;
mod padding;
pub mod parameter;
pub mod pool;
mod rearrange;
pub mod recurrent;
mod seq2seq;
pub mod state;
pub mod summary;
pub mod transformer;
pub mod transforms;

#[doc(inline)]
pub use activation::{
    Activation, Celu, Elu, Gelu, GeluTanh, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu, LogSigmoid,
    LogSoftmax, Mish, PRelu, RRelu, Relu, Relu6, Selu, Sigmoid, Silu, Softmax, Softmin, Softplus, Softshrink, Softsign,
    Tanh, Tanhshrink, Threshold,
};
#[doc(inline)]
pub use attention::{MultiheadAttention, MultiheadAttentionOptions, sinusoidal_positions};
#[doc(inline)]
pub use augment::RandomCropFlip;
#[doc(inline)]
pub use bag::{Bilinear, EmbeddingBag};
#[doc(inline)]
pub use cell::{GruCell, LstmCell, RnnCell};
#[doc(inline)]
pub use colours::{GaussianBlur, RandAugment, RandomGrayscale, RandomHue};
#[doc(inline)]
pub use container::{Checkpoint, Flatten, Identity, Sequential, Unflatten};
#[doc(inline)]
pub use conv::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
#[doc(inline)]
pub use ctx::{Ctx, Entered, Mode, Precision, Recompute, Trace};
#[doc(inline)]
pub use dropout::{AlphaDropout, DropPath, Dropout, Dropout1d, Dropout2d, Dropout3d, FeatureAlphaDropout};
#[doc(inline)]
pub use embedding::{Embedding, Positions};
#[doc(inline)]
pub use generator::Generator;
#[doc(inline)]
pub use group_norm::{GroupNorm, LocalResponseNorm};
#[doc(inline)]
pub use layer_norm::{LayerNorm, RmsNorm};
#[doc(inline)]
pub use linear::Linear;
pub(crate) use module::distinct;
#[doc(inline)]
pub use module::{Init, Layer, Module, Path, Trainable, Visitor, generators, parameters, trainable};
#[doc(inline)]
pub use norm::{
    BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormState, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, update_bn,
};
#[doc(inline)]
pub use normalize::Normalize;
#[doc(inline)]
pub use padding::Pad;
#[doc(inline)]
pub use parameter::{Buffer, Entry, Parameter};
#[doc(inline)]
pub use pool::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d,
    AvgPool1d, AvgPool2d, AvgPool3d, FractionalMaxPool2d, FractionalMaxPool3d, FractionalSize, LpPool1d, LpPool2d,
    LpPool3d, MaxPool1d, MaxPool2d, MaxPool3d, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d, Upsample,
};
#[doc(inline)]
pub use rearrange::{ChannelShuffle, Fold, PixelShuffle, PixelUnshuffle, Unfold};
#[doc(inline)]
pub use recurrent::{Directions, Gru, Lstm, Recurrent, RecurrentOptions, RecurrentWeights, Rnn, RnnStart, RnnState};
#[doc(inline)]
pub use seq2seq::{Transformer, TransformerAttention, TransformerDecoder, TransformerEncoder};
#[doc(inline)]
pub use state::{LoadReport, StateDict, StateTensor, Strictness, Values, load_state, read_state, state};
pub(crate) use state::{fitting, load_read};
#[doc(inline)]
pub use summary::Summary;
#[doc(inline)]
pub use transformer::{NormPlace, TransformerDecoderLayer, TransformerEncoderLayer, TransformerOptions};
#[doc(inline)]
pub use transforms::{ColorJitter, RandomAffine, RandomErasing, RandomResizedCrop};
