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
SEQUENCES, LENGTH, VOCABULARY, WIDTH, HEADS, LAYERS = 8, 128, 65, 128, 4, 4
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
        elif "ln_" in name:
            continue
        else:
            # The bound in f32, as everywhere.
            values = (uniform(seed, count) * 2 - 1) * (1 / torch.tensor(float(fan_in)).sqrt())
        parameter.data.copy_(values.view(parameter.shape))


class Block(nn.Module):
    """Normalise, attend and add; normalise, widen and add."""

    def __init__(self):
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH)
        self.attn_qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.attn_proj = nn.Linear(WIDTH, WIDTH)
        self.ln_2 = nn.LayerNorm(WIDTH)
        self.mlp_fc = nn.Linear(WIDTH, 4 * WIDTH)
        self.mlp_proj = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        parts = self.attn_qkv(self.ln_1(x)).chunk(3, dim=2)
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.attn_proj(mixed)
        return x + self.mlp_proj(F.gelu(self.mlp_fc(self.ln_2(x))))


class Gpt(nn.Module):
    """A causal model of tokens that gives a row of logits for each."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(VOCABULARY, WIDTH)
        self.wpe = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.ln_f = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        return self.lm_head(self.ln_f(self.blocks(x))).flatten(0, 1)


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


def training(workload, folder):
    """Model, optimizer and batches before the first step."""
    if workload == "w1":
        model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        batches = mnist(folder, (784,))
    elif workload == "w2":
        model, batches = convolutional(1, 28), mnist(folder, (1, 28, 28))
    elif workload == "w3":
        model, batches = convolutional(3, 32), noisy_classes()
    else:
        model, batches = Gpt(), chains()
    hash_weights(model)
    if workload == "w3":
        return model, torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9), batches
    if workload == "w4":
        return model, torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01), batches
    return model, torch.optim.Adam(model.parameters(), 1e-3), batches


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
        x, labels = batches[done % COUNT]
        done += 1
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
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
