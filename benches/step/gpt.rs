//! A small GPT: pre-norm blocks, causal attention whose queries, keys and values are one product, GELU.

use wgrad::nn::{Ctx, Embedding, Init, Layer, LayerNorm, Linear, Module};
use wgrad::{AttentionOptions, Tensor};

/// Of a model.
#[derive(Clone, Copy)]
pub struct Size {
    pub vocabulary: usize,
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    pub context: usize,
}

impl Size {
    /// Of the fourth workload.
    pub const W4: Size = Size { vocabulary: 65, width: 128, layers: 4, heads: 4, context: 128 };
}

#[derive(Module)]
struct Block {
    ln_1: LayerNorm,
    attn_qkv: Linear,
    attn_proj: Linear,
    ln_2: LayerNorm,
    mlp_fc: Linear,
    mlp_proj: Linear,
    #[module(skip)]
    heads: usize,
}

impl Layer for Block {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let qkv = self.attn_qkv.forward(&self.ln_1.forward(x, ctx), ctx);
        let mixed = qkv.self_attention(self.heads, &AttentionOptions::causal());
        let x = x.add(&self.attn_proj.forward(&mixed, ctx));
        let hidden = self.mlp_fc.forward(&self.ln_2.forward(&x, ctx), ctx).gelu();
        x.add(&self.mlp_proj.forward(&hidden, ctx))
    }
}

#[derive(Module)]
pub struct Gpt {
    pub wte: Embedding,
    wpe: Embedding,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    pub lm_head: Linear,
    #[module(skip)]
    vocabulary: usize,
}

impl Gpt {
    pub fn new(size: Size, init: &mut Init) -> Gpt {
        let Size { vocabulary, width, layers, heads, context } = size;
        let block = |init: &mut Init| Block {
            ln_1: LayerNorm::new([width], init),
            attn_qkv: Linear::new(width, 3 * width, init),
            attn_proj: Linear::new(width, width, init),
            ln_2: LayerNorm::new([width], init),
            mlp_fc: Linear::new(width, 4 * width, init),
            mlp_proj: Linear::new(4 * width, width, init),
            heads,
        };
        Gpt {
            wte: Embedding::new(vocabulary, width, init),
            wpe: Embedding::new(context, width, init),
            blocks: (0..layers).map(|_| block(init)).collect(),
            ln_f: LayerNorm::new([width], init),
            lm_head: Linear::new(width, vocabulary, init),
            vocabulary,
        }
    }
}

impl Layer for Gpt {
    /// A row of logits for each of the tokens `[batch, rows]`.
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        let positions = ctx.param(&self.wpe.weight).narrow(0, 0, ids.size(1));
        let x = self.wte.forward(ids, ctx).add(&positions);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x, ctx));
        self.lm_head.forward(&self.ln_f.forward(&x, ctx), ctx).reshape((-1, self.vocabulary))
    }
}
