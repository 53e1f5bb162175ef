//! What operations with kernels of their own are in primitives, for tests to hold them against.

use wgrad::Tensor;
use wgrad::ops::attention::AttentionOptions;
use wgrad::ops::reduce::KeepDims;

/// `x - log(sum(e^x))`.
pub fn log_softmax(x: &Tensor, dim: isize) -> Tensor {
    x.sub(&x.logsumexp(&[dim], KeepDims::Yes))
}

/// The mean over rows of minus the logarithm of the label's share.
pub fn cross_entropy(x: &Tensor, labels: &Tensor) -> Tensor {
    log_softmax(x, 1).gather(1, &labels.unsqueeze(1)).mean().neg()
}

/// `(x - mean) / sqrt(var + eps) * weight + bias`, by channels.
pub fn batch_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
    let dims: Vec<isize> = (0..x.rank() as isize).filter(|&d| d != 1).collect();
    let mut sizes = vec![1; x.rank() - 1];
    sizes[0] = x.size(1);
    let column = |t: &Tensor| t.reshape(&sizes[..]);
    let scale = x.var_dims(&dims, 0, KeepDims::Yes).affine(1.0, eps).rsqrt();
    x.sub(&x.mean_dims(&dims, KeepDims::Yes)).mul(&scale).mul(&column(weight)).add(&column(bias))
}

/// The same by rows.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
    let scale = x.var_dims(&[-1], 0, KeepDims::Yes).affine(1.0, eps).rsqrt();
    x.sub(&x.mean_dims(&[-1], KeepDims::Yes)).mul(&scale).mul(weight).add(bias)
}

/// `x / sqrt(mean(x^2) + eps) * weight`, by rows.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    x.mul(&x.square().mean_dims(&[-1], KeepDims::Yes).affine(1.0, eps).rsqrt()).mul(weight)
}

/// The rows of a table.
pub fn embedding(table: &Tensor, indices: &Tensor) -> Tensor {
    let shape = [&indices.shape()[..], &table.shape()[1..]].concat();
    table.index_select(0, &indices.reshape([-1])).reshape(&shape[..])
}

/// `softmax(scale q k^T + mask) v`; 0 of a query that sees no key.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, options: &AttentionOptions) -> Tensor {
    let scale = options.scale.unwrap_or(1.0 / (q.size(-1) as f32).sqrt());
    let mut scores = q.matmul(&k.transpose(-2, -1)).affine(scale, 0.0);
    if options.is_causal {
        let [queries, keys] = [scores.size(-2), scores.size(-1)];
        let hidden = |i: usize| if i % keys > i / keys { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..queries * keys).map(hidden).collect();
        scores = scores.add(&Tensor::from_vec(mask, [queries, keys], q.device()));
    }
    if let Some(mask) = &options.mask {
        scores = scores.add(mask);
    }
    let hidden = scores.detach().amax(&[-1], KeepDims::Yes).eq_scalar(f32::NEG_INFINITY);
    scores.masked_fill(&hidden, 0.0).softmax(-1).masked_fill(&hidden, 0.0).matmul(v)
}
