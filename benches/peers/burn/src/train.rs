//! The networks in burn, the same for each backend.

use super::steps::{
    Batch, CLASSES, HEADS, Job, LAYERS, LENGTH, Pair, RATE, ROWS, SEQUENCES, VOCABULARY, WIDTH, Weights,
};
use burn::module::Param;
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Gelu, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::nn::{PaddingConfig2d, Relu};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::prelude::*;

fn floats<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn integers<const D: usize>(values: &[i32], shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// burn keeps the weight as `[inputs, outputs]`.
fn linear_of(pair: &Pair, device: &Device) -> Linear {
    let (inputs, outputs) = (pair.weight.len() / pair.bias.len(), pair.bias.len());
    let mut layer = LinearConfig::new(inputs, outputs).init(device);
    layer.weight = Param::from_tensor(floats(&pair.transposed(), [inputs, outputs], device));
    layer.bias = Some(Param::from_tensor(floats(&pair.bias, [outputs], device)));
    layer
}

fn linear(weights: &mut Weights, inputs: usize, outputs: usize, device: &Device) -> Linear {
    linear_of(&weights.layer(outputs, inputs), device)
}

fn conv(weights: &mut Weights, inputs: usize, outputs: usize, device: &Device) -> Conv2d {
    let Pair { weight, bias } = weights.layer(outputs, inputs * 9);
    let config = Conv2dConfig::new([inputs, outputs], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
    let mut layer = config.init(device);
    layer.weight = Param::from_tensor(floats(&weight, [outputs, inputs, 3, 3], device));
    layer.bias = Some(Param::from_tensor(floats(&bias, [outputs], device)));
    layer
}

fn embedding(weights: &mut Weights, rows: usize, device: &Device) -> Embedding {
    let mut layer = EmbeddingConfig::new(rows, WIDTH).init(device);
    layer.weight = Param::from_tensor(floats(&weights.normal(rows * WIDTH), [rows, WIDTH], device));
    layer
}

fn norm(weights: &mut Weights, device: &Device) -> LayerNorm {
    weights.norm();
    LayerNormConfig::new(WIDTH).init(device)
}

/// Something that gives a row of logits for each label of a batch.
trait Network: Module {
    fn logits(&self, batch: &Batch, device: &Device) -> Tensor<2>;
}

#[derive(Module, Debug)]
struct Mlp {
    first: Linear,
    relu: Relu,
    second: Linear,
}

impl Mlp {
    fn new(device: &Device) -> Mlp {
        let weights = &mut Weights::default();
        let first = linear(weights, 784, 128, device);
        Mlp { first, relu: Relu::new(), second: linear(weights, 128, CLASSES, device) }
    }
}

impl Network for Mlp {
    fn logits(&self, batch: &Batch, device: &Device) -> Tensor<2> {
        let x = floats(&batch.values, [ROWS, 784], device);
        self.second.forward(self.relu.forward(self.first.forward(x)))
    }
}

#[derive(Module, Debug)]
struct Convolutional {
    conv_1: Conv2d,
    conv_2: Conv2d,
    pool: MaxPool2d,
    relu: Relu,
    first: Linear,
    second: Linear,
    channels: usize,
    side: usize,
}

impl Convolutional {
    fn new(channels: usize, side: usize, device: &Device) -> Convolutional {
        let weights = &mut Weights::default();
        Convolutional {
            conv_1: conv(weights, channels, 32, device),
            conv_2: conv(weights, 32, 64, device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            relu: Relu::new(),
            first: linear(weights, 64 * (side / 4) * (side / 4), 128, device),
            second: linear(weights, 128, CLASSES, device),
            channels,
            side,
        }
    }
}

impl Network for Convolutional {
    fn logits(&self, batch: &Batch, device: &Device) -> Tensor<2> {
        let x = floats(&batch.values, [ROWS, self.channels, self.side, self.side], device);
        let x = self.pool.forward(self.relu.forward(self.conv_1.forward(x)));
        let x = self.pool.forward(self.relu.forward(self.conv_2.forward(x)));
        self.second.forward(self.relu.forward(self.first.forward(x.flatten(1, 3))))
    }
}

#[derive(Module, Debug)]
struct Block {
    ln_1: LayerNorm,
    attention: MultiHeadAttention,
    ln_2: LayerNorm,
    mlp_fc: Linear,
    gelu: Gelu,
    mlp_proj: Linear,
}

impl Block {
    fn new(weights: &mut Weights, device: &Device) -> Block {
        let ln_1 = norm(weights, device);
        let mut attention = MultiHeadAttentionConfig::new(WIDTH, HEADS).with_dropout(0.0).init(device);
        // Three layers here, one elsewhere.
        let [query, key, value] = weights.layer(3 * WIDTH, WIDTH).split();
        attention.query = linear_of(&query, device);
        attention.key = linear_of(&key, device);
        attention.value = linear_of(&value, device);
        attention.output = linear(weights, WIDTH, WIDTH, device);
        Block {
            ln_1,
            attention,
            ln_2: norm(weights, device),
            mlp_fc: linear(weights, WIDTH, 4 * WIDTH, device),
            gelu: Gelu::new(),
            mlp_proj: linear(weights, 4 * WIDTH, WIDTH, device),
        }
    }

    fn forward(&self, x: Tensor<3>, mask: Tensor<3, Bool>) -> Tensor<3> {
        let input = MhaInput::self_attn(self.ln_1.forward(x.clone())).mask_attn(mask);
        let x = x + self.attention.forward(input).context;
        let hidden = self.gelu.forward(self.mlp_fc.forward(self.ln_2.forward(x.clone())));
        x + self.mlp_proj.forward(hidden)
    }
}

#[derive(Module, Debug)]
struct Gpt {
    wte: Embedding,
    wpe: Embedding,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    lm_head: Linear,
    /// True where a token may not look.
    mask: Tensor<3, Bool>,
}

impl Gpt {
    fn new(device: &Device) -> Gpt {
        let weights = &mut Weights::default();
        Gpt {
            wte: embedding(weights, VOCABULARY, device),
            wpe: embedding(weights, LENGTH, device),
            blocks: (0..LAYERS).map(|_| Block::new(weights, device)).collect(),
            ln_f: norm(weights, device),
            lm_head: linear(weights, WIDTH, VOCABULARY, device),
            mask: generate_autoregressive_mask(SEQUENCES, LENGTH, device),
        }
    }
}

impl Network for Gpt {
    fn logits(&self, batch: &Batch, device: &Device) -> Tensor<2> {
        let tokens = integers(&batch.tokens, [SEQUENCES, LENGTH], device);
        // All rows in their order: the positions need no look-up.
        let x = self.wte.forward(tokens) + self.wpe.weight.val().unsqueeze::<3>();
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, self.mask.clone()));
        self.lm_head.forward(self.ln_f.forward(x)).reshape([SEQUENCES * LENGTH, VOCABULARY])
    }
}

fn train<N: Network>(job: Job, model: N, mut optimizer: ModuleOptimizer, device: &Device) {
    let cross_entropy = CrossEntropyLossConfig::new().init(device);
    let mut model = Some(model);
    job.train(|batch, is_read| {
        // A step takes the model and gives it back.
        let before = model.take().expect("the model of the last step");
        let labels = integers(&batch.labels, [batch.labels.len()], device);
        let loss = cross_entropy.forward(before.logits(batch, device), labels);
        let grads = GradientsParams::from_grads(loss.backward(), &before);
        model = Some(optimizer.step(RATE, before, grads));
        is_read.then(|| loss.into_scalar::<f32>())
    });
}

pub fn run(device: Device) {
    let job = Job::from_args();
    let device = &device.autodiff();
    // burn's own epsilon is 1e-5, and it dampens momentum by 0.1.
    let adam = || AdamConfig::new().with_epsilon(1e-8).init();
    match job.workload.as_str() {
        "w1" => train(job, Mlp::new(device), adam(), device),
        "w2" => train(job, Convolutional::new(1, 28, device), adam(), device),
        "w3" => {
            let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
            let sgd = SgdConfig::new().with_momentum(Some(momentum)).init();
            train(job, Convolutional::new(3, 32, device), sgd, device);
        }
        _ => {
            let adamw = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).init();
            train(job, Gpt::new(device), adamw, device);
        }
    }
}
