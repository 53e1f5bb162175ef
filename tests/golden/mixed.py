"""Writes training runs in mixed precision into tests/golden/cases: `python3 tests/golden/mixed.py`, with PyTorch (these by 2.15).

Each is ten steps under `torch.autocast` on the CPU, in f16 with a GradScaler whose scale overflows in the middle of one of the
runs. The tolerances are those of the half type: its epsilon is 1e-3 of f16 and 8e-3 of bf16.
"""

import json
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F

from more import ROOT

STEPS, HEADS = 10, 4
HALF = {"f16": torch.float16, "bf16": torch.bfloat16}


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(8 * 9, 16), nn.Linear(16, 5)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 2)
        x = F.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())


class NormalizedCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return self.fc(x.mean((2, 3)))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn_qkv, self.attn_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_fc, self.mlp_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, rows, width = x.shape
        parts = self.attn_qkv(self.ln_1(x)).split(width, 2)
        q, k, v = (p.view(batch, rows, HEADS, width // HEADS).transpose(1, 2) for p in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_proj(mixed.transpose(1, 2).reshape(batch, rows, width))
        return x + self.mlp_proj(F.gelu(self.mlp_fc(self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, tokens=20, rows=8, width=16, blocks=2):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(tokens, width), nn.Embedding(rows, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, tokens, bias=False)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.fc = nn.Embedding(20, 16), nn.LSTM(16, 24, batch_first=True), nn.Linear(24, 4)

    def forward(self, ids):
        # oneDNN has no LSTM of f16.
        with torch.backends.mkldnn.flags(enabled=False):
            return self.fc(self.lstm(self.embedding(ids))[0][:, -1])


OPTIMIZERS = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr),
    # The gradient of a key's bias is 0 but for rounding, of which a smaller eps would make whole steps.
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr=lr, eps=1e-3),
}


def images(channels, size):
    return torch.randn(STEPS, 16, channels, size, size), torch.randint(0, 5, (STEPS, 16))


def words(rows, classes):
    return torch.randint(0, 20, (STEPS, 16, rows)), torch.randint(0, classes, (STEPS, 16))


def text():
    ids = torch.randint(0, 20, (STEPS, 8, 9))
    return ids[:, :, :-1], ids[:, :, 1:]


def write(name, attrs, tensors, rtol, drift):
    meta = {"op": f"train:{name}", "attrs": json.dumps(attrs), "rtol": str(rtol), "atol": "1e-6", "drift": str(drift)}
    header, body = {"__metadata__": meta}, b""
    for key, value in tensors.items():
        floats = value.dtype.is_floating_point
        data = value.detach().to(torch.float32 if floats else torch.int64).contiguous().numpy().tobytes()
        header[key] = {"dtype": "F32" if floats else "I64", "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (ROOT / "train" / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)


def run(name, make, data, optimizer, lr, precision, scaling=None):
    torch.manual_seed(sum(map(ord, name)))
    model, (x, y) = make(), data()
    tensors = {"x": x, "y": y} | {f"init.{k}": v.clone() for k, v in model.state_dict().items()}
    moving = OPTIMIZERS[optimizer](model.parameters(), lr)
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "f16", **(scaling or {}))
    losses, scales = [], []
    for x, y in zip(x, y):
        moving.zero_grad()
        with torch.autocast("cpu", HALF[precision]):
            logits = model(x)
            loss = F.cross_entropy(logits.flatten(0, -2), y.flatten())
        losses.append(loss.detach().float())
        scaler.scale(loss).backward()
        scaler.step(moving)
        scaler.update()
        scales.append(scaler.get_scale())
    tensors["loss"] = torch.stack(losses)
    tensors |= {f"final.{k}": v for k, v in model.state_dict().items()}
    attrs = {"optimizer": optimizer, "lr": lr, "precision": precision}
    if optimizer == "sgd":
        attrs["momentum"] = 0.9
    if optimizer == "adamw":
        attrs["eps"] = 1e-3
    if precision == "f16":
        tensors["scale"] = torch.tensor(scales)
        attrs |= scaling or {}
    rtol, drift = {"f16": (4e-3, 0.05), "bf16": (2e-2, 0.2)}[precision]
    print(name, [round(float(l), 4) for l in losses], scales if precision == "f16" else "")
    write(name, attrs, tensors, rtol, drift)


if __name__ == "__main__":
    # After five good steps the scale grows past what f16 holds, and falls back.
    over = {"init_scale": 256.0, "growth_factor": 2.0**24, "backoff_factor": 2.0**-24, "growth_interval": 5}
    for precision in HALF:
        run(f"cnn_{precision}", Cnn, lambda: images(1, 12), "sgd", 0.05, precision)
        run(f"bn_cnn_{precision}", NormalizedCnn, lambda: images(3, 8), "adam", 0.01, precision)
        run(f"gpt_{precision}", Gpt, text, "adamw", 0.01, precision)
        run(f"lstm_{precision}", Classifier, lambda: words(9, 4), "adam", 0.01, precision)
    run("gpt_f16_overflow", Gpt, text, "adamw", 0.01, "f16", over)
    run("cnn_f16_overflow", Cnn, lambda: images(1, 12), "sgd", 0.05, "f16", over)
    run("lstm_f16_overflow", Classifier, lambda: words(9, 4), "adam", 0.01, "f16", over)
