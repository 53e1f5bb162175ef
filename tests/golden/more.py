"""Writes reference cases into tests/golden/cases: `python3 tests/golden/more.py`, with PyTorch (these by 2.15).

Each is computed in float64 from inputs that float32 holds. A name starts with `more_`, so that a file tells where it is from.
"""

import importlib
import inspect
import json
import pathlib
import struct
import warnings

import torch
import torch.nn.functional as F

warnings.simplefilter("ignore")
ROOT = pathlib.Path(__file__).parent / "cases"


def write(kind, name, op, attrs, tensors, rtol=1e-4, atol=1e-5):
    header = {"__metadata__": {"op": op, "attrs": json.dumps(attrs), "rtol": str(rtol), "atol": str(atol)}}
    body = b""
    for key, value in tensors.items():
        value = value.detach()
        floats = value.dtype.is_floating_point
        data = value.to(torch.float32 if floats else torch.int64).contiguous().numpy().tobytes()
        header[key] = {
            "dtype": "F32" if floats else "I64",
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder = ROOT / kind
    folder.mkdir(exist_ok=True)
    (folder / f"more_{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)


def draw(*shape, low=-2.0, high=2.0):
    return (torch.rand(shape) * (high - low) + low).double()


def op(kind, name, function, inputs, attrs, grads=(), rtol=1e-4, atol=1e-5):
    """A function of named inputs; `grads` names those whose gradient is judged."""
    tracked = {k: v.clone().requires_grad_() if k in grads else v for k, v in inputs.items()}
    out = function(**tracked, **attrs)
    tensors = {f"in.{k}": v for k, v in inputs.items()}
    many = isinstance(out, (tuple, list))
    outs = {f"out.{i}": o for i, o in enumerate(out)} if many else {"out": out}
    total = 0
    for key, value in outs.items():
        tensors[key] = value
        if grads and value.dtype.is_floating_point:
            cot = draw(*value.shape)
            tensors[key.replace("out", "cot")] = cot
            total = total + (cot * value).sum()
    if grads:
        found = torch.autograd.grad(total, [tracked[k] for k in grads])
        tensors.update({f"grad.{k}": g for k, g in zip(grads, found)})
    write(kind, name, kind, attrs, tensors, rtol, atol)


def losses():
    x, t = draw(4, 5, low=0.05, high=0.95), draw(4, 5, low=0, high=1)
    w = draw(5, low=0.5, high=2)
    op("binary_cross_entropy", "weight", F.binary_cross_entropy, {"input": x, "target": t, "weight": w}, {}, ["input"])
    ends = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.5]).double()
    wanted = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.25]).double()
    op("binary_cross_entropy", "ends", F.binary_cross_entropy, {"input": ends, "target": wanted}, {"reduction": "none"})
    z = draw(4, 5, low=-4, high=4)
    weights = {"input": z, "target": t, "weight": w, "pos_weight": draw(5, low=0.5, high=3)}
    op("binary_cross_entropy_with_logits", "pos_weight", F.binary_cross_entropy_with_logits, weights, {}, ["input"])
    op("binary_cross_entropy_with_logits", "target", F.binary_cross_entropy_with_logits,
       {"input": z, "target": t}, {"reduction": "none"}, ["input", "target"])
    logged = F.log_softmax(z, 1)
    for reduction in ["mean", "sum", "none"]:
        op("kl_div", f"log_target_{reduction}", F.kl_div, {"input": logged, "target": F.log_softmax(draw(4, 5), 1)},
           {"reduction": reduction, "log_target": True}, ["input"])
    op("kl_div", "zeros", F.kl_div, {"input": logged, "target": torch.eye(4, 5).double()}, {"reduction": "sum"}, ["input"])
    op("smooth_l1_loss", "none", F.smooth_l1_loss, {"input": z, "target": t}, {"reduction": "none"}, ["input", "target"])
    op("smooth_l1_loss", "beta0", F.smooth_l1_loss, {"input": z, "target": t}, {"beta": 0.0}, ["input"])
    labels = torch.randint(0, 5, (4,))
    labels[1] = 2
    for reduction in ["mean", "sum", "none"]:
        op("nll_loss", f"weight_ignore_{reduction}", F.nll_loss, {"input": logged, "target": labels, "weight": w},
           {"reduction": reduction, "ignore_index": 2}, ["input"])
        op("cross_entropy", f"all_{reduction}", F.cross_entropy, {"input": z, "target": labels, "weight": w},
           {"reduction": reduction, "ignore_index": 2, "label_smoothing": 0.2}, ["input"])
        op("cross_entropy", f"soft_{reduction}", F.cross_entropy, {"input": z, "target": F.softmax(draw(4, 5), 1), "weight": w},
           {"reduction": reduction, "label_smoothing": 0.2}, ["input"])
        op("cross_entropy", f"images_{reduction}", F.cross_entropy,
           {"input": draw(2, 5, 3, 2), "target": torch.randint(0, 5, (2, 3, 2))}, {"reduction": reduction}, ["input"])
    op("cross_entropy", "one", F.cross_entropy, {"input": draw(5), "target": torch.tensor(3)}, {}, ["input"])
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0]).double()
    pair = {"input": draw(4, 5), "target": torch.cat([signs, signs, signs, signs, signs]).reshape(4, 5)}
    op("soft_margin_loss", "mean", F.soft_margin_loss, pair, {}, ["input"])
    op("hinge_embedding_loss", "margin", F.hinge_embedding_loss, pair, {"margin": 0.7}, ["input"])
    rows = {"input1": draw(4, 5), "input2": draw(4, 5), "target": signs}
    op("cosine_embedding_loss", "margin", F.cosine_embedding_loss, rows, {"margin": -0.5}, ["input1", "input2"])
    ranks = {"input1": draw(4), "input2": draw(4), "target": signs}
    op("margin_ranking_loss", "margin", F.margin_ranking_loss, ranks, {"margin": 0.3}, ["input1", "input2"])
    three = {"anchor": draw(4, 5), "positive": draw(4, 5), "negative": draw(4, 5)}
    op("triplet_margin_loss", "sum", F.triplet_margin_loss, three, {"margin": 2.0, "reduction": "sum"}, list(three))
    op("poisson_nll_loss", "mean", F.poisson_nll_loss, {"input": draw(4, 5), "target": draw(4, 5, low=0, high=5)}, {}, ["input"])
    normal = {"input": draw(4, 5), "target": draw(4, 5), "var": draw(4, 5, low=0.2, high=2)}
    for full in [False, True]:
        op("gaussian_nll_loss", f"full_{full}", F.gaussian_nll_loss, normal, {"full": full}, ["input", "var"])


def optimizers():
    made = {
        "adam": (torch.optim.Adam, [("amsgrad", {"lr": 0.1, "amsgrad": True, "betas": [0.6, 0.7], "weight_decay": 0.1})]),
        "adamw": (torch.optim.AdamW, [("amsgrad", {"lr": 0.1, "amsgrad": True, "betas": [0.6, 0.7]})]),
        "rmsprop": (torch.optim.RMSprop, [
            ("centered", {"lr": 0.1, "alpha": 0.8, "centered": True}),
            ("centered_momentum", {"lr": 0.1, "alpha": 0.8, "centered": True, "momentum": 0.7, "weight_decay": 0.1}),
        ]),
        "adagrad": (torch.optim.Adagrad, [("decay", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1})]),
        "adadelta": (torch.optim.Adadelta, [("decay", {"lr": 2.0, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1})]),
    }
    for name, (cls, cases) in made.items():
        for case, attrs in cases:
            start, grads, after = draw(3, 4), draw(12, 3, 4), []
            param = torch.nn.Parameter(start.clone())
            optimizer = cls([param], **attrs)
            for grad in grads:
                param.grad = grad.clone()
                optimizer.step()
                after.append(param.detach().clone())
            tensors = {"in.param": start, "in.grads": grads, "out": torch.stack(after)}
            write(f"optim_{name}", case, f"optim:{name}", attrs, tensors)


def schedules():
    cases = [
        ("ConstantLR", "", {"factor": 0.2, "total_iters": 7}),
        ("PolynomialLR", "", {"total_iters": 20, "power": 1.7}),
        ("CosineAnnealingWarmRestarts", "", {"T_0": 4, "T_mult": 2, "eta_min": 0.01}),
        ("CosineAnnealingLR", "_long", {"T_max": 7, "eta_min": 0.01}),
        ("LinearLR", "_down", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 20}),
        ("OneCycleLR", "_three", {"max_lr": 0.5, "total_steps": 31, "three_phase": True, "anneal_strategy": "linear"}),
        ("OneCycleLR", "_late", {"max_lr": 0.5, "total_steps": 31, "pct_start": 0.8}),
        ("ReduceLROnPlateau", "_max", {
            "mode": "max", "factor": 0.3, "patience": 1, "threshold": 0.05, "threshold_mode": "abs", "cooldown": 2, "min_lr": 0.004,
        }),
        ("CyclicLR", "_alike", {"max_lr": 0.5, "step_size_up": 4}),
        ("CyclicLR", "_halved", {"max_lr": 0.5, "step_size_up": 3, "step_size_down": 5, "mode": "triangular2"}),
        ("CyclicLR", "_falling", {"max_lr": 0.5, "step_size_up": 6, "step_size_down": 2, "mode": "exp_range", "gamma": 0.9}),
    ]
    for name, suffix, attrs in cases:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        extra = {"cycle_momentum": False} if name in ["OneCycleLR", "CyclicLR"] else {}
        extra.update({"base_lr": 0.1} if name == "CyclicLR" else {})
        scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **attrs, **extra)
        tensors, rates = {}, []
        metric = (torch.arange(30) / 60 + torch.rand(30) / 4).float()
        for step in range(30):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if name == "ReduceLROnPlateau":
                scheduler.step(metric[step].item())
            else:
                scheduler.step()
        if name == "ReduceLROnPlateau":
            tensors["in.metric"] = metric
        tensors["out"] = torch.tensor(rates, dtype=torch.float64)
        write("lr_scheduler", name + suffix, f"lr_scheduler:{name}", {"base_lr": 0.1, **attrs}, tensors, 1e-5, 1e-9)


def activations():
    x = torch.cat([draw(28, low=-8, high=8), torch.tensor([-40.0, -1e-3, 1e-3, 40.0])]).double().reshape(4, 8)
    cases = {
        "hardtanh": [{}, {"min_val": -0.5, "max_val": 2.0}], "relu6": [{}], "hardswish": [{}], "hardsigmoid": [{}],
        "softsign": [{}], "mish": [{}], "selu": [{}], "celu": [{}, {"alpha": 0.6}], "logsigmoid": [{}],
        "threshold": [{"threshold": 0.5, "value": -1.0}], "hardshrink": [{"lambd": 0.7}], "softshrink": [{"lambd": 0.7}],
        "tanhshrink": [{}], "glu": [{"dim": 0}, {}], "softmin": [{"dim": 1}],
    }
    for name, all_attrs in cases.items():
        for i, attrs in enumerate(all_attrs):
            op(name, str(i), getattr(F, name), {"input": x}, attrs, ["input"])
    op("prelu", "channels", F.prelu, {"input": draw(2, 3, 4), "weight": draw(3)}, {}, ["input", "weight"])


def operations():
    x = draw(4, 9)
    for dim, largest in [(0, True), (1, False), (-1, True)]:
        op("topk", f"{dim}_{largest}", torch.topk, {"input": x}, {"k": 3, "dim": dim, "largest": largest}, ["input"])
    for d in [-2, 1]:
        op("tril", f"{d}", torch.tril, {"input": draw(2, 4, 6)}, {"diagonal": d}, ["input"])
        op("triu", f"{d}", torch.triu, {"input": draw(2, 4, 6)}, {"diagonal": d}, ["input"])
    op("cumsum", "last", torch.cumsum, {"input": draw(3, 1, 5)}, {"dim": -1}, ["input"])
    sums = {"ij,jk->ki": [(3, 4), (4, 5)], "bqhd,bkhd->bhqk": [(2, 3, 2, 4), (2, 5, 2, 4)], "i,j": [(3,), (4,)],
            "ij,jk,kl->il": [(2, 3), (3, 4), (4, 2)], "cab->b": [(2, 3, 4)], "ba": [(2, 3)]}
    for i, (equation, shapes) in enumerate(sums.items()):
        names = [str(n) for n in range(len(shapes))]
        op("einsum", str(i), lambda equation, **x: torch.einsum(equation, *x.values()),
           {n: draw(*shape) for n, shape in zip(names, shapes)}, {"equation": equation}, names)


def images():
    x = draw(2, 4, 5, 6)
    for i, attrs in enumerate([{"stride": [2, 1], "padding": [1, 2], "output_padding": [1, 0], "dilation": [1, 2]},
                               {"groups": 2, "stride": [2, 2]}]):
        w, b = draw(4, 6 // attrs.get("groups", 1), 3, 2), draw(6)
        op("conv_transpose2d", str(i), F.conv_transpose2d, {"input": x, "weight": w, "bias": b}, attrs, ["input", "weight", "bias"], 1e-4, 5e-4)
    line = {"input": draw(2, 4, 9), "weight": draw(4, 3, 4)}
    op("conv_transpose1d", "0", F.conv_transpose1d, line, {"stride": [3], "padding": [1], "output_padding": [2]}, list(line), 1e-4, 5e-4)
    line = {"input": draw(2, 4, 9), "weight": draw(6, 2, 3), "bias": draw(6)}
    op("conv1d", "0", F.conv1d, line, {"stride": [2], "padding": [2], "dilation": [2], "groups": 2}, list(line), 1e-4, 5e-4)
    cases = [{"size": [7, 13]}, {"size": [3, 2]}, {"scale_factor": [2.0, 1.7]}, {"size": [10, 12], "mode": "bilinear"},
             {"scale_factor": [2.0, 1.7], "mode": "bilinear"}, {"size": [3, 11], "mode": "bilinear", "align_corners": True},
             {"size": [2, 3], "mode": "bilinear"}]
    for i, attrs in enumerate(cases):
        op("interpolate", str(i), F.interpolate, {"input": draw(1, 2, 5, 6)}, attrs, ["input"])


def recurrent():
    for name, cls in [("rnn", torch.nn.RNN), ("lstm", torch.nn.LSTM), ("gru", torch.nn.GRU)]:
        for case, hidden, attrs in [("two_ways", 5, {"num_layers": 2, "bidirectional": True}), ("lengths", 4, {"bidirectional": True}),
                                    ("no_bias", 3, {})]:
            layer = cls(3, hidden, batch_first=True, bias=case != "no_bias", **attrs).double()
            weights = {k: v.detach().float().double() for k, v in layer.named_parameters()}
            states = attrs.get("num_layers", 1) * (2 if "bidirectional" in attrs else 1)
            inputs = {"input": draw(3, 4, 3), "h_0": draw(states, 3, hidden), **weights}
            if name == "lstm":
                inputs["c_0"] = draw(states, 3, hidden)
            grads = list(inputs)
            lengths = torch.tensor([4, 1, 3])
            if case == "lengths":
                inputs["lengths"] = lengths

            def run(input, h_0, c_0=None, lengths=None, batch_first=True, num_layers=1, bidirectional=False, **weights):
                first = (h_0, c_0) if c_0 is not None else h_0
                if lengths is not None:
                    input = torch.nn.utils.rnn.pack_padded_sequence(input, lengths, batch_first=True, enforce_sorted=False)
                out, last = torch.func.functional_call(layer, weights, (input, first))
                if lengths is not None:
                    out = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True)[0]
                return (out, *last) if c_0 is not None else (out, last)

            op(f"{name}_states", case, run, inputs, {"batch_first": True, **attrs}, grads, 1e-4, 2e-4)



def transformers():
    def of(layer):
        """A layer's weights, none of which is 0 or 1, as float32 holds them."""
        return {k: (v.detach() + 0.1 * draw(*v.shape)).float().double() for k, v in layer.named_parameters()}

    def causal(rows):
        return torch.nn.Transformer.generate_square_subsequent_mask(rows, dtype=torch.double)

    attention = torch.nn.MultiheadAttention(12, 3, batch_first=True).double()
    weights = of(attention)
    inputs = {"query": draw(2, 4, 12), "key": draw(2, 5, 12), "value": draw(2, 5, 12), **weights}
    run = lambda query, key, value, num_heads, **w: torch.func.functional_call(attention, w, (query, key, value))[0]
    op("multihead_attention", "crossed", run, inputs, {"num_heads": 3}, list(inputs))
    inputs = {"query": draw(2, 5, 12), **weights}
    hidden = torch.zeros(2, 5, dtype=torch.double)
    hidden[0, 3:] = float("-inf")
    inputs["key_padding_mask"] = hidden
    run = lambda query, key_padding_mask, num_heads, **w: torch.func.functional_call(
        attention, w, (query, query, query), {"key_padding_mask": key_padding_mask})[0]
    op("multihead_attention", "padded", run, inputs, {"num_heads": 3}, ["query", *weights])
    for name, attrs in [("after", {}), ("before", {"norm_first": True, "activation": "gelu"})]:
        kinds = {"dropout": 0.0, "batch_first": True, "dim_feedforward": 10, **attrs}
        layer = torch.nn.TransformerEncoderLayer(8, 2, **kinds).double()
        inputs = {"src": draw(2, 5, 8), **of(layer)}
        run = lambda src, nhead, norm_first=False, activation="relu", **w: torch.func.functional_call(
            layer, w, (src,), {"src_mask": causal(5), "is_causal": True})
        op("transformer_encoder_layer", name, run, inputs, {"nhead": 2, **attrs}, list(inputs))
        layer = torch.nn.TransformerDecoderLayer(8, 2, **kinds).double()
        inputs = {"tgt": draw(2, 5, 8), "memory": draw(2, 3, 8), **of(layer)}
        run = lambda tgt, memory, nhead, norm_first=False, activation="relu", **w: torch.func.functional_call(
            layer, w, (tgt, memory), {"tgt_mask": causal(5), "tgt_is_causal": True})
        op("transformer_decoder_layer", name, run, inputs, {"nhead": 2, **attrs}, list(inputs))


def layers():
    for i, size in enumerate([[1, 1], [2, 3], [5, 7]]):
        op("adaptive_max_pool2d", str(i), F.adaptive_max_pool2d, {"input": draw(2, 3, 5, 7)}, {"output_size": size}, ["input"])
    op("pixel_shuffle", "0", F.pixel_shuffle, {"input": draw(2, 12, 3, 2)}, {"upscale_factor": 2}, ["input"])
    for i, (shape, weight, attrs) in enumerate([((2, 8, 6, 5), (8, 1, 3, 3), {"padding": [1, 1], "groups": 8}),
                                                ((2, 3, 7, 6), (6, 1, 3, 2), {"stride": [2, 1], "groups": 3}),
                                                ((1, 4, 9, 9), (4, 1, 5, 5), {"padding": [4, 4], "dilation": [2, 2], "groups": 4})]):
        inputs = {"input": draw(*shape), "weight": draw(*weight), "bias": draw(weight[0])}
        op("conv2d", f"depthwise_{i}", F.conv2d, inputs, attrs, list(inputs), 1e-4, 5e-4)


def stepped(optimizer, param, grads):
    after = []
    for grad in grads:
        param.grad = grad.clone()
        optimizer.step()
        after.append(param.detach().clone())
    return torch.stack(after)


def sums():
    sums = {"...ij,...jk->...ik": [(2, 3, 4), (2, 4, 5)], "ii->i": [(4, 4)], "ii": [(4, 4)], "b...,...": [(2, 3, 4), (3, 4)],
            "aba->b": [(3, 4, 3)], "...a->a...": [(2, 3, 4)]}
    for i, (equation, shapes) in enumerate(sums.items()):
        names = [str(n) for n in range(len(shapes))]
        op("einsum", f"dots_{i}", lambda equation, **x: torch.einsum(equation, *x.values()),
           {n: draw(*shape) for n, shape in zip(names, shapes)}, {"equation": equation}, names)
    op("diagonal", "0", torch.diagonal, {"input": draw(3, 4, 5)}, {"dim1": 0, "dim2": 2}, ["input"])
    op("diagonal", "1", torch.diagonal, {"input": draw(4, 3)}, {}, ["input"])
    for name, cls in [("rnn", torch.nn.RNN), ("lstm", torch.nn.LSTM), ("gru", torch.nn.GRU)]:
        layer = cls(3, 5, batch_first=True, num_layers=2, bidirectional=True).double()
        weights = {k: v.detach().float().double() for k, v in layer.named_parameters()}
        inputs = {"input": draw(4, 5, 3), "h_0": draw(4, 4, 5), **weights}
        if name == "lstm":
            inputs["c_0"] = draw(4, 4, 5)
        grads = list(inputs)
        inputs["lengths"] = torch.tensor([5, 2, 1, 4])

        def run(input, h_0, lengths, c_0=None, batch_first=True, num_layers=2, bidirectional=True, **weights):
            first = (h_0, c_0) if c_0 is not None else h_0
            input = torch.nn.utils.rnn.pack_padded_sequence(input, lengths, batch_first=True, enforce_sorted=False)
            out, last = torch.func.functional_call(layer, weights, (input, first))
            out = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True)[0]
            return (out, *last) if c_0 is not None else (out, last)

        attrs = {"batch_first": True, "num_layers": 2, "bidirectional": True}
        op(f"{name}_states", "deep_lengths", run, inputs, attrs, grads, 1e-4, 2e-4)


def options():
    made = {
        "sgd": (torch.optim.SGD, [
            ("dampening", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
            ("maximize", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
        ]),
        "adam": (torch.optim.Adam, [("maximize", {"lr": 0.1, "weight_decay": 0.1, "maximize": True})]),
        "adamw": (torch.optim.AdamW, [("maximize", {"lr": 0.1, "maximize": True})]),
        "rmsprop": (torch.optim.RMSprop, [("maximize", {"lr": 0.1, "momentum": 0.5, "maximize": True})]),
        "adagrad": (torch.optim.Adagrad, [("initial", {"lr": 0.1, "initial_accumulator_value": 0.7})]),
    }
    for name, (cls, cases) in made.items():
        for case, attrs in cases:
            start, grads = draw(3, 4), draw(12, 3, 4)
            param = torch.nn.Parameter(start.clone())
            out = stepped(cls([param], **attrs), param, grads)
            write(f"optim_{name}", case, f"optim:{name}", attrs, {"in.param": start, "in.grads": grads, "out": out})
    for case, cls, attrs, cycle in [("sgd", torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, {}),
                                    ("adamw", torch.optim.AdamW, {}, {"three_phase": True}),
                                    ("rmsprop", torch.optim.RMSprop, {"momentum": 0.5}, {})]:
        start, grads, momenta = draw(3, 4), draw(16, 3, 4), []
        param = torch.nn.Parameter(start.clone())
        optimizer = cls([param], lr=0.1, **attrs)
        group, after = optimizer.param_groups[0], []
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=16, **cycle)
        for step, grad in enumerate(grads):
            momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
            param.grad = grad.clone()
            optimizer.step()
            after.append(param.detach().clone())
            if step < 15:
                scheduler.step()
        tensors = {"in.param": start, "in.grads": grads, "out.0": torch.stack(after), "out.1": torch.tensor(momenta).double()}
        write("one_cycle", case, "one_cycle", {"optimizer": case, "max_lr": 0.2, **attrs, **cycle}, tensors)


def masks():
    rows = {"query": draw(2, 3, 4, 8), "key": draw(2, 3, 5, 8), "value": draw(2, 3, 5, 8)}
    padded = torch.zeros(2, 1, 1, 5, dtype=torch.double)
    padded[0, ..., 3:] = float("-inf")
    added = draw(3, 4, 5)
    added[1, 2, :3] = float("-inf")
    added[2, 1] = float("-inf")
    kind, function = "scaled_dot_product_attention", F.scaled_dot_product_attention
    op(kind, "padded", function, {**rows, "attn_mask": padded}, {}, list(rows))
    op(kind, "added_and_a_row_that_sees_nothing", function, {**rows, "attn_mask": added}, {}, list(rows))
    learned = {**rows, "attn_mask": draw(4, 5)}
    op(kind, "learned", function, learned, {"scale": 0.5}, list(learned))
    odd = {"query": draw(2, 6, 7), "key": draw(2, 6, 7), "value": draw(2, 6, 7)}
    op(kind, "odd_heads", function, odd, {"is_causal": True}, list(odd))


def functions():
    wide = draw(3, 7)
    unit = draw(3, 7, low=-0.9, high=0.9)
    above = draw(3, 7, low=1.1, high=4)
    positive = draw(3, 7, low=0.1, high=4)
    for name in ["expm1", "atan", "sinh", "cosh", "asinh", "sign", "round", "floor", "ceil", "trunc", "frac", "tan"]:
        op(name, "0", getattr(torch, name), {"input": wide}, {}, ["input"])
    for name in ["asin", "acos", "atanh", "erfinv", "log1p"]:
        op(name, "0", getattr(torch, name), {"input": unit}, {}, ["input"])
    op("acosh", "0", torch.acosh, {"input": above}, {}, ["input"])
    for name in ["log2", "log10"]:
        op(name, "0", getattr(torch, name), {"input": positive}, {}, ["input"])
    odd = torch.tensor([0.0, float("nan"), float("inf"), -float("inf"), 2.5, -0.5, 0.5, 1.5]).double()
    for name in ["isnan", "isinf", "isfinite", "logical_not"]:
        op(name, "odd", lambda input, name=name: getattr(torch, name)(input).double(), {"input": odd}, {})
    op("sign", "odd", torch.sign, {"input": odd}, {})
    op("round", "odd", torch.round, {"input": odd}, {})
    op("nan_to_num", "odd", torch.nan_to_num, {"input": odd}, {"nan": 0.5, "posinf": 9.0, "neginf": -9.0}, ["input"])
    pair = {"input": torch.tensor([7.0, -7.0, 7.0, -7.0, 5.5, -5.0]).double(),
            "other": torch.tensor([3.0, 3.0, -3.0, -3.0, 0.7, float("inf")]).double()}
    for name in ["remainder", "fmod", "floor_divide", "atan2"]:
        op(name, "signs", getattr(torch, name), pair, {})
        op(name, "any", getattr(torch, name), {"input": draw(4, 5), "other": draw(5, low=0.3, high=2)}, {},
           ["input", "other"] if name != "floor_divide" else [])
    for mode in ["floor", "trunc"]:
        op("div", f"rounding_{mode}", torch.div, pair, {"rounding_mode": mode})
    for name in ["logical_and", "logical_or", "logical_xor"]:
        op(name, "0", lambda input, other, name=name: getattr(torch, name)(input, other).double(),
           {"input": torch.tensor([0.0, 0.0, 1.0, float("nan")]).double(), "other": torch.tensor([0.0, 2.0, 0.0, -1.0]).double()}, {})


def order():
    x = draw(4, 6)
    ties = torch.tensor([[1.0, 2.0, 1.0, 2.0, 0.0], [float("nan"), 1.0, 3.0, float("nan"), 2.0]]).double()
    for dim, descending in [(0, False), (1, True), (-1, False)]:
        attrs = {"dim": dim, "descending": descending}
        op("sort", f"{dim}_{descending}", torch.sort, {"input": x}, attrs, ["input"])
        op("argsort", f"{dim}_{descending}", torch.argsort, {"input": x}, attrs)
    op("sort", "ties", lambda input, **a: torch.sort(input, stable=True, **a), {"input": ties}, {"dim": 1})
    for name, f in [("max_dim", torch.max), ("min_dim", torch.min), ("median_dim", torch.median)]:
        op(name, "0", f, {"input": x}, {"dim": 1}, ["input"])
        op(name, "keep", f, {"input": x}, {"dim": 0, "keepdim": True}, ["input"])
        op(name, "ties", f, {"input": ties}, {"dim": 1}) if name != "median_dim" else None
    op("median", "0", torch.median, {"input": draw(4, 6)}, {}, ["input"])
    op("kthvalue", "0", torch.kthvalue, {"input": x}, {"k": 2, "dim": 1, "keepdim": True}, ["input"])
    op("quantile", "0", torch.quantile, {"input": x}, {"q": 0.3, "dim": 1}, ["input"])
    op("argmin", "0", torch.argmin, {"input": x}, {"dim": 1})
    op("argmin", "ties", torch.argmin, {"input": ties}, {"dim": 1, "keepdim": True})
    for name in ["any", "all"]:
        op(name, "0", lambda input, dim, keepdim=False, name=name: getattr(torch, name)(input != 0, dim=dim, keepdim=keepdim).double(),
           {"input": torch.tensor([[0.0, 1.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]).double()}, {"dim": 1})
    op("count_nonzero", "0", lambda input, dim: torch.count_nonzero(input, dim=dim).double(), {"input": (x > 0).double()}, {"dim": 1})
    for name in ["std"]:
        op(name, "0", torch.std, {"input": x}, {"dim": 1, "correction": 0, "keepdim": True}, ["input"])
        op(name, "all", torch.std, {"input": x}, {}, ["input"])
    zeros = torch.tensor([[2.0, 0.0, 3.0, -1.5], [0.0, 2.0, 0.0, 4.0], [1.0, -2.0, 0.5, 3.0]]).double()
    for dim in [0, 1]:
        op("cumprod", f"{dim}", torch.cumprod, {"input": zeros}, {"dim": dim}, ["input"])
        op("prod", f"{dim}", torch.prod, {"input": zeros}, {"dim": dim, "keepdim": dim == 0}, ["input"])
        op("cummax", f"{dim}", torch.cummax, {"input": x}, {"dim": dim}, ["input"])
        op("cummin", f"{dim}", torch.cummin, {"input": ties}, {"dim": dim})
    op("prod", "all", torch.prod, {"input": draw(2, 3)}, {}, ["input"])


def places():
    x = draw(4, 5)
    index = torch.tensor([[0, 3, 1, 2, 0], [2, 1, 3, 0, 1]])
    op("scatter", "0", lambda input, index, src, dim: torch.scatter(input, dim, index, src),
       {"input": x, "index": index, "src": draw(2, 5)}, {"dim": 0}, ["input", "src"])
    again = torch.tensor([[0, 1, 0, 0, 4], [2, 2, 2, 0, 1], [3, 3, 0, 1, 1]])
    op("scatter_add", "0", lambda input, index, src, dim: torch.scatter_add(input, dim, index, src),
       {"input": x, "index": again, "src": draw(3, 5)}, {"dim": 1}, ["input", "src"])
    for reduce in ["sum", "prod", "mean", "amax", "amin"]:
        for include in [True, False]:
            op("scatter_reduce", f"{reduce}_{include}",
               lambda input, index, src, dim, reduce, include_self: torch.scatter_reduce(input, dim, index, src, reduce, include_self=include_self),
               {"input": x, "index": again, "src": draw(3, 5)}, {"dim": 1, "reduce": reduce, "include_self": include}, ["input", "src"])
    rows = torch.tensor([3, 0, 3])
    op("index_add", "0", lambda input, index, source, dim: torch.index_add(input, dim, index, source),
       {"input": x, "index": rows, "source": draw(3, 5)}, {"dim": 0}, ["input", "source"])
    op("index_copy", "0", lambda input, index, source, dim: torch.index_copy(input, dim, index, source),
       {"input": x, "index": torch.tensor([4, 1]), "source": draw(4, 2)}, {"dim": 1}, ["input", "source"])
    op("index_fill", "0", lambda input, index, dim, value: torch.index_fill(input, dim, index, value),
       {"input": x, "index": rows}, {"dim": 0, "value": 0.5}, ["input"])
    for accumulate in [True, False]:
        op("index_put", f"{accumulate}",
           lambda input, values, accumulate, **at: torch.index_put(input, tuple(at.values()), values, accumulate),
           {"input": draw(4, 3, 2), "values": draw(3, 2), "0": torch.tensor([3, 0, -1] if accumulate else [3, 0, 1]),
            "1": torch.tensor([2, 1, 2])}, {"accumulate": accumulate}, ["input", "values"])
    op("repeat", "0", lambda input, repeats: input.repeat(*repeats), {"input": x}, {"repeats": [2, 1, 3]}, ["input"])
    op("tile", "0", lambda input, dims: torch.tile(input, dims), {"input": x}, {"dims": [2]}, ["input"])
    op("repeat_interleave", "0", torch.repeat_interleave, {"input": x}, {"repeats": 3, "dim": 1}, ["input"])
    op("roll", "0", torch.roll, {"input": x}, {"shifts": [2, -1], "dims": [0, 1]}, ["input"])
    op("movedim", "0", torch.movedim, {"input": draw(2, 3, 4)}, {"source": [0, 1], "destination": [-1, 0]}, ["input"])
    op("unbind", "0", torch.unbind, {"input": draw(3, 2)}, {"dim": 1}, ["input"])


def made_up():
    op("outer", "0", torch.outer, {"input": draw(3), "vec2": draw(4)}, {}, ["input", "vec2"])
    three = {"input": draw(5), "mat1": draw(4, 3), "mat2": draw(3, 5)}
    op("addmm", "0", torch.addmm, three, {"beta": 0.5, "alpha": 2.0}, list(three))
    three = {"input": draw(2, 4, 5), "batch1": draw(2, 4, 3), "batch2": draw(2, 3, 5)}
    op("baddbmm", "0", torch.baddbmm, three, {"beta": 0.5}, list(three))
    two = {"input": draw(4, 5), "end": draw(5)}
    for weight in [0.3, 0.8]:
        op("lerp", f"{weight}", torch.lerp, two, {"weight": weight}, list(two))
    three = {"input": draw(4, 5), "tensor1": draw(5), "tensor2": draw(4, 1, low=0.5, high=2)}
    for name in ["addcmul", "addcdiv"]:
        op(name, "0", getattr(torch, name), three, {"value": -0.7}, list(three))
    bounds = {"input": draw(4, 5), "min": draw(5, low=-1, high=-0.5), "max": draw(4, 1, low=0.5, high=1)}
    op("clamp", "tensors", lambda input, min, max: torch.clamp(input, min, max), bounds, {}, list(bounds))
    x = draw(4, 5)
    for p in [0.0, 1.0, 3.0, 1.5]:
        op("norm", f"order_{p}", lambda input, p, dim: torch.linalg.vector_norm(input, p, dim), {"input": x}, {"p": p, "dim": [1]}, ["input"] if p else [])
    op("normalize", "0", F.normalize, {"input": x}, {"dim": 1}, ["input"])
    rows = {"input": draw(2, 4, 3), "other": draw(2, 5, 3)}
    for p in [1.0, 2.0, 3.0]:
        op("cdist", f"{p}", lambda input, other, p: torch.cdist(input, other, p), rows, {"p": p}, list(rows))
    two = {"input": draw(2, 3, 4), "other": draw(3, 4, 2)}
    op("tensordot", "0", lambda input, other, dims: torch.tensordot(input, other, dims), two, {"dims": 2}, list(two))
    two = {"input": draw(2, 3), "other": draw(4)}
    op("kron", "0", torch.kron, two, {}, list(two))
    op("trace", "0", torch.trace, {"input": draw(3, 4)}, {}, ["input"])
    op("softplus", "threshold", F.softplus, {"input": draw(4, 5, low=-4, high=4)}, {"beta": 2.0, "threshold": 3.0}, ["input"])
    for offset in [-1, 2]:
        op("diagonal", f"offset_{offset}", torch.diagonal, {"input": x}, {"offset": offset}, ["input"])
    op("flatten", "middle", torch.flatten, {"input": draw(2, 3, 2, 2)}, {"start_dim": 1, "end_dim": 2}, ["input"])
    op("squeeze", "all", torch.squeeze, {"input": draw(1, 3, 1, 2)}, {}, ["input"])



def composed():
    two = {"input": draw(4, 5), "other": draw(5)}
    for name in ["logaddexp", "hypot", "fmax", "fmin"]:
        op(name, "0", getattr(torch, name), two, {}, list(two))
    odd = {"input": torch.tensor([float("nan"), 1.0, 2.0, float("inf"), 0.0, 0.0]).double(),
           "other": torch.tensor([1.0, float("nan"), 2.0, float("inf"), 0.0, 3.0]).double()}
    for name in ["logaddexp", "fmax", "fmin", "xlogy"]:
        op(name, "odd", getattr(torch, name), odd, {})
    op("isclose", "odd", lambda input, other: torch.isclose(input, other).double(), odd, {})
    positive = {"input": draw(4, 5), "other": draw(4, 5, low=0.2, high=3)}
    op("xlogy", "0", torch.xlogy, positive, {}, list(positive))
    unit = draw(4, 5, low=0.05, high=0.95)
    op("logit", "0", torch.logit, {"input": unit}, {}, ["input"])
    op("logit", "eps", torch.logit, {"input": unit}, {"eps": 0.3}, ["input"])
    x = draw(4, 5)
    op("sinc", "0", torch.sinc, {"input": torch.cat([x, torch.zeros(1, 5).double()])}, {}, ["input"])
    op("diff", "0", torch.diff, {"input": x}, {"dim": 0}, ["input"])
    op("dist", "0", torch.dist, two, {"p": 3.0}, list(two))
    holes = torch.where(x > 1, torch.full_like(x, float("nan")), x)
    for name in ["nansum", "nanmean"]:
        op(name, "0", getattr(torch, name), {"input": holes}, {"dim": [1], "keepdim": True})
    op("aminmax", "0", torch.aminmax, {"input": x}, {"dim": 1}, ["input"])
    op("diag_embed", "0", torch.diag_embed, {"input": x}, {}, ["input"])
    for k in [1, 2, -1]:
        op("rot90", f"{k}", torch.rot90, {"input": x}, {"k": k, "dims": [0, 1]}, ["input"])
    op("take", "0", torch.take, {"input": x, "index": torch.tensor([[3, 19], [0, 3]])}, {}, ["input"])
    op("take_along_dim", "0", lambda input, indices, dim: torch.take_along_dim(input, indices, dim),
       {"input": x, "indices": torch.tensor([[1, 0, 3]])}, {"dim": 1}, ["input"])
    op("tensor_split", "0", lambda input, sections, dim: torch.tensor_split(input, sections, dim), {"input": x}, {"sections": 3, "dim": 1}, ["input"])
    op("unflatten", "0", torch.unflatten, {"input": draw(2, 6)}, {"dim": 1, "sizes": [2, -1]}, ["input"])
    three = {"input": draw(4, 3), "other": draw(4, 3)}
    op("cross", "0", torch.linalg.cross, three, {"dim": -1}, list(three))
    op("cov", "0", lambda input, correction: torch.cov(input, correction=correction), {"input": x}, {"correction": 1}, ["input"])
    op("channel_shuffle", "0", F.channel_shuffle, {"input": draw(2, 6, 2, 3)}, {"groups": 3}, ["input"])



def newer():
    x, labels = draw(4, 5), torch.tensor([1, 0, 4, 2])
    op("multi_margin_loss", "0", F.multi_margin_loss, {"input": x, "target": labels}, {}, ["input"])
    op("multi_margin_loss", "1", F.multi_margin_loss, {"input": x, "target": labels, "weight": draw(5, low=0.5, high=2)},
       {"p": 2, "margin": 0.7, "reduction": "sum"}, ["input"])
    several = torch.tensor([[3, 0, -1, 1, 1], [-1, 2, 2, 2, 2], [4, 1, 2, 0, 3], [2, -1, -1, -1, -1]])
    for reduction in ["mean", "none"]:
        op("multilabel_margin_loss", reduction, F.multilabel_margin_loss, {"input": x, "target": several}, {"reduction": reduction}, ["input"])
        op("multilabel_soft_margin_loss", reduction, F.multilabel_soft_margin_loss,
           {"input": x, "target": (draw(4, 5) > 0).double(), "weight": draw(5, low=0.5, high=2)}, {"reduction": reduction}, ["input"])
    logs = F.log_softmax(draw(7, 3, 5), -1).float().double()
    spoken = {"log_probs": logs, "targets": torch.tensor([[1, 1, 2], [3, 4, 1], [2, 0, 0]]),
              "input_lengths": torch.tensor([7, 5, 6]), "target_lengths": torch.tensor([3, 2, 1])}
    for reduction in ["mean", "sum", "none"]:
        op("ctc_loss", reduction, F.ctc_loss, spoken, {"reduction": reduction}, ["log_probs"])
    op("ctc_loss", "blank", F.ctc_loss, {**spoken, "targets": torch.tensor([[1, 1, 2], [3, 0, 1], [2, 0, 0]])}, {"blank": 4}, ["log_probs"])
    short = {**spoken, "input_lengths": torch.tensor([7, 1, 6])}
    op("ctc_loss", "short", F.ctc_loss, short, {"reduction": "none"})
    # The labels of all sequences behind one another; more of them than steps.
    behind = {**spoken, "targets": torch.tensor([1, 1, 2, 3, 4, 2])}
    op("ctc_loss", "behind", F.ctc_loss, behind, {"reduction": "none"}, ["log_probs"])
    many = {**spoken, "targets": torch.tensor([1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 2, 1, 3]), "target_lengths": torch.tensor([9, 2, 2])}
    op("ctc_loss", "many", F.ctc_loss, many, {"reduction": "none", "zero_infinity": True}, ["log_probs"])
    for name, cls in [("rnn_cell", torch.nn.RNNCell), ("gru_cell", torch.nn.GRUCell), ("lstm_cell", torch.nn.LSTMCell)]:
        cell = cls(3, 4).double()
        weights = {k: v.detach().float().double() for k, v in cell.named_parameters()}
        inputs = {"input": draw(2, 3), "hx": draw(2, 4), **weights}
        if name == "lstm_cell":
            inputs["cx"] = draw(2, 4)

        def run(input, hx, cx=None, cell=cell, **weights):
            return torch.func.functional_call(cell, weights, (input, hx if cx is None else (hx, cx)))

        op(name, "0", run, inputs, {}, list(inputs))
    made = {
        "nadam": (torch.optim.NAdam, [("plain", {}), ("decay", {"lr": 0.1, "betas": [0.6, 0.7], "weight_decay": 0.1, "momentum_decay": 0.3})]),
        "radam": (torch.optim.RAdam, [("plain", {"lr": 0.1}), ("decay", {"lr": 0.1, "betas": [0.6, 0.9], "weight_decay": 0.1})]),
        "adamax": (torch.optim.Adamax, [("plain", {}), ("decay", {"lr": 0.1, "betas": [0.6, 0.7], "weight_decay": 0.1, "maximize": True})]),
    }
    for name, (cls, cases) in made.items():
        for case, attrs in cases:
            start, grads = draw(3, 4), draw(12, 3, 4)
            param = torch.nn.Parameter(start.clone())
            out = stepped(cls([param], **attrs), param, grads)
            write(f"optim_{name}", case, f"optim:{name}", attrs, {"in.param": start, "in.grads": grads, "out": out})


def modes():
    x = draw(1, 2, 5, 4)
    for mode in ["reflect", "replicate", "circular"]:
        op("pad", mode, lambda input, pad, mode: F.pad(input, pad, mode), {"input": x}, {"pad": [2, 1, 3, 0], "mode": mode}, ["input"])
    op("pad", "negative", F.pad, {"input": x}, {"pad": [-1, 2, 1, -2], "value": 0.5}, ["input"])
    for i, attrs in enumerate([{"ceil_mode": True, "stride": [2, 3]}, {"count_include_pad": False, "padding": [1, 1]},
                               {"ceil_mode": True, "count_include_pad": False, "padding": [1, 0], "stride": [3, 2]},
                               {"divisor_override": 3}, {"ceil_mode": True, "padding": [1, 1]}]):
        op("avg_pool2d", f"modes_{i}", F.avg_pool2d, {"input": draw(2, 2, 7, 8)}, {"kernel_size": [3, 2], **attrs}, ["input"])
    op("max_pool2d", "ceil", F.max_pool2d, {"input": draw(2, 2, 8, 7)}, {"kernel_size": [3, 2], "padding": [1, 0], "ceil_mode": True}, ["input"])
    op("max_pool2d_indices", "0", lambda input, **a: F.max_pool2d(input, return_indices=True, **a), {"input": draw(2, 2, 8, 7)},
       {"kernel_size": [3, 2], "padding": [1, 1], "stride": [2, 2], "dilation": [1, 2]}, ["input"])
    line = draw(2, 2, 8)
    op("max_pool1d", "ceil", F.max_pool1d, {"input": line}, {"kernel_size": 3, "ceil_mode": True}, ["input"])
    op("avg_pool1d", "modes", F.avg_pool1d, {"input": line}, {"kernel_size": 3, "ceil_mode": True, "padding": 1, "count_include_pad": False}, ["input"])
    cases = [{"mode": "nearest-exact", "size": [7, 3]}, {"mode": "area", "size": [2, 3]}, {"mode": "bicubic", "size": [8, 3]},
             {"mode": "bicubic", "size": [3, 9], "align_corners": True}, {"mode": "bilinear", "size": [2, 3], "antialias": True},
             {"mode": "bicubic", "size": [3, 7], "antialias": True}]
    for i, attrs in enumerate(cases):
        op("interpolate", f"modes_{i}", F.interpolate, {"input": x}, attrs, ["input"])
    columns = {"kernel_size": [2, 3], "dilation": [2, 1], "padding": [1, 0], "stride": [1, 2]}
    image = draw(2, 3, 6, 7)
    op("unfold", "0", F.unfold, {"input": image}, columns, ["input"])
    count = F.unfold(image, **columns).shape[2]
    op("fold", "0", F.fold, {"input": draw(2, 18, count)}, {"output_size": [6, 7], **columns}, ["input"])
    op("pixel_unshuffle", "0", F.pixel_unshuffle, {"input": draw(2, 3, 4, 6)}, {"downscale_factor": 2}, ["input"])
    grid = draw(2, 3, 4, 2, low=-1.3, high=1.3)
    for mode in ["bilinear", "nearest"]:
        for padding in ["zeros", "border", "reflection"]:
            for align in [True, False]:
                op("grid_sample", f"{mode}_{padding}_{align}", F.grid_sample, {"input": draw(2, 3, 5, 4), "grid": grid},
                   {"mode": mode, "padding_mode": padding, "align_corners": align}, ["input", "grid"] if mode == "bilinear" else ["input"])
    same = {"input": draw(2, 3, 6, 7), "weight": draw(4, 3, 2, 3), "bias": draw(4)}
    op("conv2d", "same", F.conv2d, same, {"padding": "same", "dilation": [3, 1]}, list(same), 1e-4, 5e-4)


def matrices():
    # PyTorch rounds to bfloat16 within; the crate does not.
    muon = importlib.import_module("torch.optim._muon")
    exec(inspect.getsource(muon._zeropower_via_newtonschulz).replace("torch.bfloat16", "grad.dtype"), vars(muon))
    for case, attrs in [("plain", {}), ("tall", {"lr": 0.1, "nesterov": False, "ns_steps": 3}),
                        ("adamw", {"lr": 0.05, "adjust_lr_fn": "match_rms_adamw", "momentum": 0.5}),
                        ("spectral", {"lr": 0.05, "adjust_lr_fn": "spectral_unclamped"})]:
        shape = (5, 3) if case == "tall" else (3, 4)
        start, grads = draw(*shape), draw(8, *shape)
        param = torch.nn.Parameter(start.clone())
        out = stepped(torch.optim.Muon([param], **attrs), param, grads)
        write("optim_muon", case, "optim:muon", attrs, {"in.param": start, "in.grads": grads, "out": out})


def volumes():
    for i, (shape, weight, attrs) in enumerate([
        ((2, 3, 5, 6, 4), (4, 3, 3, 2, 3), {"padding": [1, 0, 1]}), ((1, 4, 6, 5, 5), (6, 2, 2, 3, 2), {"stride": [2, 1, 2], "groups": 2}),
        ((2, 2, 7, 6, 5), (3, 2, 3, 2, 1), {"dilation": [2, 1, 1], "padding": [2, 1, 0], "stride": [2, 2, 1]}), ((2, 3, 4, 5, 5), (2, 3, 1, 3, 3), {}),
    ]):
        inputs = {"input": draw(*shape), "weight": draw(*weight), "bias": draw(weight[0])}
        op("conv3d", str(i), F.conv3d, inputs, attrs, list(inputs), 1e-4, 5e-4)
    for i, (shape, weight, attrs) in enumerate([
        ((2, 3, 3, 4, 3), (3, 2, 3, 2, 3), {"stride": [2, 1, 2], "padding": [1, 0, 1], "output_padding": [1, 0, 1]}),
        ((1, 4, 3, 3, 2), (4, 2, 2, 3, 2), {"groups": 2, "dilation": [2, 1, 1]}),
    ]):
        inputs = {"input": draw(*shape), "weight": draw(*weight), "bias": draw(weight[1] * attrs.get("groups", 1))}
        op("conv_transpose3d", str(i), F.conv_transpose3d, inputs, attrs, list(inputs), 1e-4, 5e-4)
    x = draw(2, 2, 7, 6, 5)
    for i, attrs in enumerate([{"kernel_size": 2}, {"kernel_size": [3, 2, 2], "stride": [2, 1, 2], "padding": [1, 0, 1]}, {"kernel_size": 3, "ceil_mode": True, "stride": 2}]):
        op("max_pool3d", str(i), F.max_pool3d, {"input": x}, attrs, ["input"])
        op("avg_pool3d", str(i), F.avg_pool3d, {"input": x}, attrs, ["input"])
    op("max_pool3d", "dilated", F.max_pool3d, {"input": x}, {"kernel_size": 2, "dilation": [3, 2, 1], "stride": 1}, ["input"])
    op("avg_pool3d", "counted", F.avg_pool3d, {"input": x}, {"kernel_size": [3, 2, 3], "padding": [1, 1, 1], "count_include_pad": False, "ceil_mode": True}, ["input"])
    op("adaptive_avg_pool3d", "0", F.adaptive_avg_pool3d, {"input": x}, {"output_size": [3, 2, 4]}, ["input"])
    op("adaptive_max_pool3d", "0", F.adaptive_max_pool3d, {"input": x}, {"output_size": [3, 2, 4]}, ["input"])


def wholes():
    two = {"input1": draw(2, 3, 4), "input2": draw(2, 3, 5), "weight": draw(6, 4, 5), "bias": draw(6)}
    op("bilinear", "0", F.bilinear, two, {}, list(two))
    for i, (shape, attrs) in enumerate([((2, 7, 3, 4), {"size": 3}), ((2, 5, 6), {"size": 4, "alpha": 0.5, "beta": 0.6, "k": 2.0})]):
        op("local_response_norm", str(i), F.local_response_norm, {"input": draw(*shape)}, attrs, ["input"])
    for i, dim in enumerate([0, 1, -1]):
        op("logcumsumexp", str(i), torch.logcumsumexp, {"input": draw(3, 7, 4, low=-30, high=30)}, {"dim": dim}, ["input"])
    table, square, flat = draw(6, 4), torch.tensor([[1, 3, 3], [0, 5, 1]]), torch.tensor([1, 3, 3, 0, 5, 1, 2])
    offsets, weights = torch.tensor([0, 3, 3, 5]), draw(7)
    for mode in ["sum", "mean", "max"]:
        op("embedding_bag", f"square_{mode}", lambda input, weight, **a: F.embedding_bag(input, weight, **a), {"input": square, "weight": table}, {"mode": mode}, ["weight"])
        op("embedding_bag", f"offsets_{mode}", lambda input, weight, offsets, **a: F.embedding_bag(input, weight, offsets, **a),
           {"input": flat, "weight": table, "offsets": offsets}, {"mode": mode, "padding_idx": 3}, ["weight"])
    op("embedding_bag", "weighted", lambda input, weight, offsets, per_sample_weights, **a: F.embedding_bag(input, weight, offsets, per_sample_weights=per_sample_weights, **a),
       {"input": flat, "weight": table, "offsets": offsets, "per_sample_weights": weights}, {"mode": "sum"}, ["weight", "per_sample_weights"])
    op("embedding_options", "counted", lambda input, weight, scale_grad_by_freq: F.embedding(input, weight, scale_grad_by_freq=scale_grad_by_freq),
       {"input": square, "weight": table}, {"scale_grad_by_freq": True}, ["weight"])
    op("embedding_options", "short", lambda input, weight, max_norm, shortened: F.embedding(input, weight.clone(), max_norm=max_norm),
       {"input": square, "weight": table}, {"max_norm": 1.5, "shortened": True})
    query, key, value = draw(2, 4, 5, 8), draw(2, 2, 5, 8), draw(2, 2, 5, 8)
    for causal in [False, True]:
        op("grouped_attention", str(causal), lambda query, key, value, is_causal: F.scaled_dot_product_attention(query, key, value, is_causal=is_causal, enable_gqa=True),
           {"query": query, "key": key, "value": value}, {"is_causal": causal}, ["query", "key", "value"])
    model = torch.nn.Transformer(8, 2, 2, 1, 10, 0.0, batch_first=True).double()
    given = {k: (v.detach() + 0.1 * draw(*v.shape)).float().double() for k, v in model.named_parameters()}
    mask = torch.nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.double)
    op("transformer", "0", lambda src, tgt, **w: torch.func.functional_call(model, w, (src, tgt), {"tgt_mask": mask, "tgt_is_causal": True}),
       {"src": draw(2, 5, 8), "tgt": draw(2, 4, 8), **given}, {}, ["src", "tgt", *given])
    for case, shape, attrs in [("matrix", (3, 4), {"lr": 0.1, "eps": [1e-7, 1e-3]}), ("deep", (2, 3, 4), {"weight_decay": 0.1, "beta2_decay": -0.5, "d": 2.0, "eps": [1e-6, 0.5]}),
                               ("vector", (5,), {"lr": 0.3, "eps": [1e-7, 1e-3]})]:
        start, grads = draw(*shape), draw(8, *shape)
        param = torch.nn.Parameter(start.clone())
        out = stepped(torch.optim.Adafactor([param], **{**attrs, "eps": tuple(attrs["eps"])}), param, grads)
        write("optim_adafactor", case, "optim:adafactor", attrs, {"in.param": start, "in.grads": grads, "out": out})
    for case, attrs, steps in [("plain", {"lr": 0.01, "max_iter": 4}, 4), ("wolfe", {"line_search_fn": "strong_wolfe", "max_iter": 4}, 3),
                               ("short", {"line_search_fn": "strong_wolfe", "max_iter": 3, "history_size": 2}, 4)]:
        start, scale = draw(3, low=-1, high=1), draw(2, low=1, high=4)
        param = torch.nn.Parameter(start.clone())
        optimizer, after = torch.optim.LBFGS([param], **attrs), []

        def closure():
            optimizer.zero_grad()
            loss = ((param[1:] - param[:-1] ** 2) ** 2 * scale).sum() + ((1 - param[:-1]) ** 2).sum()
            loss.backward()
            return loss

        for _ in range(steps):
            optimizer.step(closure)
            after.append(param.detach().clone())
        write("optim_lbfgs", case, "optim:lbfgs", {**attrs, "steps": steps}, {"in.param": start, "in.scale": scale, "out": torch.stack(after)}, 2e-3, 2e-4)


def rows():
    """Steps of which each moves the rows of a table that it takes, some of them several times."""
    made = {"sparse_adam": torch.optim.SparseAdam, "adagrad": torch.optim.Adagrad, "sgd": torch.optim.SGD}
    cases = [("sparse_adam", "plain", {"lr": 0.1}), ("sparse_adam", "betas", {"lr": 0.05, "betas": [0.5, 0.7], "eps": 1e-2}),
             ("sparse_adam", "maximize", {"lr": 0.1, "maximize": True}), ("sparse_adam", "padding", {"lr": 0.1, "padding_idx": 2}),
             ("adagrad", "plain", {"lr": 0.1}),
             ("adagrad", "decay", {"lr": 0.2, "lr_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-3}),
             ("sgd", "plain", {"lr": 0.1}), ("sgd", "maximize", {"lr": 0.1, "maximize": True}),
             ("sgd", "momentum", {"lr": 0.1, "momentum": 0.8}), ("sgd", "nesterov", {"lr": 0.1, "momentum": 0.8, "nesterov": True})]
    for width in [4, 3]:
        for name, case, attrs in cases:
            start, grads, ids = draw(6, width), draw(10, 5, width), torch.randint(0, 6, (10, 5))
            param, after = torch.nn.Parameter(start.clone()), []
            optimizer = made[name]([param], **{k: v for k, v in attrs.items() if k != "padding_idx"})
            for step, grad in zip(ids, grads):
                optimizer.zero_grad()
                (F.embedding(step, param, padding_idx=attrs.get("padding_idx"), sparse=True) * grad).sum().backward()
                optimizer.step()
                after.append(param.detach().clone())
            tensors = {"in.param": start, "in.ids": ids, "in.grads": grads, "out": torch.stack(after)}
            write("optim_rows", f"{name}_{case}_{width}", f"optim_rows:{name}", {**attrs, "optimizer": name}, tensors)


def pools():
    """What pools by norms and by chance, slices without repeats, slopes of values, clipping by other norms."""
    x = draw(2, 3, 8, 7)
    for p, attrs in [(1.0, {"kernel_size": [2, 3]}), (2.0, {"kernel_size": [3, 2], "stride": [2, 1]}), (3.0, {"kernel_size": [3, 3], "stride": [2, 2], "ceil_mode": True})]:
        op("lp_pool2d", f"{p}", F.lp_pool2d, {"input": x}, {"norm_type": p, **attrs}, ["input"])
    positive = draw(2, 3, 9, low=0.1, high=2)
    positive[0, 0, :3] = 0
    op("lp_pool2d", "one", F.lp_pool2d, {"input": x[0]}, {"norm_type": 2.0, "kernel_size": [2, 2]}, ["input"])
    op("lp_pool1d", "zeros", F.lp_pool1d, {"input": positive}, {"norm_type": 2.5, "kernel_size": 3}, ["input"])
    op("lp_pool1d", "stride", F.lp_pool1d, {"input": positive[:, :, 3:]}, {"norm_type": 1.5, "kernel_size": 3, "stride": 2, "ceil_mode": True}, ["input"])
    op("lp_pool3d", "stride", F.lp_pool3d, {"input": draw(1, 2, 5, 4, 6)}, {"norm_type": 2.0, "kernel_size": [2, 3, 2], "stride": [1, 1, 2]}, ["input"])

    def fractional(function):
        def with_places(input, samples, **attrs):
            return function(input, return_indices=True, _random_samples=samples, **attrs)
        return with_places

    for name, kernel, size in [("plain", [2, 2], [4, 3]), ("wide", [3, 2], [5, 6]), ("single", [2, 3], [1, 2])]:
        image = torch.randperm(2 * 3 * 9 * 8).reshape(2, 3, 9, 8).double() / 40
        op("fractional_max_pool2d", name, fractional(F.fractional_max_pool2d), {"input": image, "samples": torch.rand(2, 3, 2).double()},
           {"kernel_size": kernel, "output_size": size}, ["input"])
    volume = torch.randperm(2 * 2 * 6 * 5 * 7).reshape(2, 2, 6, 5, 7).double() / 40
    op("fractional_max_pool3d", "plain", fractional(F.fractional_max_pool3d), {"input": volume, "samples": torch.rand(2, 2, 3).double()},
       {"kernel_size": [2, 1, 3], "output_size": [4, 3, 2]}, ["input"])
    for name, size in [("images", [2, 1, 4, 5]), ("line", [2, 1, 1, 3]), ("volumes", [2, 1, 2, 3, 4])]:
        theta = draw(2, len(size) - 2, len(size) - 1)
        for corners in [False, True]:
            op("affine_grid", f"{name}_{corners}", F.affine_grid, {"theta": theta}, {"size": size, "align_corners": corners}, ["theta"])
    y = draw(6, 5)
    for order in [1, 2]:
        for dim in [0, -1]:
            along = lambda input, spacing, dim, edge_order: torch.gradient(input, spacing=spacing, dim=dim, edge_order=edge_order)[0]
            op("gradient", f"{order}_{dim}", along, {"input": y}, {"spacing": 0.5, "dim": dim, "edge_order": order}, ["input"])
        places = torch.tensor([-1.0, -0.5, 0.25, 1.0, 3.0, 3.5]).double()
        at = lambda input, spacing, dim, edge_order: torch.gradient(input, spacing=(spacing,), dim=dim, edge_order=edge_order)[0]
        op("gradient", f"places_{order}", at, {"input": y, "spacing": places}, {"dim": 0, "edge_order": order}, ["input"])
    op("gradient", "two", along, {"input": y[:2]}, {"spacing": 2.0, "dim": 0, "edge_order": 1}, ["input"])
    numbers = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.75, 3.0e38, -1.2e-38, 5.0, float("inf"), float("-inf"), float("nan")])
    write("frexp", "ends", "frexp", {}, {"in.input": numbers, "out.0": torch.frexp(numbers)[0], "out.1": torch.where(numbers.isfinite(), torch.frexp(numbers)[1], 0)})
    op("frexp", "plain", lambda input: torch.frexp(input), {"input": draw(3, 5, low=-9, high=9)}, {}, ["input"])
    op("tensordot", "dims", lambda input, other, dims: torch.tensordot(input, other, dims), {"input": draw(2, 3, 4), "other": draw(4, 5, 3)}, {"dims": [[1, 2], [2, 0]]}, ["input", "other"])
    rows = torch.randint(0, 2, (7, 2, 2))
    for dim in [0, 1, -1]:
        slices = rows if dim == 0 else rows.transpose(0, dim).contiguous()
        sorted_ = torch.unique(slices, dim=dim, return_inverse=True, return_counts=True)
        write("unique_dim", f"{dim}", "unique_dim", {"dim": dim}, {"in.input": slices.float(), "out.0": sorted_[0].float(), "out.1": sorted_[1], "out.2": sorted_[2]})
        runs = torch.unique_consecutive(slices, dim=dim, return_inverse=True, return_counts=True)
        write("unique_consecutive", f"dim_{dim}", "unique_consecutive", {"dim": dim, "return_inverse": True, "return_counts": True},
              {"in.input": slices.float(), "out.0": runs[0].float(), "out.1": runs[1], "out.2": runs[2]})
    numbers, weights = torch.randint(0, 6, (20,)), draw(20)
    op("bincount", "weights", lambda input, weights, minlength: torch.bincount(input, weights, minlength), {"input": numbers, "weights": weights}, {"minlength": 9})
    op("bincount", "plain", lambda input: torch.bincount(input), {"input": numbers}, {})
    for order in [1.0, 3.0, float("inf"), 0.5]:
        for most in [0.7, 1e3]:
            grads = [draw(3, 4), draw(5), draw(2, 2, 2)]
            params = [torch.nn.Parameter(torch.zeros_like(g)) for g in grads]
            for param, grad in zip(params, grads):
                param.grad = grad.clone()
            norm = torch.nn.utils.clip_grad_norm_(params, most, norm_type=order)
            tensors = {f"in.{i}": g for i, g in enumerate(grads)}
            tensors.update({f"out.{i}": p.grad for i, p in enumerate(params)}, norm=norm.reshape(1))
            write("clip_grad_norm", f"order_{order}_{most}", "clip_grad_norm", {"max_norm": most, "norm_type": "inf" if order == float("inf") else order}, tensors)
    table, ids = draw(6, 4), torch.tensor([[4, 1, 4], [0, 5, 1]])
    shortened = lambda input, weight, **attrs: F.embedding(input, weight.clone(), **attrs)
    op("embedding", "max_norm", shortened, {"input": ids, "weight": table}, {"max_norm": 1.5, "norm_type": 3.0})
    op("embedding", "by_frequency", F.embedding, {"input": ids, "weight": table}, {"scale_grad_by_freq": True, "padding_idx": 1}, ["weight"])


def stacks():
    """Tensors put together, bits and divisors, incomplete gamma functions, and the next number."""
    vector, matrix, scalar = draw(3), draw(2, 4), draw()
    for name, parts in [("mixed", [vector, matrix, scalar]), ("one", [vector])]:
        op("block_diag", name, lambda **parts: torch.block_diag(*parts.values()), {f"{i}": x for i, x in enumerate(parts)}, {},
           [f"{i}" for i in range(len(parts))])
    parts = {"0": draw(3, 1), "1": draw(2, 1, 4)}
    op("broadcast_tensors", "0", lambda **parts: torch.broadcast_tensors(*parts.values()), parts, {}, ["0", "1"])
    for name, function in [("tril_indices", torch.tril_indices), ("triu_indices", torch.triu_indices)]:
        for row, col, offset in [(4, 3, 0), (3, 5, 1), (5, 3, -2), (0, 3, 0)]:
            op(name, f"{row}_{col}_{offset}", lambda none, row, col, offset: function(row, col, offset), {"none": draw(0)},
               {"row": row, "col": col, "offset": offset})
    for attrs in [{}, {"N": 5}, {"N": 4, "increasing": True}, {"N": 1}]:
        op("vander", "_".join(map(str, attrs.values())) or "plain", lambda input, **attrs: torch.vander(input, **attrs),
           {"input": draw(4)}, attrs)
    two = {"input": torch.randint(-2000, 2000, (4, 5)), "other": torch.randint(-60, 60, (5,))}
    for name in ["bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "lcm"]:
        op(name, "0", getattr(torch, name), two, {})
    op("bitwise_not", "0", torch.bitwise_not, {"input": two["input"]}, {})
    moved = {"input": two["input"], "other": torch.randint(0, 12, (4, 1))}
    for name in ["bitwise_left_shift", "bitwise_right_shift"]:
        op(name, "0", getattr(torch, name), moved, {})
    def given(a, x):
        a, x = a.float().double(), x.float().double()
        return {"input": a, "other": x}
    spread = given(draw(40, low=0.05, high=4).exp(), draw(40, low=-3, high=4).exp())
    near = given(torch.linspace(1, 400, 40).double(), torch.linspace(1, 400, 40).double() * draw(40, low=0.6, high=1.4))
    small = given(draw(20, low=0.001, high=0.5), draw(20, low=0.001, high=1.5))
    inf, nan = float("inf"), float("nan")
    ends = given(torch.tensor([0.0, 0, 1, inf, inf, 1, -1, 1, nan, 1, 0]), torch.tensor([0.0, 1, 0, inf, 1, inf, 1, -1, 1, nan, inf]))
    for name in ["igamma", "igammac"]:
        for case, two in [("spread", spread), ("near", near), ("small", small)]:
            op(name, case, getattr(torch, name), two, {}, ["other"])
        op(name, "ends", getattr(torch, name), ends, {})
    numbers = torch.tensor([1.0, 1.0, -1.0, -1.0, 2.0, 3.0e38, inf, -inf, nan, 1.0, 5.0, 0.1])
    others = torch.tensor([2.0, 0.0, -2.0, 0.0, 2.0, inf, 0.0, 0.0, 1.0, nan, inf, 0.2])
    # A step of f32 is what this is about.
    write("nextafter", "ends", "nextafter", {}, {"in.input": numbers, "in.other": others, "out": torch.nextafter(numbers, others)}, 0.0, 0.0)
    for attrs in [{}, {"lower": 0.2, "upper": 0.5}]:
        op("rrelu", "own" if attrs else "plain", lambda input, **attrs: F.rrelu(input, training=False, **attrs), {"input": draw(4, 5)}, attrs, ["input"])


MAKES = [stacks, pools, transformers, recurrent, images, operations, activations, losses, optimizers, schedules, layers, options,
         sums, masks, functions, order, places, made_up, composed, newer, modes, matrices, volumes, wholes, rows]

if __name__ == "__main__":
    for make in MAKES:
        torch.manual_seed(0)
        make()
