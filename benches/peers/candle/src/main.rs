//! Training steps of candle on the CPU.

#[expect(dead_code, reason = "layers keep PyTorch's layout here")]
#[path = "../../steps.rs"]
mod steps;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{
    AdamW, Conv2d, Conv2dConfig, Embedding, Linear, Module, Optimizer, ParamsAdamW, Sequential, loss, ops, seq,
};
use steps::{Batch, CLASSES, HEADS, Job, LAYERS, LENGTH, Pair, RATE, ROWS, SEQUENCES, VOCABULARY, WIDTH, Weights};

const DEVICE: Device = Device::Cpu;

/// What is trained, in the order of the weights' numbers.
#[derive(Default)]
struct Parameters {
    weights: Weights,
    vars: Vec<Var>,
}

impl Parameters {
    fn var(&mut self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        let var = Var::from_vec(values, shape, &DEVICE)?;
        self.vars.push(var.clone());
        Ok(var.as_tensor().clone())
    }

    fn linear(&mut self, inputs: usize, outputs: usize) -> Result<Linear> {
        let Pair { weight, bias } = self.weights.layer(outputs, inputs);
        Ok(Linear::new(self.var(weight, &[outputs, inputs])?, Some(self.var(bias, &[outputs])?)))
    }

    fn conv(&mut self, inputs: usize, outputs: usize) -> Result<Conv2d> {
        let Pair { weight, bias } = self.weights.layer(outputs, inputs * 9);
        let (weight, bias) = (self.var(weight, &[outputs, inputs, 3, 3])?, self.var(bias, &[outputs])?);
        Ok(Conv2d::new(weight, Some(bias), Conv2dConfig { padding: 1, ..Conv2dConfig::default() }))
    }

    fn embedding(&mut self, rows: usize) -> Result<Embedding> {
        let values = self.weights.normal(rows * WIDTH);
        Ok(Embedding::new(self.var(values, &[rows, WIDTH])?, WIDTH))
    }

    fn norm(&mut self) -> Result<Norm> {
        self.weights.norm();
        Ok(Norm { weight: self.var(vec![1.0; WIDTH], &[WIDTH])?, bias: self.var(vec![0.0; WIDTH], &[WIDTH])? })
    }
}

/// The slow norm, since the fast one has no gradient.
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Module for Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm_slow(x, &self.weight, &self.bias, 1e-5)
    }
}

/// candle divides the gradient of a 2x2 pool by 4: what is added here is 0 and has the other three parts. Where several
/// of the four are equal, as on MNIST's blank ground, each still gets too much.
fn pool(x: &Tensor) -> Result<Tensor> {
    let y = x.max_pool2d(2)?;
    &y + ((&y - y.detach())? * 3.0)?
}

fn convolutional(p: &mut Parameters, channels: usize, side: usize) -> Result<Sequential> {
    Ok(seq()
        .add(p.conv(channels, 32)?)
        .add_fn(|x| pool(&x.relu()?))
        .add(p.conv(32, 64)?)
        .add_fn(|x| pool(&x.relu()?)?.flatten_from(1))
        .add(p.linear(64 * (side / 4) * (side / 4), 128)?)
        .add_fn(Tensor::relu)
        .add(p.linear(128, CLASSES)?))
}

struct Block {
    ln_1: Norm,
    attn_qkv: Linear,
    attn_proj: Linear,
    ln_2: Norm,
    mlp_fc: Linear,
    mlp_proj: Linear,
    /// 0 where a token may look, and minus infinity where it may not.
    mask: Tensor,
}

impl Block {
    fn new(p: &mut Parameters, mask: &Tensor) -> Result<Block> {
        Ok(Block {
            ln_1: p.norm()?,
            attn_qkv: p.linear(WIDTH, 3 * WIDTH)?,
            attn_proj: p.linear(WIDTH, WIDTH)?,
            ln_2: p.norm()?,
            mlp_fc: p.linear(WIDTH, 4 * WIDTH)?,
            mlp_proj: p.linear(4 * WIDTH, WIDTH)?,
            mask: mask.clone(),
        })
    }

    fn attention(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, rows, width) = x.dims3()?;
        let qkv = self.attn_qkv.forward(x)?;
        let part = |at: usize| {
            let part = qkv.narrow(2, at * width, width)?.reshape((batch, rows, HEADS, width / HEADS))?;
            part.transpose(1, 2)?.contiguous()
        };
        let scale = 1.0 / ((width / HEADS) as f64).sqrt();
        let scores = (part(0)?.matmul(&part(1)?.t()?)? * scale)?.broadcast_add(&self.mask)?;
        let mixed = ops::softmax(&scores, D::Minus1)?.matmul(&part(2)?)?;
        self.attn_proj.forward(&mixed.transpose(1, 2)?.reshape((batch, rows, width))?)
    }
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = (x + self.attention(&self.ln_1.forward(x)?)?)?;
        let hidden = self.mlp_fc.forward(&self.ln_2.forward(&x)?)?.gelu_erf()?;
        &x + self.mlp_proj.forward(&hidden)?
    }
}

fn gpt(p: &mut Parameters) -> Result<Sequential> {
    let mask = (0..LENGTH * LENGTH).map(|at| if at % LENGTH > at / LENGTH { f32::NEG_INFINITY } else { 0.0 });
    let mask = Tensor::from_iter(mask, &DEVICE)?.reshape((LENGTH, LENGTH))?;
    let wte = p.embedding(VOCABULARY)?;
    let wpe = p.embedding(LENGTH)?;
    let mut model = seq().add(wte).add_fn(move |x| x.broadcast_add(wpe.embeddings()));
    for _ in 0..LAYERS {
        model = model.add(Block::new(p, &mask)?);
    }
    let model = model.add(p.norm()?).add(p.linear(WIDTH, VOCABULARY)?);
    Ok(model.add_fn(|x| x.flatten(0, 1)))
}

/// SGD with momentum, which candle lacks.
struct Momentum {
    vars: Vec<Var>,
    velocities: Vec<Option<Tensor>>,
}

impl Momentum {
    fn backward_step(&mut self, loss: &Tensor) -> Result<()> {
        let grads = loss.backward()?;
        for (var, velocity) in self.vars.iter().zip(&mut self.velocities) {
            let Some(grad) = grads.get(var) else { continue };
            let next = match velocity {
                Some(last) => ((&*last * 0.9)? + grad)?,
                None => grad.clone(),
            };
            var.set(&(var.as_tensor() - (&next * RATE)?)?)?;
            *velocity = Some(next.detach());
        }
        Ok(())
    }
}

fn train(
    job: Job,
    model: impl Module,
    input: impl Fn(&Batch) -> Result<Tensor>,
    mut update: impl FnMut(&Tensor) -> Result<()>,
) {
    let mut step = |batch: &Batch, is_read: bool| {
        let labels = Tensor::from_slice(&batch.labels, batch.labels.len(), &DEVICE)?.to_dtype(DType::U32)?;
        let loss = loss::cross_entropy(&model.forward(&input(batch)?)?, &labels)?;
        update(&loss)?;
        if is_read { loss.to_scalar::<f32>().map(Some) } else { Ok(None) }
    };
    job.train(|batch, is_read| step(batch, is_read).unwrap_or_else(|e| panic!("{e}")));
}

fn main() -> Result<()> {
    let job = Job::from_args();
    let mut p = Parameters::default();
    let images = |shape: &'static [usize]| move |batch: &Batch| Tensor::from_slice(&batch.values, shape, &DEVICE);
    let adam = |vars: Vec<Var>, weight_decay: f64| {
        let mut adam = AdamW::new(vars, ParamsAdamW { lr: RATE, weight_decay, ..ParamsAdamW::default() })?;
        Ok::<_, candle_core::Error>(move |loss: &Tensor| adam.backward_step(loss))
    };
    match job.workload.as_str() {
        "w1" => {
            let model = seq().add(p.linear(784, 128)?).add_fn(Tensor::relu).add(p.linear(128, CLASSES)?);
            train(job, model, images(&[ROWS, 784]), adam(p.vars, 0.0)?);
        }
        "w2" => {
            let model = convolutional(&mut p, 1, 28)?;
            train(job, model, images(&[ROWS, 1, 28, 28]), adam(p.vars, 0.0)?);
        }
        "w3" => {
            let model = convolutional(&mut p, 3, 32)?;
            let mut momentum = Momentum { velocities: vec![None; p.vars.len()], vars: p.vars };
            train(job, model, images(&[ROWS, 3, 32, 32]), move |loss| momentum.backward_step(loss));
        }
        _ => {
            let model = gpt(&mut p)?;
            let tokens =
                |batch: &Batch| Tensor::from_slice(&batch.tokens, (SEQUENCES, LENGTH), &DEVICE)?.to_dtype(DType::U32);
            train(job, model, tokens, adam(p.vars, 0.01)?);
        }
    }
    Ok(())
}
