"""Writes the archives of tests/checkpoint/torch: python tests/checkpoint/more.py"""

import pathlib

import torch

folder = pathlib.Path(__file__).parent / "torch"
folder.mkdir(exist_ok=True)


def numbers(*shape, dtype=torch.float32):
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) * 0.25 - 1).reshape(shape).to(dtype)


net = torch.nn.Sequential(
    torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 3)
)
with torch.no_grad():
    for parameter in net.parameters():
        parameter.copy_(numbers(*parameter.shape))
torch.save(net.state_dict(), folder / "state.pt")
adam = torch.optim.Adam(net.parameters())
net(torch.ones(2, 1, 4, 4)).sum().backward()
adam.step()
with torch.no_grad():
    for parameter in net.parameters():
        parameter.copy_(numbers(*parameter.shape))
run = {"epoch": 3, "loss": 0.5, "done": False, "model": net.state_dict(), "optimizer": adam.state_dict(), "best": None}
torch.save(run, folder / "run.pt")
wide = numbers(3, 4)
kinds = {
    "transposed": wide.t(),
    "part": wide[1:, 1:3],
    "expanded": wide[:1, :1].expand(2, 2),
    "f64": numbers(2, dtype=torch.float64),
    "f16": numbers(2, dtype=torch.float16),
    "bf16": numbers(2, dtype=torch.bfloat16),
    "i64": torch.tensor([-(2**40), 7]),
    "i32": torch.tensor([-3, 4], dtype=torch.int32),
    "i16": torch.tensor([-3, 4], dtype=torch.int16),
    "i8": torch.tensor([-3, 4], dtype=torch.int8),
    "u8": torch.tensor([0, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "parameter": torch.nn.Parameter(numbers(2)),
    "complex": torch.tensor([1 + 2j]),
}
torch.save({**kinds, "list": [numbers(1), numbers(2)]}, folder / "kinds.pt")
torch.save({**kinds, "list": [numbers(1), numbers(2)]}, folder / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(net, folder / "module.pt")
