//! A small GPT: pre-norm blocks, causal attention whose queries, keys and values are one product, GELU.

use wgrad::nn::{Ctx, Embedding, Init, Layer, LayerNorm, Linear, Module};
use wgrad::{AttentionOptions, Tensor};

const VOCABULARY: usize = 65;
const WIDTH: usize = 128;
const LAYERS: usize = 4;
const HEADS: usize = 4;
const CONTEXT: usize = 128;

#[derive(Module)]
struct Block {
    ln_1: LayerNorm,
    attn_qkv: Linear,
    attn_proj: Linear,
    ln_2: LayerNorm,
    mlp_fc: Linear,
    mlp_proj: Linear,
}

impl Layer for Block {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let qkv = self.attn_qkv.forward(&self.ln_1.forward(x, ctx), ctx);
        let mixed = qkv.self_attention(HEADS, &AttentionOptions::causal());
        let x = x.add(&self.attn_proj.forward(&mixed, ctx));
        let hidden = self.mlp_fc.forward(&self.ln_2.forward(&x, ctx), ctx).gelu();
        x.add(&self.mlp_proj.forward(&hidden, ctx))
    }
}

#[derive(Module)]
pub struct Gpt {
    wte: Embedding,
    wpe: Embedding,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    lm_head: Linear,
}

impl Gpt {
    pub fn new(init: &mut Init) -> Gpt {
        let block = |init: &mut Init| Block {
            ln_1: LayerNorm::new([WIDTH], init),
            attn_qkv: Linear::new(WIDTH, 3 * WIDTH, init),
            attn_proj: Linear::new(WIDTH, WIDTH, init),
            ln_2: LayerNorm::new([WIDTH], init),
            mlp_fc: Linear::new(WIDTH, 4 * WIDTH, init),
            mlp_proj: Linear::new(4 * WIDTH, WIDTH, init),
        };
        Gpt {
            wte: Embedding::new(VOCABULARY, WIDTH, init),
            wpe: Embedding::new(CONTEXT, WIDTH, init),
            blocks: (0..LAYERS).map(|_| block(init)).collect(),
            ln_f: LayerNorm::new([WIDTH], init),
            lm_head: Linear::new(WIDTH, VOCABULARY, init),
        }
    }
}

impl Layer for Gpt {
    /// A row of logits for each of the tokens `[batch, rows]`.
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        let positions = ctx.param(&self.wpe.weight).narrow(0, 0, ids.size(1));
        let x = self.wte.forward(ids, ctx).add(&positions);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x, ctx));
        self.lm_head.forward(&self.ln_f.forward(&x, ctx), ctx).reshape((-1, VOCABULARY))
    }
}
