//! The Transformer: blocks that normalise first, causal attention, GELU, learned positions.

use wgrad::nn::{Ctx, Dropout, Embedding, Init, Layer, LayerNorm, Linear, Module};
use wgrad::{AttentionOptions, Device, Tensor};

/// How large a model is.
#[derive(Clone, Copy)]
pub struct Size {
    /// Characters of the alphabet.
    pub letters: usize,
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub context: usize,
    pub dropout: f32,
}

#[derive(Module)]
struct Block {
    #[module(skip)]
    heads: usize,
    ln_1: LayerNorm,
    attn_qkv: Linear,
    attn_proj: Linear,
    attn_drop: Dropout,
    ln_2: LayerNorm,
    mlp_fc: Linear,
    mlp_proj: Linear,
    mlp_drop: Dropout,
}

impl Block {
    fn new(size: &Size, init: &mut Init) -> Block {
        let Size { width, heads, dropout, .. } = *size;
        Block {
            heads,
            ln_1: LayerNorm::new([width], init),
            attn_qkv: Linear::new(width, 3 * width, init),
            attn_proj: Linear::new(width, width, init),
            attn_drop: Dropout::new(dropout, init),
            ln_2: LayerNorm::new([width], init),
            mlp_fc: Linear::new(width, 4 * width, init),
            mlp_proj: Linear::new(4 * width, width, init),
            mlp_drop: Dropout::new(dropout, init),
        }
    }

    /// What both ways through a block share: queries, keys and values in, what attention made of them out.
    fn around(&self, x: &Tensor, ctx: &Ctx, attend: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
        let qkv = self.attn_qkv.forward(&self.ln_1.forward(x, ctx), ctx);
        let mixed = self.attn_proj.forward(&attend(&qkv), ctx);
        let x = x.add(&self.attn_drop.forward(&mixed, ctx));
        let hidden = self.mlp_fc.forward(&self.ln_2.forward(&x, ctx), ctx).gelu();
        x.add(&self.mlp_drop.forward(&self.mlp_proj.forward(&hidden, ctx), ctx))
    }

    /// One new row `[lanes, 1, width]`, whose key and value join those in the cache.
    fn step(&self, x: &Tensor, kept: &Tensor, now: &Now, ctx: &Ctx) -> Tensor {
        self.around(x, ctx, |qkv| {
            let (lanes, width) = (x.size(0), x.size(2));
            kept.assign(&Tensor::where_(&now.here, &qkv.narrow(2, width, 2 * width), kept));
            let [q, k, v] = [qkv.narrow(2, 0, width), kept.narrow(2, 0, width), kept.narrow(2, width, width)]
                .map(|part| part.reshape((lanes, part.size(1), self.heads, -1)))
                .map(|part| part.permute(&[0, 2, 1, 3]));
            let options = AttentionOptions { mask: Some(now.later.clone()), ..AttentionOptions::default() };
            let mixed = q.scaled_dot_product_attention(&k, &v, &options);
            mixed.permute(&[0, 2, 1, 3]).reshape([lanes, 1, width])
        })
    }
}

impl Layer for Block {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.around(x, ctx, |qkv| qkv.self_attention(self.heads, &AttentionOptions::causal()))
    }
}

#[derive(Module)]
pub struct Gpt {
    #[module(skip)]
    pub size: Size,
    wte: Embedding,
    wpe: Embedding,
    drop: Dropout,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    lm_head: Linear,
}

impl Gpt {
    pub fn new(size: Size, init: &mut Init) -> Gpt {
        Gpt {
            size,
            wte: Embedding::new(size.letters, size.width, init),
            wpe: Embedding::new(size.context, size.width, init),
            drop: Dropout::new(size.dropout, init),
            blocks: (0..size.layers).map(|_| Block::new(&size, init)).collect(),
            ln_f: LayerNorm::new([size.width], init),
            lm_head: Linear::new(size.width, size.letters, init),
        }
    }

    /// The logits `[lanes, letters]` after one more character in each lane, from its number and its position, both
    /// `[lanes, 1]`. Keys and values of earlier positions are in the cache: whatever these are, the same kernels run
    /// on the same shapes.
    pub fn step(&self, ids: &Tensor, positions: &Tensor, cache: &Cache) -> Tensor {
        let ctx = Ctx::eval();
        let (lanes, context) = (ids.size(0), self.size.context);
        let slots = Tensor::arange(0, context as i32, ids.device());
        let now = Now {
            here: slots.eq(positions).unsqueeze(2),
            later: slots.gt(positions).affine(HIDDEN, 0.0).reshape([lanes, 1, 1, context]),
        };
        let x = self.wte.forward(ids, &ctx).add(&self.wpe.forward(positions, &ctx));
        let blocks = self.blocks.iter().zip(&cache.kept);
        let x = blocks.fold(x, |x, (block, kept)| block.step(&x, kept, &now, &ctx));
        self.lm_head.forward(&self.ln_f.forward(&x, &ctx), &ctx).reshape((lanes, -1))
    }
}

impl Layer for Gpt {
    /// A row of logits for each of the characters `[batch, rows]`.
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        let positions = ctx.param(&self.wpe.weight).narrow(0, 0, ids.size(1));
        let x = self.drop.forward(&self.wte.forward(ids, ctx).add(&positions), ctx);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x, ctx));
        self.lm_head.forward(&self.ln_f.forward(&x, ctx), ctx).reshape((-1, self.size.letters))
    }
}

/// Added to a score, it leaves nothing of the key's weight.
const HIDDEN: f32 = -1e30;

/// Where the new characters are.
struct Now {
    /// 1 in the slot of the cache that each lane fills, `[lanes, context, 1]`.
    here: Tensor,
    /// Hides the slots after it, `[lanes, 1, 1, context]`.
    later: Tensor,
}

/// The keys and values of a block's earlier characters, `[lanes, context, 2 * width]` for each block.
pub struct Cache {
    kept: Vec<Tensor>,
}

impl Cache {
    pub fn new(size: &Size, lanes: usize, device: &Device) -> Cache {
        let empty = || Tensor::zeros([lanes, size.context, 2 * size.width], device);
        Cache { kept: (0..size.layers).map(|_| empty()).collect() }
    }
}
