"""Training steps of PyTorch on the CPU, one JSON object a run.

    python3 torch_steps.py WORKLOAD SECONDS FOLDER     # FOLDER: what run.py makes of MNIST

Weights, batches and the order of the clock are those of `steps.rs`, which the programs in Rust share.
"""

import json
import math
import os
import statistics
import sys
import time

START = time.perf_counter()

import torch
from torch import nn
from torch.nn import functional as F

ROWS, COUNT, BLOCK, READ = 64, 32, 4, 16
SEQUENCES, LENGTH, VOCABULARY, LAYERS = 8, 128, 65, 4
FEW, ITEMS = 8, 50000
WORD = 0xFFFFFFFF


def uniform(seed, count, first=0):
    """From 0 up to 1: 24 bits of a hash of each position and the seed."""
    # Products wrap at 64 bits, which leaves their low 32 as they are.
    h = torch.arange(first, first + count) * 2654435761 + seed * 40503 & WORD
    h = (h ^ h >> 16) * 0x85EBCA6B & WORD
    h = (h ^ h >> 13) * 0xC2B2AE35 & WORD
    return (h ^ h >> 16).bitwise_right_shift(8).float() / (1 << 24)


def hash_weights(model):
    """Parameter n, from 1 on, is drawn from the hash with seed n; norms keep PyTorch's own 1 and 0."""
    fan_in = 1
    for seed, (name, parameter) in enumerate(model.named_parameters(), 1):
        count = parameter.numel()
        if parameter.dim() > 1:
            fan_in = count // parameter.shape[0]
        if name in ("wte.weight", "wpe.weight"):
            u, v = uniform(seed, 2 * count).double().view(-1, 2).unbind(1)
            values = torch.sqrt(-2 * torch.log(1 - u)) * torch.cos(2 * math.pi * v)
        elif "ln_" in name or "norm" in name:
            continue
        else:
            # The bound in f32, as everywhere.
            values = (uniform(seed, count) * 2 - 1) * (1 / torch.tensor(float(fan_in)).sqrt())
        parameter.data.copy_(values.view(parameter.shape))


class Block(nn.Module):
    """Normalise, attend and add; normalise, widen and add."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width)
        self.attn_qkv = nn.Linear(width, 3 * width)
        self.attn_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp_fc = nn.Linear(width, 4 * width)
        self.mlp_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        parts = self.attn_qkv(self.ln_1(x)).chunk(3, dim=2)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.attn_proj(mixed)
        return x + self.mlp_proj(F.gelu(self.mlp_fc(self.ln_2(x))))


class Gpt(nn.Module):
    """A causal model of tokens that gives a row of logits for each."""

    def __init__(self, vocabulary, width, heads, context):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(LAYERS)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocabulary)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        return self.lm_head(self.ln_f(self.blocks(x))).flatten(0, 1)


class Unit(nn.Module):
    """A convolution without bias, and batch normalisation."""

    def __init__(self, inputs, outputs, kernel, stride, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.norm(self.conv(x))


class Residual(nn.Module):
    """Two units and what goes past them."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first, self.second = Unit(inputs, outputs, 3, stride), Unit(outputs, outputs, 3, 1)
        self.short = Unit(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else None

    def forward(self, x):
        y = self.second(F.relu(self.first(x)))
        return F.relu(y + (x if self.short is None else self.short(x)))


class Resnet(nn.Module):
    """Three residual blocks."""

    def __init__(self):
        super().__init__()
        self.stem = Unit(3, 32, 3, 1)
        self.blocks = nn.Sequential(Residual(32, 32, 1), Residual(32, 64, 2), Residual(64, 128, 2))
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        return self.fc(self.blocks(F.relu(self.stem(x))).mean((2, 3)))


class Mobilenet(nn.Module):
    """Depthwise and pointwise convolutions."""

    def __init__(self):
        super().__init__()
        self.stem = Unit(3, 32, 3, 1)
        sizes = ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2))
        self.blocks = nn.ModuleList(
            nn.ModuleList([Unit(i, i, 3, stride, i), Unit(i, o, 1, 1)]) for i, o, stride in sizes
        )
        self.fc = nn.Linear(256, 10)

    def forward(self, x):
        x = F.relu6(self.stem(x))
        for depthwise, pointwise in self.blocks:
            x = F.relu6(pointwise(F.relu6(depthwise(x))))
        return self.fc(x.mean((2, 3)))


class Sequences(nn.Module):
    """Two layers of LSTM, and a class from the last step."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(64, 128, 2, batch_first=True)
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


class Part(nn.Module):
    """Group normalisation, SiLU and a convolution."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm = nn.GroupNorm(8, inputs)
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x):
        return self.conv(F.silu(self.norm(x)))


class Unet(nn.Module):
    """Down and up again, with skips."""

    def __init__(self):
        super().__init__()
        self.enter, self.first = nn.Conv2d(1, 32, 3, padding=1), Part(32, 32)
        self.down_1, self.second = nn.Conv2d(32, 64, 3, 2, 1), Part(64, 64)
        self.down_2, self.middle = nn.Conv2d(64, 128, 3, 2, 1), Part(128, 128)
        self.up_2, self.third = nn.ConvTranspose2d(128, 64, 2, 2), Part(128, 64)
        self.up_1, self.fourth = nn.ConvTranspose2d(64, 32, 2, 2), Part(64, 32)
        self.leave = nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, x):
        first = self.first(self.enter(x))
        second = self.second(self.down_1(first))
        middle = self.middle(self.down_2(second))
        third = self.third(torch.cat([self.up_2(middle), second], 1))
        return self.leave(self.fourth(torch.cat([self.up_1(third), first], 1)))


def dense(*widths):
    """Fully connected layers with ReLU between them."""
    layers = []
    for at, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        layers += [nn.ReLU()] * (at > 0) + [nn.Linear(inputs, outputs)]
    return nn.Sequential(*layers)


class Recommender(nn.Module):
    """Rows of a large table, and fully connected layers."""

    def __init__(self):
        super().__init__()
        self.table, self.layers = nn.Embedding(ITEMS, 32), dense(256, 256, 128, 2)

    def forward(self, ids):
        return self.layers(self.table(ids).flatten(1))


def convolutional(channels, side):
    """Two convolutions and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (side // 4) ** 2, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def mnist(folder, shape):
    """The first images in the order of the file."""
    pixels, labels = (open(os.path.join(folder, name), "rb").read() for name in ("pixels", "labels"))
    x = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).float() / 255
    y = torch.frombuffer(bytearray(labels), dtype=torch.uint8).long()
    return list(zip(x.view(COUNT, ROWS, *shape), y.view(COUNT, ROWS)))


def noisy_classes():
    """Images [3, 32, 32] in 10 classes: noise around a mean image of the class."""
    pixels = 3 * 32 * 32
    means = ((uniform(9, 10 * pixels) - 0.5) * 0.5).view(10, pixels)
    found = []
    for i in range(COUNT):
        labels = (torch.arange(ROWS) + i * ROWS) * 7 % 10
        noise = ((uniform(10 + i, ROWS * pixels) - 0.5) * 2).view(ROWS, pixels)
        found.append(((means[labels] + noise).view(ROWS, 3, 32, 32), labels))
    return found


def chains():
    """Sequences of tokens, each with its successor as label: a chain that chance moves a little."""
    found = []
    for i in range(COUNT):
        count = SEQUENCES * LENGTH
        chances = (uniform(77, count, i * count) * 3).long().tolist()
        tokens, labels = [], []
        for row in range(SEQUENCES):
            token = (i * 31 + row * 17) % VOCABULARY
            for chance in chances[row * LENGTH : (row + 1) * LENGTH]:
                tokens.append(token)
                token = (token * 5 + 7 + chance) % VOCABULARY
                labels.append(token)
        found.append((torch.tensor(tokens).view(SEQUENCES, LENGTH), torch.tensor(labels)))
    return found


def values(seed, *shape):
    """From -1 up to 1."""
    return (uniform(seed, math.prod(shape)) * 2 - 1).view(shape)


def tokens(seed, most, *shape):
    """Whole numbers below `most`."""
    return (uniform(seed, math.prod(shape)) * most).long().view(shape)


def few(x, target):
    """Batches of the networks after the first four."""
    return [(x(100 + 2 * i), target(101 + 2 * i)) for i in range(FEW)]


def training(workload, folder):
    """Model, optimizer and batches before the first step."""
    if workload == "w1":
        model, batches = dense(784, 128, 10), mnist(folder, (784,))
    elif workload == "w2":
        model, batches = convolutional(1, 28), mnist(folder, (1, 28, 28))
    elif workload == "w3":
        model, batches = convolutional(3, 32), noisy_classes()
    elif workload == "w4":
        model, batches = Gpt(VOCABULARY, 128, 4, LENGTH), chains()
    elif workload in ("w5", "w6"):
        model, batches = Resnet() if workload == "w5" else Mobilenet(), noisy_classes()
    elif workload == "w7":
        model, batches = Sequences(), few(lambda at: values(at, 64, 50, 64), lambda at: tokens(at, 10, 64))
    elif workload == "w8":
        model, batches = (
            Gpt(1000, 256, 8, 256),
            few(lambda at: tokens(at, 1000, 4, 256), lambda at: tokens(at, 1000, 1024)),
        )
    elif workload == "w9":
        image = lambda at: values(at, 32, 1, 28, 28)
        model, batches = Unet(), few(image, image)
    elif workload == "w10":
        model, batches = Recommender(), few(lambda at: tokens(at, ITEMS, 512, 8), lambda at: tokens(at, 2, 512))
    else:
        row = lambda at: values(at, 256, 3072)
        model, batches = dense(3072, 1024, 256, 1024, 3072), few(row, row)
    hash_weights(model)
    parameters = model.parameters()
    if workload == "w3":
        return model, torch.optim.SGD(parameters, 1e-3, momentum=0.9), batches
    if workload == "w5":
        return model, torch.optim.SGD(parameters, 0.05, momentum=0.9, nesterov=True), batches
    if workload in ("w4", "w8"):
        return model, torch.optim.AdamW(parameters, 1e-3, weight_decay=0.01), batches
    return model, torch.optim.Adam(parameters, 1e-3), batches


def peak_mb():
    """The most memory that the process has had, where the system tells."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def main():
    workload, seconds, folder = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    model, optimizer, batches = training(workload, folder)
    done = 0

    def step():
        nonlocal done
        x, target = batches[done % len(batches)]
        done += 1
        optimizer.zero_grad()
        loss = (F.mse_loss if target.is_floating_point() else F.cross_entropy)(model(x), target)
        loss.backward()
        if workload == "w8":
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    losses = [step().item()]
    first = time.perf_counter() - START
    losses += [step().item() for _ in range(READ)]
    times = []
    begin = time.perf_counter()
    # The first block is not counted.
    while len(times) < 8 or len(times) < 201 and time.perf_counter() - begin < seconds:
        now = time.perf_counter()
        for _ in range(BLOCK):
            loss = step()
        loss.item()
        times.append((time.perf_counter() - now) / BLOCK * 1e3)
    del times[0]
    line = {
        "version": torch.__version__,
        "median_ms": statistics.median(times),
        "min_ms": min(times),
        "first_step_s": first,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(line | {f"loss{at}": losses[at] for at in (0, 10, 15)}))


main()
