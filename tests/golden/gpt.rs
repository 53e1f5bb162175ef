//! A small GPT: pre-norm blocks, causal attention, tanh GELU.

use crate::models::Sizes;

use wgrad::nn::{Ctx, Embedding, Init, Layer, LayerNorm, Linear, Module};
use wgrad::{AttentionOptions, Tensor};

const HEADS: usize = 4;

#[derive(Module)]
struct Block {
    ln_1: LayerNorm,
    attn_qkv: Linear,
    attn_proj: Linear,
    ln_2: LayerNorm,
    mlp_fc: Linear,
    mlp_proj: Linear,
}

impl Block {
    fn attention(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let mixed = self.attn_qkv.forward(x, ctx).self_attention(HEADS, &AttentionOptions::causal());
        self.attn_proj.forward(&mixed, ctx)
    }

    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = x.add(&self.attention(&self.ln_1.forward(x, ctx), ctx));
        let hidden = self.mlp_fc.forward(&self.ln_2.forward(&x, ctx), ctx).gelu_tanh();
        x.add(&self.mlp_proj.forward(&hidden, ctx))
    }
}

#[derive(Module)]
struct Gpt {
    wte: Embedding,
    wpe: Embedding,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    lm_head: Linear,
}

impl Layer for Gpt {
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        let positions = ctx.param(&self.wpe.weight).narrow(0, 0, ids.size(1));
        let x = self.wte.forward(ids, ctx).add(&positions);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x, ctx));
        self.lm_head.forward(&self.ln_f.forward(&x, ctx), ctx)
    }
}

pub fn gpt(sizes: &Sizes, init: &mut Init) -> Box<dyn Layer> {
    let table = |name: &str, init: &mut Init| {
        let sizes = sizes.of(&format!("{name}.weight"));
        Embedding::new(sizes[0], sizes[1], init)
    };
    let norm = |name: &str, init: &mut Init| LayerNorm::new(sizes.of(&format!("{name}.weight")), init);
    let paths = (0..).map(|i| format!("blocks.{i}"));
    let there = paths.take_while(|path| sizes.0.tensors.contains_key(&format!("init.{path}.ln_1.weight")));
    let blocks = there.map(|path| {
        let names = ["attn_qkv", "attn_proj", "mlp_fc", "mlp_proj"];
        let [attn_qkv, attn_proj, mlp_fc, mlp_proj] = names.map(|name| sizes.linear(&format!("{path}.{name}"), init));
        let [ln_1, ln_2] = ["ln_1", "ln_2"].map(|name| norm(&format!("{path}.{name}"), init));
        Block { ln_1, attn_qkv, attn_proj, ln_2, mlp_fc, mlp_proj }
    });
    let blocks = blocks.collect();
    let lm_head = sizes.linear("lm_head", init);
    let [wte, wpe] = ["wte", "wpe"].map(|name| table(name, init));
    Box::new(Gpt { wte, wpe, blocks, ln_f: norm("ln_f", init), lm_head })
}
