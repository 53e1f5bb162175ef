//! What a Transformer is made of.

use crate::trial::Trial;
use wgrad::{AttentionOptions, Tensor};

fn sizes(t: &Trial) -> Vec<usize> {
    let sizes = t.attrs().list("normalized_shape").expect("`normalized_shape` is due");
    sizes.into_iter().map(|size| usize::try_from(size).expect("a size is not negative")).collect()
}

pub fn layer_norm(t: &Trial) -> Tensor {
    t.x().layer_norm(&sizes(t), t.maybe("weight"), t.maybe("bias"), t.attrs().float("eps", 1e-5))
}

pub fn rms_norm(t: &Trial) -> Tensor {
    t.x().rms_norm(&sizes(t), t.maybe("weight"), t.attrs().float("eps", f32::EPSILON))
}

pub fn group_norm(t: &Trial) -> Tensor {
    let groups = usize::try_from(t.attrs().int("num_groups", 1)).expect("`num_groups` is not negative");
    t.x().group_norm(groups, t.maybe("weight"), t.maybe("bias"), t.attrs().float("eps", 1e-5))
}

pub fn attention(t: &Trial) -> Tensor {
    t.attrs().only("dropout_p", 0.0);
    let options = AttentionOptions {
        is_causal: t.attrs().flag("is_causal", false),
        mask: t.maybe("attn_mask").cloned(),
        scale: Some(t.attrs().float("scale", f32::NAN)).filter(|scale| !scale.is_nan()),
    };
    t.input("query").scaled_dot_product_attention(t.input("key"), t.input("value"), &options)
}
