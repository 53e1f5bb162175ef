"""Writes PyTorch's own operator samples as cases: `python3 tests/golden/samples.py DIR [OPERATOR ..]`, with PyTorch.

They are what `torch.testing` draws to test its operators with: some 4,800, too many to be kept here. A case is computed in
float64 from inputs that float32 holds, and PyTorch's own float32 has to be within its tolerance. What was left out, and
why, is told at the end.

    WGRAD_GOLDEN=DIR cargo test --test golden
"""

import collections
import inspect
import json
import math
import pathlib
import random
import struct
import sys
import warnings
import zlib

import torch
import torch.nn.functional as F
from torch.testing._internal.common_methods_invocations import op_db

MOST, LARGEST = 40, 40_000

# Families that need complex numbers, sparse tensors or linear algebra, or that only PyTorch's inside has.
LEFT_OUT = ("fft.", "linalg.", "special.", "signal.", "masked.", "sparse", "torch.ops", "jiterator", "_")
# What chance or old memory decides.
CHANCE = """bernoulli cauchy exponential geometric log_normal multinomial rand_like randint randint_like randn randn_like
    normal uniform nn.functional.dropout nn.functional.dropout2d nn.functional.dropout3d nn.functional.alpha_dropout
    nn.functional.feature_alpha_dropout nn.functional.rrelu nn.functional.fractional_max_pool2d
    nn.functional.fractional_max_pool3d empty empty_like new_empty new_empty_strided empty_strided empty_permuted
    svd_lowrank pca_lowrank""".split()

# Names of arguments by position, where neither a signature nor a schema tells those of the sample.
POOL = ["input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"]
NAMES = {
    "cdist": ["input", "other", "p", "compute_mode"],
    "log_softmax": ["input", "dim"],
    "mvlgamma": ["input", "p"],
    "nn.functional.cosine_similarity": ["input1", "input2", "dim", "eps"],
    "nn.functional.ctc_loss": ["input", "targets", "input_lengths", "target_lengths"],
    "nn.functional.embedding": ["weight", "input"],
    "nn.functional.embedding_bag": ["weight", "input"],
    "nn.functional.linear": ["input", "weight", "bias"],
    "nn.functional.logsigmoid": ["input"],
    "nn.functional.silu": ["input"],
    "nn.functional.softmin": ["input", "dim"],
    "norm": ["input", "p", "dim", "keepdim"],
    "prod": ["input", "dim", "keepdim"],
    "repeat_interleave": ["input", "repeats", "dim"],
    "softmax": ["input", "dim"],
    "std": ["input", "dim"],
    "take_along_dim": ["input", "indices", "dim"],
    "tensordot": ["input", "other", "dims"],
    "unfold": ["input", "dimension", "size", "step"],
    "var": ["input", "dim"],
    "where": ["input", "condition", "other"],
}
for d in (1, 2, 3):
    NAMES[f"nn.functional.max_pool{d}d"] = POOL
    NAMES[f"nn.functional.adaptive_max_pool{d}d"] = ["input", "output_size", "return_indices"]
# Kinds of cases that are not called as the operator.
KINDS = {
    ("max", "binary"): "maximum",
    ("max", "reduction_no_dim"): "max_all",
    ("max", "reduction_with_dim"): "max_dim",
    ("min", "binary"): "minimum",
    ("min", "reduction_no_dim"): "min_all",
    ("min", "reduction_with_dim"): "min_dim",
    ("split", "list_args"): "split_with_sizes",
    ("true_divide", ""): "div",
    ("unfold", ""): "unfold_dim",
}


class Skip(Exception):
    """Why a sample is no case."""


def fits(schema, args, kwargs):
    own = schema.arguments
    if len(args) > len(own) or not set(kwargs) <= {a.name for a in own} | {"input"}:
        return False
    for argument, value in zip(own, args):
        kind = str(argument.type)
        is_tensor = isinstance(value, torch.Tensor)
        if is_tensor and "Tensor" not in kind or isinstance(value, str) and "str" not in kind:
            return False
        if not is_tensor and value is not None and kind in ("Tensor", "Optional[Tensor]"):
            return False
        if isinstance(value, bool) and "bool" not in kind and "Optional" not in kind:
            return False
        if isinstance(value, (list, tuple)) and "List" not in kind and "[]" not in kind:
            return False
    return True


def names(op, args, kwargs):
    """The names of arguments by position."""
    if op.name == "split" and op.variant_test_name == "list_args":
        return ["input", "split_sizes", "dim"]
    if op.name == "tensor_split":
        return ["input", "sections" if isinstance(args[1], int) else "indices", "dim"]
    if op.name in ("std", "var") and len(args) > 1 and isinstance(args[1], bool):
        return ["input", "unbiased"]
    if op.name in NAMES:
        return NAMES[op.name]
    short = op.name.removeprefix("nn.functional.")
    if short != op.name:
        try:
            return list(inspect.signature(getattr(F, short, None)).parameters)
        except (TypeError, ValueError):
            pass
    for schema in torch._C._jit_get_schemas_for_operator("aten::" + short):
        if not any(a.is_out for a in schema.arguments) and fits(schema, args, kwargs):
            return ["input" if a.name == "self" else a.name for a in schema.arguments]
    raise Skip("no name for an argument")


def is_list(value):
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(x, torch.Tensor) for x in value)


def plain(value):
    return [plain(x) for x in value] if isinstance(value, (list, tuple)) else value


class Case:
    """The inputs and other arguments of a sample, and where each input stands in the call."""

    def __init__(self, op, sample):
        self.op, self.sample = op, sample
        self.args, self.kwargs = [sample.input, *sample.args], dict(sample.kwargs)
        self.inputs, self.attrs, self.places = {}, {}, []
        named = names(op, self.args, self.kwargs)
        for at, value in enumerate(self.args):
            self.take(named[at] if at < len(named) else f"argument {at}", value, at)
        for name, value in self.kwargs.items():
            self.take("input" if name == "self" else name, value, name)
        self.kind = KINDS.get((op.name, op.variant_test_name), op.name.removeprefix("nn.functional."))
        self.settle()

    def take(self, name, value, at):
        if isinstance(value, torch.Tensor):
            if value.is_complex() or value.layout != torch.strided or value.dtype in (torch.float16, torch.bfloat16):
                raise Skip("another type")
            if value.dtype == torch.bool and self.op.name == "index_put":
                raise Skip("a mask as an index")
            if value.numel() > LARGEST:
                raise Skip("large")
            self.inputs[name] = value
            self.places.append((name, at))
        elif is_list(value):
            for i, x in enumerate(value):
                self.take(str(i), x, (at, i))
        elif value is not None and name not in ("dtype", "device", "layout", "requires_grad", "pin_memory"):
            if name == "dropout_p" and value:
                raise Skip("chance")
            value = plain(value)
            if isinstance(value, float) and not math.isfinite(value):
                # JSON has no word for it.
                self.attrs["text"] = "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
                return
            try:
                json.dumps(value)
            except TypeError:
                raise Skip("an argument of " + type(value).__name__) from None
            self.attrs[name] = value

    def settle(self):
        """The kind by its arguments, and tensors that stand for numbers as numbers."""
        if "other" in self.attrs:
            self.kind += "_scalar"
        if self.kind == "pow" and "exponent" in self.attrs:
            self.kind = "pow_scalar"
        elif self.kind == "pow":
            self.inputs = {("other" if k == "exponent" else k): v for k, v in self.inputs.items()}
            self.places = [("other" if k == "exponent" else k, at) for k, at in self.places]
        if self.kind in ("median", "nanmedian") and "dim" in self.attrs:
            self.kind += "_dim"
        if self.kind == "max_pool2d" and self.attrs.get("return_indices"):
            self.kind = "max_pool2d_indices"
            del self.attrs["return_indices"]
        for kind, name in (("repeat_interleave", "repeats"), ("narrow", "start"), ("quantile", "q"), ("nanquantile", "q")):
            if self.kind == kind and name in self.inputs:
                self.attrs[name] = self.inputs.pop(name).tolist()
                self.places = [place for place in self.places if place[0] != name]
        if not self.inputs:
            raise Skip("no tensor")

    def run(self, dtype, tracked):
        fresh = {}
        for name, value in self.inputs.items():
            value = value.detach().clone()
            fresh[name] = value.to(dtype) if value.is_floating_point() else value
            fresh[name].requires_grad_(name in tracked)

        def filled(value, at):
            for name, place in self.places:
                if place == at:
                    return fresh[name]
            if is_list(value):
                return type(value)(fresh[k] for k, place in self.places if isinstance(place, tuple) and place[0] == at)
            whole = isinstance(value, torch.Tensor) and value.is_floating_point()
            return value.to(dtype) if whole else value

        args = [filled(value, at) for at, value in enumerate(self.args)]
        kwargs = {name: filled(value, name) for name, value in self.kwargs.items()}
        if kwargs.get("dtype") == torch.float32:
            kwargs["dtype"] = dtype
        out = self.op(*args, **kwargs)
        outs = list(out) if isinstance(out, (tuple, list)) else [out]
        if not all(isinstance(o, torch.Tensor) for o in outs):
            raise Skip("a result that is no tensor")
        if any(o.is_complex() or o.layout != torch.strided or o.numel() > LARGEST for o in outs):
            raise Skip("a result of another type, or large")
        return fresh, outs, isinstance(out, (tuple, list))


def gradients(tracked, fresh, outs, cotangents, dtype):
    pairs = [(o, c.to(dtype)) for o, c in zip(outs, cotangents) if c is not None]
    if not pairs or not tracked:
        return {}
    got = torch.autograd.grad([o for o, _ in pairs], [fresh[k] for k in tracked], [c for _, c in pairs], allow_unused=True)
    return {name: value for name, value in zip(tracked, got) if value is not None}


def near(got, want, rtol, atol):
    """The suite's own rule."""
    if want.numel() == 0:
        return True
    got, want = got.detach().double(), want.detach().double()
    finite = want[torch.isfinite(want)]
    most = float(finite.abs().max()) if finite.numel() else 0.0
    room = rtol * want.abs() + max(1e-7, min(atol, 1e-3 * most))
    return bool(((got == want) | (got.isnan() & want.isnan()) | ((got - want).abs() <= room)).all())


def write(path, op, attrs, tensors, tolerance):
    rtol, atol = tolerance
    header = {"__metadata__": {"op": op, "attrs": json.dumps(attrs), "rtol": str(rtol), "atol": str(atol)}}
    body = b""
    for name, value in tensors.items():
        floats = value.dtype.is_floating_point
        data = value.detach().to(torch.float32 if floats else torch.int64).contiguous().numpy().tobytes()
        place = [len(body), len(body) + len(data)]
        header[name] = {"dtype": "F32" if floats else "I64", "shape": list(value.shape), "data_offsets": place}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_case(root, op, sample, number):
    case = Case(op, sample)
    floats = [name for name, value in case.inputs.items() if value.is_floating_point() and value.requires_grad]
    tracked = floats if op.supports_autograd else []
    fresh, outs, several = case.run(torch.float64, tracked)
    draw = torch.Generator().manual_seed(zlib.crc32(f"{op.name}{number}".encode()))
    cotangents = [
        torch.rand(o.shape, generator=draw, dtype=torch.float32).double() * 2 - 1
        if o.is_floating_point() and o.requires_grad
        else None
        for o in outs
    ]
    grads = gradients(tracked, fresh, outs, cotangents, torch.float64)
    tensors = {f"in.{name}": value for name, value in case.inputs.items()}
    for i, (out, cotangent) in enumerate(zip(outs, cotangents)):
        at = f".{i}" if several else ""
        truth = out.dtype == torch.bool or case.kind == "count_nonzero"
        tensors["out" + at] = out.float() if truth else out
        if cotangent is not None and grads:
            tensors["cot" + at] = cotangent
    tensors |= {f"grad.{name}": value for name, value in grads.items()}
    fresh, outs32, _ = case.run(torch.float32, tracked)
    grads32 = gradients(tracked, fresh, outs32, cotangents, torch.float32)
    pairs = list(zip(outs32, outs)) + [(grads32[name], value) for name, value in grads.items()]
    for tolerance in ((1e-4, 1e-5), (1e-3, 1e-4), (1e-2, 1e-3)):
        if all(near(got, want, *tolerance) for got, want in pairs):
            break
    else:
        raise Skip("PyTorch's float32 is too far off")
    variant = op.variant_test_name or "plain"
    name = f"{op.name.removeprefix('nn.functional.').replace('.', '_')}_{variant}_{number}.safetensors"
    write(root / case.kind / name, case.kind, case.attrs, tensors, tolerance)
    return case.kind


def main():
    warnings.simplefilter("ignore")
    root, only = pathlib.Path(sys.argv[1]), set(sys.argv[2:])
    made, skipped = collections.Counter(), collections.Counter()
    for op in op_db:
        if op.name.startswith(LEFT_OUT) or op.name in CHANCE or only and op.name not in only:
            continue
        if torch.float32 not in op.supported_dtypes("cpu"):
            skipped[op.name, "not of float32"] += 1
            continue
        torch.manual_seed(0)
        random.seed(0)
        samples = list(op.sample_inputs("cpu", torch.float32, requires_grad=op.supports_autograd))
        if len(samples) > MOST:
            samples = random.Random(1).sample(samples, MOST)
        number = 0
        for sample in samples:
            try:
                made[write_case(root, op, sample, number)] += 1
                number += 1
            except Exception as error:  # PyTorch refuses some in one of the two types
                why = str(error) if isinstance(error, Skip) else f"{type(error).__name__}: {error}"
                skipped[op.name, why.split("\n")[0][:90]] += 1
    print(f"{sum(made.values())} cases of {len(made)} kinds")
    for (name, why), count in sorted(skipped.items()):
        print(f"left out: {name} {count}: {why}")


if __name__ == "__main__":
    main()
