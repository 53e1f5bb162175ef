"""Writes PyTorch's own module samples as cases: `python3 tests/golden/modules.py DIR [MODULE ..]`, with PyTorch.

They are what `torch.testing` draws to test `torch.nn` with (`module_db`), in training and in evaluation. A case is computed in
float64 from inputs that float32 holds, as those of `samples.py`. It has the constructor's arguments and those of the call,
parameters and buffers under their names in the `state_dict`, moved a little from where they begin, so that none is 0 or 1; the
output with the buffers after it, and the gradients of inputs and parameters. Arguments that no sample of PyTorch has are drawn
beside them.
"""

import collections
import inspect
import pathlib
import random
import sys
import warnings
import zlib

import torch
from torch.testing._internal.common_modules import FunctionInput, ModuleInput, module_db

from samples import LARGEST, MOST, Skip, gradients, near, plain, write

# Modules whose sizes come with the first input are the others from then on.
LEFT_OUT = ("nn.Lazy",)
UNSAID = ("dtype", "device", "inplace", "_weight", "_freeze", "sparse", "requires_grad")


def bound(function, given):
    """Arguments by name."""
    return inspect.signature(function).bind(*given.args, **given.kwargs).arguments


def more(cls, args, kwargs, *given):
    """A sample, whose inputs are drawn where a shape is told."""
    def drawn(value):
        if isinstance(value, list):
            return tuple(drawn(one) for one in value)
        return torch.randn(value, requires_grad=True) if isinstance(value, tuple) else value

    return ModuleInput(FunctionInput(*args, **kwargs), FunctionInput(*[drawn(value) for value in given]))


def beside(name):
    """Samples with arguments that PyTorch's own have not."""
    nn, modes = torch.nn, ("reflect", "replicate", "circular")
    if name == "nn.Conv1d":
        return [more(nn.Conv1d, (4, 6, 3), {"padding": 2, "padding_mode": m, "stride": 2}, (2, 4, 7)) for m in modes]
    if name == "nn.Conv2d":
        uneven = {"padding": "same", "dilation": (1, 2), "groups": 2}
        return [more(nn.Conv2d, (4, 6, (4, 2)), {"padding_mode": m, **uneven}, (2, 4, 6, 7)) for m in ("zeros", *modes)]
    if name == "nn.Conv3d":
        return [more(nn.Conv3d, (2, 3, 2), {"padding": "same", "padding_mode": m}, (1, 2, 4, 3, 5)) for m in modes]
    if name.startswith("nn.ConvTranspose"):
        d = int(name[-2])
        some = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "dilation": 2, "bias": False}
        return [more(getattr(nn, name[3:]), (4, 6, 3), some, (2, 4, 5, 3, 4)[: 2 + d])]
    if name in ("nn.RNN", "nn.GRU", "nn.LSTM"):
        def each(first, size):
            x, h, c = (2, 4, 3) if first else (4, 2, 3), (4, 2, size or 5), (4, 2, 5)
            some = {"input_size": 3, "hidden_size": 5, "num_layers": 2, "bidirectional": True, "batch_first": first}
            some |= {"proj_size": size} if size else {}
            return more(getattr(nn, name[3:]), (), some, x, [h, c] if name == "nn.LSTM" else h)
        return [each(first, size) for first in (True, False) for size in ((0, 2) if name == "nn.LSTM" else (0,))]
    if name == "nn.MultiheadAttention":
        def attention(first, **some):
            q, k, v = [(2, 3, 8), (2, 4, some.get("kdim", 8)), (2, 4, some.get("vdim", 8))]
            turned = [s if first else (s[1], s[0], s[2]) for s in (q, k, v)]
            return more(nn.MultiheadAttention, (8, 2), {"batch_first": first, **some}, *turned)
        both = {"add_bias_kv": True, "add_zero_attn": True}
        return [attention(f, **some) for f in (True, False) for some in ({"kdim": 3, "vdim": 5}, {"vdim": 5, "bias": False, **both}, both)]
    if name == "nn.Embedding":
        rows = torch.tensor([[0, 2, 5], [2, 2, 1]])
        return [more(nn.Embedding, (6, 3), {"padding_idx": 2}, rows), more(nn.Embedding, (6, 3), {"scale_grad_by_freq": True}, rows)]
    return []


def bags():
    """Samples of a module that PyTorch's list has not."""
    rows, offsets = torch.tensor([0, 2, 2, 5, 1, 2, 4]), torch.tensor([0, 3, 3, 5, 7])
    some = [{"include_last_offset": True, "mode": mode, "scale_grad_by_freq": mode != "max"} for mode in ("sum", "mean", "max")]
    some += [{"mode": mode, "padding_idx": 2} for mode in ("sum", "mean", "max")]
    made = [more(torch.nn.EmbeddingBag, (6, 3), each, rows, offsets if "include_last_offset" in each else offsets[:4]) for each in some]
    weights = torch.rand(2, 3, requires_grad=True)
    return made + [more(torch.nn.EmbeddingBag, (6, 3), {"mode": "sum"}, rows[:6].view(2, 3), None, weights)]


class Bags:
    name, module_cls = "nn.EmbeddingBag", torch.nn.EmbeddingBag


class Case:
    """A module, the tensors of its construction and of a call, and its other arguments."""

    def __init__(self, info, sample, training):
        self.info, self.training = info, training
        self.made, self.called = sample.constructor_input, sample.forward_input
        if self.called is None:
            raise Skip("no call")
        self.attrs, self.tensors = {"training": training}, {}
        for name, value in bound(info.module_cls, self.made).items():
            self.take_all(name, value)
        self.module = self.build(torch.float32)
        for name, value in bound(self.module.forward, self.called).items():
            self.take_all(name, value)

    def take_all(self, name, value):
        if name in ("kwargs", "args"):
            for inner, each in (value.items() if isinstance(value, dict) else enumerate(value)):
                self.take(str(inner), each)
        else:
            self.take(name, value)

    def take(self, name, value):
        if isinstance(value, torch.Tensor):
            if value.is_complex() or value.numel() > LARGEST:
                raise Skip("another type, or large")
            self.tensors[name] = value
        elif isinstance(value, torch.nn.TransformerEncoderLayer):
            own, act = value.self_attn, value.activation
            self.attrs |= {"nhead": own.num_heads, "batch_first": own.batch_first, "norm_first": value.norm_first}
            self.attrs |= {"activation": getattr(act, "__name__", str(act)), "layer_norm_eps": value.norm1.eps}
        elif isinstance(value, (tuple, list)) and any(isinstance(x, torch.Tensor) for x in value):
            for i, x in enumerate(value):
                self.take(f"{name}.{i}", x)
        elif callable(value):
            self.attrs[name] = value.__name__
        elif value is not None and name not in UNSAID:
            if not isinstance(value, (bool, int, float, str, tuple, list)):
                raise Skip("an argument of " + type(value).__name__)
            self.attrs[name] = plain(value)

    def build(self, dtype):
        def held(value):
            is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
            if isinstance(value, torch.nn.Module):
                return value.to(dtype)
            return value.detach().to(dtype) if is_float else value

        args = [held(value) for value in self.made.args]
        kwargs = {name: held(value) for name, value in self.made.kwargs.items() if name not in ("dtype", "device")}
        module = self.info.module_cls(*args, **kwargs).to(dtype)
        return module.train(self.training)

    def run(self, state, tracked, dtype):
        """The call's inputs, the parameters, what comes out, and the buffers after it."""
        module, fresh = self.build(dtype), {}
        module.load_state_dict({k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()})

        def filled(name, value):
            if isinstance(value, (tuple, list)):
                return type(value)(filled(f"{name}.{i}", x) for i, x in enumerate(value))
            if not isinstance(value, torch.Tensor):
                return value
            new = value.detach().clone()
            fresh[name] = new.to(dtype) if new.is_floating_point() else new
            return fresh[name].requires_grad_(name in tracked)

        given = {name: filled(name, value) for name, value in bound(module.forward, self.called).items()}
        out = module(**given)
        outs, buffers = flat(out), [b for name, b in module.named_buffers() if name in state and self.moves(name)]
        if not outs or any(o.is_complex() or o.numel() > LARGEST for o in outs):
            raise Skip("a result of another type, or large")
        return fresh | dict(module.named_parameters()), outs, buffers

    def moves(self, name):
        return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def flat(out):
    if isinstance(out, (tuple, list)):
        return [one for part in out for one in flat(part)]
    return [out] if isinstance(out, torch.Tensor) else []


def moved(state, draw):
    """Values that no layer begins with."""
    def one(name, value):
        if not value.is_floating_point():
            return value
        by = torch.rand(value.shape, generator=draw, dtype=torch.float32)
        return value * (0.5 + by) if name.endswith("running_var") else value + 0.4 * (by - 0.5)
    return {name: one(name, value.detach()) for name, value in state.items()}


def write_case(root, info, sample, training, number):
    case = Case(info, sample, training)
    draw = torch.Generator().manual_seed(zlib.crc32(f"{info.name}{number}".encode()))
    state = moved(case.module.state_dict(), draw)
    called = set()
    for name, value in bound(case.module.forward, case.called).items():
        called |= {name} | {f"{name}.{i}" for i in range(len(value) if isinstance(value, (tuple, list)) else 0)}
    tracked = [k for k, v in case.tensors.items() if k in called and v.is_floating_point() and v.requires_grad]
    tracked += [name for name, _ in case.module.named_parameters()]
    fresh, outs, buffers = case.run(state, tracked, torch.float64)
    cotangents = [
        torch.rand(o.shape, generator=draw, dtype=torch.float32).double() * 2 - 1 if o.requires_grad else None for o in outs
    ]
    grads = gradients(tracked, fresh, outs, cotangents, torch.float64)
    tensors = {f"in.{name}": value for name, value in case.tensors.items()}
    tensors |= {f"in.{name}": value for name, value in state.items()}
    several = len(outs) + len(buffers) > 1
    for i, (out, cotangent) in enumerate(zip(outs + buffers, cotangents + [None] * len(buffers))):
        at = f".{i}" if several else ""
        tensors["out" + at] = out
        if cotangent is not None and grads:
            tensors["cot" + at] = cotangent
    tensors |= {f"grad.{name}": value for name, value in grads.items()}
    fresh, outs32, buffers32 = case.run(state, tracked, torch.float32)
    grads32 = gradients(tracked, fresh, outs32, cotangents, torch.float32)
    pairs = list(zip(outs32 + buffers32, outs + buffers)) + [(grads32[name], value) for name, value in grads.items()]
    for tolerance in ((1e-4, 1e-5), (1e-3, 1e-4), (1e-2, 1e-3)):
        if all(near(got, want, *tolerance) for got, want in pairs):
            break
    else:
        raise Skip("PyTorch's float32 is too far off")
    name = f"{info.name.removeprefix('nn.').lower()}_{'train' if training else 'eval'}_{number}.safetensors"
    write(root / info.name / name, info.name, case.attrs, tensors, tolerance)


def main():
    warnings.simplefilter("ignore")
    root, only = pathlib.Path(sys.argv[1]), set(sys.argv[2:])
    made, skipped = collections.Counter(), collections.Counter()
    for info in [*module_db, Bags]:
        if info.name.startswith(LEFT_OUT) or only and info.name not in only:
            continue
        both = []
        for training in (True, False):
            torch.manual_seed(0)
            random.seed(0)
            given = {"device": "cpu", "dtype": torch.float32, "requires_grad": True, "training": training}
            drawn = bags() if info is Bags else info.module_inputs_func(info, **given)
            both.append([(sample, training) for sample in drawn])
        samples = [one for pair in zip(*both) for one in pair]
        if len(samples) > MOST:
            samples = random.Random(1).sample(samples, MOST)
        samples += [(sample, True) for sample in beside(info.name)]
        number = 0
        for sample, training in samples:
            try:
                write_case(root, info, sample, training, number)
                made[info.name] += 1
                number += 1
            except Exception as error:  # PyTorch refuses some in one of the two types
                why = str(error) if isinstance(error, Skip) else f"{type(error).__name__}: {error}"
                skipped[info.name, why.split("\n")[0][:110]] += 1
    print(f"{sum(made.values())} cases of {len(made)} modules")
    for (name, why), count in sorted(skipped.items()):
        print(f"left out: {name} {count}: {why}")


if __name__ == "__main__":
    main()
