"""Writes PyTorch's own optimizer samples as cases: `python3 tests/golden/optimizers.py DIR`, with PyTorch.

They are what `torch.testing` draws to test `torch.optim` with (`optim_db`): arguments, with which a parameter moves by twelve given
gradients. A case is computed in float64 from inputs that float32 holds, as those of `samples.py`. The third gradient is 0, and one
value has none but zeros. SparseAdam moves rows of a table, and L-BFGS asks for its loss itself: Rosenbrock's valley.
"""

import collections
import importlib
import inspect
import pathlib
import sys
import warnings
import zlib

import torch
from torch.testing._internal.common_optimizers import optim_db

from samples import near, write

STEPS = 12


def stepped(cls, kwargs, start, grads, dtype):
    """The parameter after each step."""
    param = torch.nn.Parameter(start.to(dtype, copy=True))
    optimizer, after = cls([param], **kwargs), []
    for grad in grads:
        param.grad = grad.to(dtype)
        optimizer.step()
        after.append(param.detach().clone())
    return torch.stack(after)


def by_rows(cls, kwargs, start, ids, grads, dtype):
    """A table after each step of some of its rows."""
    table = torch.nn.Parameter(start.to(dtype, copy=True))
    optimizer, after = cls([table], **kwargs), []
    for rows, grad in zip(ids, grads):
        optimizer.zero_grad()
        (torch.nn.functional.embedding(rows, table, sparse=True) * grad.to(dtype)).sum().backward()
        optimizer.step()
        after.append(table.detach().clone())
    return torch.stack(after)


def in_valley(cls, kwargs, start, scale, dtype):
    """A point after a step, of some twenty iterations."""
    param = torch.nn.Parameter(start.to(dtype, copy=True))
    optimizer = cls([param], **kwargs)

    def loss():
        optimizer.zero_grad()
        value = (scale.to(dtype) * (param[1:] - param[:-1] ** 2) ** 2).sum() + ((1 - param[:-1]) ** 2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return param.detach()[None]


def case(cls, kwargs, seed):
    """The kind, its attributes and inputs, and what computes it in a type."""
    draw = torch.Generator().manual_seed(seed)
    name = cls.__name__.lower()
    start = torch.rand(3, 4, generator=draw) * 2 - 1
    if name == "lbfgs":
        start, scale = start[0], torch.ones(1)
        # Upwards there is no top: one iteration.
        kwargs = {**kwargs, **({"max_iter": 1} if "maximize" in kwargs else {})}
        return "optim_lbfgs", {**kwargs, "steps": 1}, {"param": start, "scale": scale}, lambda t: in_valley(cls, kwargs, start, scale, t)
    if name == "sparseadam":
        ids = torch.randint(0, 3, (STEPS, 2), generator=draw)
        grads = torch.rand(STEPS, 2, 4, generator=draw) * 2 - 1
        inputs = {"param": start, "ids": ids, "grads": grads}
        return "optim_rows", {**kwargs, "optimizer": "sparse_adam"}, inputs, lambda t: by_rows(cls, kwargs, start, ids, grads, t)
    grads = torch.rand(STEPS, 3, 4, generator=draw) * 2 - 1
    grads[2], grads[:, 0, 0] = 0, 0
    return f"optim_{name}", kwargs, {"param": start, "grads": grads}, lambda t: stepped(cls, kwargs, start, grads, t)


def main():
    warnings.simplefilter("ignore")
    root, made = pathlib.Path(sys.argv[1]), collections.Counter()
    # PyTorch rounds to bfloat16 within; the crate does not.
    muon = importlib.import_module("torch.optim._muon")
    exec(inspect.getsource(muon._zeropower_via_newtonschulz).replace("torch.bfloat16", "grad.dtype"), vars(muon))
    for info in optim_db:
        for number, given in enumerate(info.optim_inputs_func(device=torch.device("cpu"))):
            kwargs = {k: float(v) if isinstance(v, torch.Tensor) else v for k, v in given.kwargs.items()}
            cls = info.optim_cls
            kind, attrs, inputs, run = case(cls, kwargs, zlib.crc32(f"{cls.__name__}{number}".encode()))
            want, got = run(torch.float64), run(torch.float32)
            tolerance = next((pair for pair in ((1e-4, 1e-5), (1e-3, 1e-4), (1e-2, 1e-3)) if near(got, want, *pair)), None)
            if tolerance is None:
                print(f"left out: {kind} {attrs}: PyTorch's float32 is too far off")
                continue
            tensors = {f"in.{name}": value for name, value in inputs.items()} | {"out": want}
            write(root / kind / f"own_{number}.safetensors", kind, attrs, tensors, tolerance)
            made[kind] += 1
    print(f"{sum(made.values())} cases of {len(made)} optimizers")


if __name__ == "__main__":
    main()
