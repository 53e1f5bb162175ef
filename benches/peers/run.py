#!/usr/bin/env python3
"""Times the training steps W1 to W11 of wgrad and of its peers in turn, and prints one table in Markdown.

    python3 benches/peers/run.py                          # all workloads on all sides that are here
    python3 benches/peers/run.py w2 w3 wgrad-cpu pytorch  # a part of them
    python3 benches/peers/run.py --rounds 5 --seconds 5 --python venv/bin/python

In each round every side runs once, in a process of its own, and the next round goes the other way round: whatever
changes on the machine meets all sides. A figure is the median of the rounds' medians. The README beside this file
tells how to build the peers and what cannot be compared.
"""

import argparse
import datetime
import gzip
import json
import math
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
IMAGES = 2048

WORKLOADS = {
    "w1": "MLP 784-128-10, batch 64, Adam",
    "w2": "two convolutions on 28x28, batch 64, Adam",
    "w3": "two convolutions on 3x32x32, batch 64, SGD with momentum",
    "w4": "GPT of 4 layers, width 128, 8 x 128 tokens, AdamW",
    "w5": "three residual blocks with batch norm on 3x32x32, batch 64, SGD with Nesterov's momentum",
    "w6": "depthwise and pointwise convolutions with batch norm on 3x32x32, batch 64, Adam",
    "w7": "LSTM of 2 layers of 128, 64 x 50 steps, Adam",
    "w8": "GPT of 4 layers, width 256, 4 x 256 tokens, vocabulary 1,000, AdamW, clipped",
    "w9": "U-Net with group norm on 1x28x28, batch 32, Adam",
    "w10": "recommender, table of 50,000 x 32, batch 512, Adam",
    "w11": "fully connected 3072-1024-256-1024-3072, batch 256, Adam",
}
# Name, what it runs on, folder of its program, feature to build it with. wgrad and PyTorch have no folder.
SIDES = {
    "wgrad-gpu": ("gpu", None, None),
    "burn-wgpu": ("gpu", "burn", "wgpu"),
    "meganeura": ("gpu", "meganeura", None),
    "wgrad-cpu": ("cpu", None, None),
    "pytorch": ("cpu", None, None),
    "burn-flex": ("cpu", "burn", "flex"),
    "candle": ("cpu", "candle", None),
}
LOSSES = ("loss0", "loss10", "loss15")
# Whose losses are held to be right: the first that ran.
YARDSTICKS = ("pytorch", "wgrad-cpu")


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description="Times training steps of wgrad and its peers in turn.")
    parser.add_argument("words", nargs="*", metavar="WORD", help=", ".join([*WORKLOADS, *SIDES]) + " [default: all]")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs [default: 3]")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a run is timed for [default: 3]")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a run is ended [default: 300]")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch [default: this one]")
    parser.add_argument(
        "--built", type=pathlib.Path, default=ROOT / "target" / "peers", help="target folder of the peers' programs"
    )
    options = parser.parse_args()
    for word in options.words:
        if word not in WORKLOADS and word not in SIDES:
            parser.error(f"`{word}` is neither a workload ({', '.join(WORKLOADS)}) nor a side ({', '.join(SIDES)})")
    if options.rounds < 1:
        parser.error("there is at least one round")
    # Programs are started in the repository, not where the script was.
    options.built = options.built.absolute()
    options.python = os.path.abspath(shutil.which(options.python) or options.python)
    return options


def output(command, **more):
    """What a command prints, or nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, **more)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def step_bench():
    """Builds wgrad's own program, and gives its path."""
    command = ["cargo", "bench", "--bench", "step", "--no-run", "--message-format=json"]
    try:
        built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        return None, f"cargo does not start ({error}): install Rust from https://rustup.rs"
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "step":
            return message["executable"], None
    return None, "`cargo bench --bench step --no-run` fails: see its messages above"


def commands(sides, options):
    """The command of each side that is here, without workload; and one sentence for each that is not."""
    found, missing = {}, {}
    if any(side.startswith("wgrad") for side in sides):
        path, wrong = step_bench()
        for side in sides:
            if side.startswith("wgrad"):
                found[side], missing[side] = (path and [path]), wrong
    for side in sides:
        _, folder, feature = SIDES[side]
        if side == "pytorch":
            probe = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)"
            if os.path.exists(options.python) and subprocess.run([options.python, "-c", probe]).returncode == 0:
                found[side] = [options.python, str(HERE / "torch_steps.py")]
            else:
                missing[side] = f"{options.python} has no torch: `pip install torch`, or name a Python with --python"
        elif folder:
            name = side if feature else f"{folder}-steps"
            program = options.built / "release" / (name + (".exe" if os.name == "nt" else ""))
            if program.exists():
                found[side] = [str(program)]
            else:
                manifest = (HERE / folder / "Cargo.toml").relative_to(ROOT).as_posix()
                build = f"cargo build --release --target-dir target/peers --manifest-path {manifest}"
                missing[side] = f"not built: `{build}{' --features ' + feature if feature else ''}`"
    return {side: command for side, command in found.items() if command}, {
        side: why for side, why in missing.items() if why
    }


def mnist(folder):
    """Writes the first images as plain bytes, for programs that unpack nothing."""
    source = ROOT / "examples" / "data" / "mnist"
    for kind, name, head, size in (("images-idx3", "pixels", 16, 784), ("labels-idx1", "labels", 8, 1)):
        with gzip.open(source / f"train-{kind}-ubyte.gz") as file:
            file.read(head)
            (folder / name).write_bytes(file.read(IMAGES * size))


def run(side, command, workload, folder, options):
    """One run: what it prints about itself, or `wrong` with one sentence."""
    if side.startswith("wgrad"):
        kind, _, _ = SIDES[side]
        command = command + [workload, kind, "replay", "--json", "--seconds", str(options.seconds), "--bench"]
    else:
        command = command + [workload, str(options.seconds), str(folder)]
    alone = {"start_new_session": True} if hasattr(os, "killpg") else {}
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **alone)
    try:
        printed, complaints = child.communicate(timeout=options.limit)
    except subprocess.TimeoutExpired:
        # With the processes that it has started.
        os.killpg(child.pid, signal.SIGKILL) if alone else child.kill()
        child.communicate()
        return {"wrong": f"not done after {options.limit:g} s"}
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    if child.returncode == 0 and lines:
        return json.loads(lines[-1])
    last = (complaints.strip().splitlines() or ["no message"])[-1]
    return {"wrong": f"fails with code {child.returncode}: {last[:200]}"}


def measure(workloads, found, options):
    """All runs by workload and side."""
    results = {workload: {side: [] for side in found} for workload in workloads}
    with tempfile.TemporaryDirectory() as folder:
        mnist(pathlib.Path(folder))
        for workload in workloads:
            for at in range(options.rounds):
                for side in list(found)[:: -1 if at % 2 else 1]:
                    runs = results[workload][side]
                    if any("median_ms" not in run for run in runs):
                        # It would fail again.
                        continue
                    result = run(side, found[side], workload, folder, options)
                    runs.append(result)
                    took = f"{result['median_ms']:.3f} ms a step" if "median_ms" in result else result
                    say(f"{workload} round {at + 1} of {options.rounds}: {side}: {took}")
    return results


def median(runs, name):
    """Of the rounds, where all have it."""
    values = [run.get(name) for run in runs]
    return statistics.median(values) if values and all(isinstance(v, (int, float)) for v in values) else None


def differs(loss, right):
    """Whether the fourth digit is another, by one or more; so is what is no number."""
    return loss is None or not abs(loss - right) < 10.0 ** (math.floor(math.log10(abs(right))) - 3)


def digits(value, count=3):
    """That many digits that count, without an exponent."""
    if value is None:
        return "-"
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, count - whole)}f}" if abs(value) >= 1 else f"{value:.{count}g}"


def rows(workload, results):
    """The lines of a workload."""
    yardstick = next((side for side in YARDSTICKS if median(results.get(side, []), "loss15")), None)
    for side, runs in results.items():
        time, other = median(runs, "median_ms"), runs[-1] if runs else {}
        if time is None:
            why = other.get("left_out") or other.get("wrong", "gives no time")
            yield [workload, side, f"({why})", "", "", "", "", "", ""]
            continue

        def against(name):
            base = median(results.get(name, []), "median_ms")
            return f"{digits(time / base)}" if base else "-"

        own = [median(runs, name) for name in LOSSES]
        right = [median(results[yardstick], name) for name in LOSSES] if yardstick else own
        losses = " ".join("none" if loss is None else f"{loss:.4f}" for loss in own)
        if any(map(differs, own, right)):
            losses += " **differs**"
        yield [
            workload,
            side,
            digits(time, 4),
            digits(min(run["min_ms"] for run in runs), 4),
            against(f"wgrad-{SIDES[side][0]}"),
            against("pytorch"),
            losses,
            digits(median(runs, "first_step_s")),
            f"{median(runs, 'peak_mb'):.0f}" if median(runs, "peak_mb") else "-",
        ]


def cpu():
    """What the processor calls itself."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    except OSError:
        name = None
    name = name.group(1) if name else output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor()
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name or platform.machine()}, {count} cores, {platform.system()} {platform.machine()}"


def version(side, runs):
    """Of the library that the side runs."""
    _, folder, _ = SIDES[side]
    if side.startswith("wgrad"):
        own = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
        commit = output(["git", "describe", "--always", "--dirty"], cwd=ROOT)
        return f"wgrad {own}" + (f" ({commit})" if commit else "")
    if side == "pytorch":
        told = [run["version"] for run in runs if "version" in run]
        return f"PyTorch {told[0]}" if told else "PyTorch"
    pinned = re.search(r'"=([0-9.]+)"', (HERE / folder / "Cargo.toml").read_text()).group(1)
    return f"{folder} {pinned}"


def load():
    """How busy the machine is, in words."""
    if not hasattr(os, "getloadavg"):
        return "load unknown: these figures are worth something only if the machine was idle"
    busy = os.getloadavg()[0]
    if busy < 0.5:
        return f"load average {busy:.2f} at the start"
    return f"load average {busy:.2f} at the start: **other work was running, do not keep these figures**"


def main():
    options = arguments()
    chosen = [word for word in WORKLOADS if word in options.words] or list(WORKLOADS)
    sides = [word for word in SIDES if word in options.words] or list(SIDES)
    # Before this script makes work of its own.
    busy = load()
    say(busy)
    found, missing = commands(sides, options)
    found = {side: found[side] for side in sides if side in found}
    for side, why in missing.items():
        say(f"{side}: {why}")
    results = measure(chosen, found, options)

    every = {side: [run for workload in chosen for run in results[workload][side]] for side in found}
    adapters = {run["device"]: None for run in every.get("wgrad-gpu", []) if "device" in run}
    versions = dict.fromkeys(version(side, every[side]) for side in found)
    compiler = output(["rustc", "--version"]).split(" (")[0]
    print(f"{datetime.date.today()}, {cpu()}; adapter: {', '.join(adapters) or 'not asked for'}; {busy}.")
    print(f"{', '.join(versions)}; {compiler}. Medians of {options.rounds} rounds of {options.seconds:g} s.")
    print()
    ratios = "times wgrad's | times PyTorch's"
    print(f"| workload | side | ms a step | least | {ratios} | loss at 0, 10, 15 | first s | MB |")
    print("|---|---|---:|---:|---:|---:|---|---:|---:|")
    for workload in chosen:
        for row in rows(workload, results[workload]):
            print("| " + " | ".join(row) + " |")
    print()
    print("; ".join(f"{workload.upper()}: {WORKLOADS[workload]}" for workload in chosen) + ".")
    if missing:
        print(f"Not run, since not here: {', '.join(missing)}.")


main()
