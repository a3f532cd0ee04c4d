#!/usr/bin/env python3
"""Measures memory and time of `socc run` against the number of frames and of expressions, and draws both.

The model is the small one of `assets/demo`, its clip goes back and forth until it is as long as needed. Each run is a
process of its own; its peak memory is what the system says of it (`ru_maxrss`), its time is from start to end. The table
goes to standard output, the plot to `--plot`.

    pip install matplotlib
    cargo build --release && python benches/length.py --plot length.svg
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "assets" / "demo"
FRAMES = [8, 32, 128, 500]
EXPRESSIONS = [1, 4, 16]
SENTENCES = ["a blue circle moving up", "the white object", "the object moving down", "the blue object"]


def make_clip(folder, frames):
    """A folder of `frames` pictures: the demonstration clip, back and forth."""
    pictures = sorted((DEMO / "clip" / "frames").glob("*.png"))
    period = 2 * (len(pictures) - 1)
    folder.mkdir()
    for i in range(frames):
        at = min(i % period, period - i % period)
        shutil.copyfile(pictures[at], folder / f"{i:05}.png")


def run(socc, clip, expressions, out, options):
    """Peak memory in MiB, seconds, and milliseconds by stage of one run."""
    command = [socc, "run", DEMO / "model.safetensors", "--config", DEMO / "config.yaml", "--tokenizer",
               DEMO / "roberta", "--video", clip, "-o", out, *options]
    for i in range(expressions):
        command += ["-e", SENTENCES[i % len(SENTENCES)]]
    start = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    if status != 0:
        raise SystemExit(f"socc failed: {command}")
    stages = json.loads((out / "result.json").read_text())["times_ms"]["stages"]
    return usage.ru_maxrss / 1024, seconds, {s["name"]: s["total"] for s in stages}


def measure(args):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for frames in FRAMES:
            make_clip(folder / str(frames), frames)
        cases = [(f, 1, []) for f in FRAMES] + [(FRAMES[0], e, []) for e in EXPRESSIONS[1:]]
        cases += [(f, 1, ["--window", "32", "--overlap", "8"]) for f in FRAMES[2:]]
        for frames, expressions, window in cases:
            out = folder / "out"
            options = ["--engine", args.engine, "--deformable", args.deformable, *window]
            memory, seconds, stages = run(args.socc, folder / str(frames), expressions, out, options)
            shutil.rmtree(out)
            rows.append((frames, expressions, bool(window), memory, seconds, stages))
            print(row(rows[-1]), flush=True)
    return rows


def row(measured):
    frames, expressions, window, memory, seconds, stages = measured
    cut = "32, overlap 8" if window else "whole clip"
    rest = " | ".join(f"{stages[name]:.0f}" for name in ("visual_backbone", "fusion", "transformer", "temporal", "mask_head"))
    return f"| {frames} | {expressions} | {cut} | {memory:.0f} | {seconds:.2f} | {rest} |"


def draw(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), constrained_layout=True)
    whole = [r for r in rows if r[1] == 1 and not r[2]]
    cut = [r for r in rows if r[2]]
    for axis, column, label in ((axes[0], 3, "peak memory, MiB"), (axes[1], 4, "time, s")):
        axis.plot([r[0] for r in whole], [r[column] for r in whole], "o-", label="whole clip")
        axis.plot([r[0] for r in cut], [r[column] for r in cut], "s--", label="windows of 32, overlap 8")
        axis.set(xlabel="frames", ylabel=label, xscale="log", yscale="log")
        axis.legend()
    short = [r for r in rows if r[0] == FRAMES[0] and not r[2]]
    axes[2].plot([r[1] for r in short], [r[4] for r in short], "o-")
    axes[2].set(xlabel=f"expressions ({FRAMES[0]} frames)", ylabel="time, s", ylim=0)
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--socc", type=Path, default=ROOT / "target" / "release" / "socc")
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--deformable", default="grid-sample")
    parser.add_argument("--plot", type=Path, default=Path("length.svg"))
    args = parser.parse_args()
    print("| frames | expressions | cut | peak memory, MiB | time, s | backbone, ms | fusion | transformer | temporal | mask head |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    draw(measure(args), args.plot)


if __name__ == "__main__":
    main()
