//! A small GPT made of primitives: pre-norm blocks, causal attention, tanh GELU.

use crate::models::Sizes;
use wgrad::Tensor;
use wgrad::nn::{Ctx, Embedding, Init, Layer, LayerNorm, Linear};

const HEADS: usize = 4;

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
    wte: Embedding,
    wpe: Embedding,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    lm_head: Linear,
}

wgrad::module!(Gpt { wte, wpe, blocks, ln_f, lm_head });

impl Layer for Gpt {
    fn forward(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
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
