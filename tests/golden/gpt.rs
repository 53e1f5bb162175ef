//! A small GPT made of primitives: pre-norm blocks, causal attention, tanh GELU.

use crate::models::Sizes;
use wgrad::nn::{Ctx, Init, Layer, Linear, Parameter};
use wgrad::{KeepDims, Tensor};

const HEADS: usize = 4;

/// One row for each token or position.
struct Table {
    weight: Parameter,
}

wgrad::module!(Table { weight });

struct LayerNorm {
    weight: Parameter,
    bias: Parameter,
}

wgrad::module!(LayerNorm { weight, bias });

impl LayerNorm {
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let centred = x.sub(&x.mean_dims(&[-1], KeepDims::Yes));
        let scale = x.var_dims(&[-1], 0, KeepDims::Yes).affine(1.0, 1e-5).rsqrt();
        centred.mul(&scale).mul(&ctx.param(&self.weight)).add(&ctx.param(&self.bias))
    }
}

struct Block {
    ln_1: LayerNorm,
    attn_qkv: Linear,
    attn_proj: Linear,
    ln_2: LayerNorm,
    mlp_fc: Linear,
    mlp_proj: Linear,
}

wgrad::module!(Block { ln_1, attn_qkv, attn_proj, ln_2, mlp_fc, mlp_proj });

impl Block {
    fn attention(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let [batch, seq, width] = [0, 1, 2].map(|d| x.size(d));
        let head_dim = width / HEADS;
        let qkv = self.attn_qkv.forward(x, ctx);
        // [batch, heads, seq, head_dim] each.
        let [q, k, v] = [0, 1, 2].map(|part| {
            let part = qkv.narrow(2, part * width, width);
            part.reshape_to([batch, seq, HEADS, head_dim].into()).permute(&[0, 2, 1, 3])
        });
        let scores = q.matmul(&k.transpose(2, 3)).affine(1.0 / (head_dim as f32).sqrt(), 0.0);
        let mask: Vec<f32> = (0..seq * seq).map(|i| if i % seq > i / seq { f32::NEG_INFINITY } else { 0.0 }).collect();
        let scores = scores.add(&Tensor::from_vec(mask, [seq, seq], x.device()));
        let mixed = scores.softmax(-1).matmul(&v).permute(&[0, 2, 1, 3]).reshape_to([batch, seq, width].into());
        self.attn_proj.forward(&mixed, ctx)
    }

    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = x.add(&self.attention(&self.ln_1.forward(x, ctx), ctx));
        let hidden = self.mlp_fc.forward(&self.ln_2.forward(&x, ctx), ctx).gelu_tanh();
        x.add(&self.mlp_proj.forward(&hidden, ctx))
    }
}

struct Gpt {
    wte: Table,
    wpe: Table,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    lm_head: Linear,
}

wgrad::module!(Gpt { wte, wpe, blocks, ln_f, lm_head });

impl Layer for Gpt {
    fn forward(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        let [batch, seq] = [0, 1].map(|d| ids.size(d));
        let (tokens, positions) = (ctx.param(&self.wte.weight), ctx.param(&self.wpe.weight));
        let tokens = tokens.index_select(0, &ids.reshape([-1])).reshape_to([batch, seq, tokens.size(1)].into());
        let x = tokens.add(&positions.narrow(0, 0, seq));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x, ctx));
        self.lm_head.forward(&self.ln_f.forward(&x, ctx), ctx)
    }
}

pub fn gpt(sizes: &Sizes, init: &mut Init) -> Box<dyn Layer> {
    let device = init.device.clone();
    let fresh = |name: String| Parameter::new(Tensor::zeros(sizes.of(&name), &device));
    let table = |name: &str| Table { weight: fresh(format!("{name}.weight")) };
    let norm = |name: &str| LayerNorm { weight: fresh(format!("{name}.weight")), bias: fresh(format!("{name}.bias")) };
    let paths = (0..).map(|i| format!("blocks.{i}"));
    let there = paths.take_while(|path| sizes.0.tensors.contains_key(&format!("init.{path}.ln_1.weight")));
    let blocks = there.map(|path| {
        let mut linear = |name: &str| sizes.linear(&format!("{path}.{name}"), init);
        let [attn_qkv, attn_proj, mlp_fc, mlp_proj] = ["attn_qkv", "attn_proj", "mlp_fc", "mlp_proj"].map(&mut linear);
        let [ln_1, ln_2] = ["ln_1", "ln_2"].map(|name| norm(&format!("{path}.{name}")));
        Block { ln_1, attn_qkv, attn_proj, ln_2, mlp_fc, mlp_proj }
    });
    let blocks = blocks.collect();
    let lm_head = sizes.linear("lm_head", init);
    Box::new(Gpt { wte: table("wte"), wpe: table("wpe"), blocks, ln_f: norm("ln_f"), lm_head })
}
