"""Writes reference cases of gradients of gradients into tests/golden/cases: `python3 tests/golden/second.py`, with PyTorch.

The first cases of each kind that `more.py` makes, and some of the simplest operations. `grad2.x` is the gradient of the sum of
all gradients by their cotangents `cot2.x`.
"""

import torch
import torch.nn.functional as F

import more
from more import draw, write

MOST = 2
made = {}
left_out = []


def second(kind, name, function, inputs, attrs, grads=(), rtol=1e-4, atol=1e-5):
    # Flat everywhere, or a choice among elements.
    if not grads or made.get(kind, 0) >= MOST:
        return
    tracked = {k: v.clone().requires_grad_() if k in grads else v for k, v in inputs.items()}
    out = function(**tracked, **attrs)
    many = isinstance(out, (tuple, list))
    outs = {f"out.{i}": o for i, o in enumerate(out)} if many else {"out": out}
    tensors = {f"in.{k}": v for k, v in inputs.items()}
    total = 0
    for key, value in outs.items():
        tensors[key] = value
        if value.dtype.is_floating_point:
            cot = draw(*value.shape)
            tensors[key.replace("out", "cot")] = cot
            total = total + (cot * value).sum()
    leaves = [tracked[k] for k in grads]
    try:
        first = torch.autograd.grad(total, leaves, create_graph=True)
        cots = [draw(*g.shape) for g in first]
        sum = torch.stack([(c * g).sum() for c, g in zip(cots, first)]).sum()
        found = torch.autograd.grad(sum, leaves, allow_unused=True) if sum.requires_grad else [None] * len(leaves)
    except RuntimeError as error:
        left_out.append(f"{kind}: {error}")
        return
    found = [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves)]
    for k, g, c, s in zip(grads, first, cots, found):
        tensors.update({f"grad.{k}": g, f"cot2.{k}": c, f"grad2.{k}": s})
    if not all(torch.isfinite(t).all() for t in tensors.values() if t.dtype.is_floating_point):
        return
    made[kind] = made.get(kind, 0) + 1
    write(kind, f"second_{name}", kind, attrs, tensors, max(rtol, 2e-4), max(atol, 1e-4))


def simple():
    x, positive = draw(3, 4), draw(3, 4, low=0.3, high=2)
    for name in ["abs", "cos", "erf", "exp", "neg", "sigmoid", "sin", "square", "tanh"]:
        second(name, "0", getattr(torch, name), {"input": x}, {}, ["input"])
    for name in ["log", "reciprocal", "rsqrt", "sqrt"]:
        second(name, "0", getattr(torch, name), {"input": positive}, {}, ["input"])
    for name in ["elu", "gelu", "leaky_relu", "relu", "silu", "softplus"]:
        second(name, "0", getattr(F, name), {"input": x}, {}, ["input"])
    second("gelu", "tanh", F.gelu, {"input": x}, {"approximate": "tanh"}, ["input"])
    second("clamp", "0", torch.clamp, {"input": x}, {"min": -0.5, "max": 0.7}, ["input"])
    second("pow_scalar", "0", torch.pow, {"input": positive}, {"exponent": 2.5}, ["input"])
    two = {"input": draw(3, 4, low=0.3, high=2), "other": draw(4, low=0.3, high=2)}
    for name in ["add", "sub", "mul", "div", "pow", "maximum", "minimum"]:
        second(name, "0", lambda input, other, name=name: getattr(torch, name)(input, other), two, {}, list(two))
    second("matmul", "0", torch.matmul, {"input": draw(2, 3, 4), "other": draw(4, 5)}, {}, ["input", "other"])
    second("matmul", "1", torch.matmul, {"input": draw(2, 3, 4), "other": draw(2, 4, 2)}, {}, ["input", "other"])
    layer = {"input": draw(3, 4), "weight": draw(5, 4), "bias": draw(5)}
    second("linear", "0", F.linear, layer, {}, list(layer))
    for name in ["softmax", "log_softmax"]:
        second(name, "0", getattr(torch, name), {"input": x}, {"dim": -1}, ["input"])
        second(name, "1", getattr(torch, name), {"input": draw(2, 3, 4)}, {"dim": 1}, ["input"])
    for name in ["sum", "mean", "amax", "amin", "logsumexp"]:
        second(name, "0", getattr(torch, name), {"input": x}, {"dim": [1], "keepdim": False}, ["input"])
    second("var", "0", torch.var, {"input": x}, {"dim": [1], "keepdim": False, "correction": 1}, ["input"])
    rows = {"input": draw(3, 8), "weight": draw(8), "bias": draw(8)}
    second("layer_norm", "0", F.layer_norm, rows, {"normalized_shape": [8], "eps": 1e-5}, list(rows))
    second("rms_norm", "0", F.rms_norm, {"input": draw(3, 8), "weight": draw(8)}, {"normalized_shape": [8], "eps": 1e-6}, ["input", "weight"])
    channels = {"input": draw(2, 4, 3, 3), "weight": draw(4), "bias": draw(4)}
    second("group_norm", "0", F.group_norm, channels, {"num_groups": 2, "eps": 1e-5}, list(channels))
    second("batch_norm", "0", lambda input, weight, bias, training, eps: F.batch_norm(input, None, None, weight, bias, training, 0.1, eps),
           channels, {"training": True, "eps": 1e-5}, list(channels))
    images = {"input": draw(2, 4, 6, 5), "weight": draw(6, 2, 3, 2), "bias": draw(6)}
    for i, attrs in enumerate([{"groups": 2}, {"groups": 2, "stride": [2, 1], "padding": [1, 1], "dilation": [1, 2]}]):
        second("conv2d", str(i), F.conv2d, images, attrs, list(images), 1e-4, 5e-4)
    whole = {"input": draw(2, 3, 8, 7), "weight": draw(4, 3, 3, 3), "bias": draw(4)}
    second("conv2d", "whole", F.conv2d, whole, {"stride": [3, 2]}, list(whole), 1e-4, 5e-4)
    second("max_pool2d", "0", F.max_pool2d, {"input": draw(1, 2, 7, 9)}, {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]}, ["input"])
    second("avg_pool2d", "0", F.avg_pool2d, {"input": draw(1, 2, 7, 9)}, {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]}, ["input"])
    second("adaptive_avg_pool2d", "0", F.adaptive_avg_pool2d, {"input": draw(1, 2, 7, 5)}, {"output_size": [3, 2]}, ["input"])
    second("embedding", "0", lambda input, weight: F.embedding(input, weight), {"input": torch.tensor([[1, 3], [3, 0]]), "weight": draw(4, 4)}, {}, ["weight"])
    second("gather", "0", lambda input, index, dim: torch.gather(input, dim, index), {"input": x, "index": torch.tensor([[0, 2], [1, 1], [3, 0]])}, {"dim": 1}, ["input"])
    second("index_select", "0", lambda input, index, dim: torch.index_select(input, dim, index), {"input": x, "index": torch.tensor([2, 0, 2])}, {"dim": 0}, ["input"])
    pair = {"0": draw(2, 3), "1": draw(4, 3)}
    second("cat", "0", lambda dim, **t: torch.cat(list(t.values()), dim), pair, {"dim": 0}, list(pair))
    second("narrow", "0", torch.narrow, {"input": x}, {"dim": 1, "start": 1, "length": 2}, ["input"])
    second("pad", "0", F.pad, {"input": x}, {"pad": [1, 2], "value": 0.0}, ["input"])
    second("flip", "0", torch.flip, {"input": x}, {"dims": [0]}, ["input"])
    second("cumsum", "0", torch.cumsum, {"input": x}, {"dim": 1}, ["input"])
    chosen = {"condition": torch.tensor([[0, 1, 1, 0]]), "input": draw(3, 4), "other": draw(3, 1)}
    second("where", "0", lambda condition, input, other: torch.where(condition != 0, input, other), chosen, {}, ["input", "other"])
    labels = torch.tensor([1, 0, 3])
    second("cross_entropy", "0", F.cross_entropy, {"input": x, "target": labels}, {}, ["input"])
    for name in ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"]:
        second(name, "0", getattr(F, name), {"input": draw(3, 4), "target": draw(3, 4)}, {}, ["input", "target"])
    rows = {"query": draw(1, 2, 3, 8), "key": draw(1, 2, 4, 8), "value": draw(1, 2, 4, 8)}
    second("scaled_dot_product_attention", "0", F.scaled_dot_product_attention, rows, {}, list(rows))
    odd = {"query": draw(1, 2, 3, 4), "key": draw(1, 2, 3, 4), "value": draw(1, 2, 3, 4)}
    second("scaled_dot_product_attention", "causal", F.scaled_dot_product_attention, odd, {"is_causal": True}, list(odd))
    for name, cls in [("lstm", torch.nn.LSTM), ("gru", torch.nn.GRU), ("rnn_tanh", torch.nn.RNN)]:
        layer = cls(3, 4, batch_first=True).double()
        weights = {k: v.detach().float().double() for k, v in layer.named_parameters()}
        inputs = {"input": draw(2, 3, 3), **weights}
        run = lambda input, batch_first, layer=layer, **w: torch.func.functional_call(layer, w, (input,))[0]
        second(name, "0", run, inputs, {"batch_first": True}, list(inputs), 1e-4, 2e-4)


if __name__ == "__main__":
    more.op = second
    # The fused forms of attention have no second gradient there.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        for make in [simple, *more.MAKES]:
            if make not in [more.optimizers, more.schedules, more.options, more.newer]:
                torch.manual_seed(0)
                make()
    print(f"{sum(made.values())} cases of {len(made)} kinds")
    print("\n".join(left_out))
