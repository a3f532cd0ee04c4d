#!/usr/bin/env python3
"""Measures, side by side in one run, what the README quotes: export, one clip on every engine and in the official
PyTorch code, and eight expressions against one.

Everything is made on the spot: `socc synth` writes the full-size video-swin-t checkpoint (0.9 GB of made-up weights,
which cost what trained ones cost), and the clip is drawn. Each figure is the median over `--rounds`; in a round the
contenders run one after the other, so a slow minute of the machine slows all of them, and each runs twice and counts
once, so that none pays for the memory that the one before it gave back.

    pip install torch torchvision transformers timm einops safetensors pillow pyyaml numpy onnx
    cargo build --release && target/release/socc setup onnxruntime
    python benches/speed.py --official MRVS_SOC
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FRAMES, HEIGHT, WIDTH = 8, 360, 640
SENTENCES = [
    "the person who walks to the left and then turns around",
    "a dog running behind the red car",
    "the second bird from the right flying away",
    "the man holding a cup and talking to the others",
    "the larger of the two boats moving towards the shore",
    "the girl in the white dress jumping over the rope",
    "a cat that sits still while the other one plays",
    "the ball that is thrown and caught twice",
]
ROBERTA_BASE = {
    "architectures": ["RobertaModel"], "model_type": "roberta", "vocab_size": 50265, "hidden_size": 768,
    "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 514,
    "type_vocab_size": 1, "layer_norm_eps": 1e-5, "hidden_act": "gelu", "pad_token_id": 1, "bos_token_id": 0,
    "eos_token_id": 2,
}  # fmt: skip


def full_size_config(path):
    """The official configuration with the paper's dims, from the demo model's."""
    import yaml

    config = yaml.safe_load((ROOT / "assets/demo/config.yaml").read_text())
    config["DeformTransformer"]["value"].update(d_model=256, dim_feedforward=2048, enc_layers=3, num_queries=20)
    config["VOC"]["value"].update(
        input_dim=256, dim_feedforward=2048, enc_layers=3, dec_layers=3, num_frame_queries=20, num_queries=20
    )
    for key, value in {"num_proxy_query": 20, "eval_short_size": HEIGHT, "eval_max_size": WIDTH}.items():
        config[key]["value"] = value
    path.write_text(yaml.safe_dump(config))


def prepare(work, socc):
    """Checkpoint, configuration, tokenizer and clip in the folder `work`; what lies there already is kept."""
    import numpy as np
    from PIL import Image

    checkpoint = work / "checkpoint.safetensors"
    if not checkpoint.exists():
        subprocess.run([socc, "synth", "--backbone", "video-swin-t", "-o", checkpoint], check=True)
    full_size_config(work / "config.yaml")
    shutil.copytree(ROOT / "assets/demo/roberta", work / "roberta", dirs_exist_ok=True)
    (work / "roberta/config.json").write_text(json.dumps(ROBERTA_BASE))
    (work / "frames").mkdir(exist_ok=True)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for t in range(FRAMES):
        waves = [np.sin(x / a + t) + np.cos(y / b - t / 2) for a, b in ((37, 23), (11, 53), (71, 17))]
        frame = np.stack([(w + 2) * 63.75 for w in waves], -1).astype(np.uint8)
        Image.fromarray(frame).save(work / f"frames/{t:05}.png")


def measure(command):
    """Runs a command; wall seconds and standard output."""
    start = time.perf_counter()
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE)
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}")
    return wall, done.stdout


def peak_memory(command):
    """Runs a command; peak resident and peak anonymous MiB, polled, which slows it: time it in another run."""
    peaks = {"VmHWM": 0, "RssAnon": 0}
    child = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL)
    while child.poll() is None:
        status = Path(f"/proc/{child.pid}/status").read_text()
        for key in peaks:
            found = re.search(rf"{key}:\s+(\d+)", status)
            peaks[key] = max(peaks[key], int(found[1]) // 1024 if found else 0)
        time.sleep(0.005)
    return peaks["VmHWM"], peaks["RssAnon"]


def matmul_peak(threads):
    """GFLOP/s of a large float32 matrix product."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    torch.mm(a, b)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times) / 1e9


def stage_gflop(path, tokens):
    """GFLOP of the matrix products and convolutions of one stage."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    shapes = {i.name: list(i.dims) for i in model.graph.initializer}
    for v in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        shapes[v.name] = [d.dim_value if d.HasField("dim_value") else tokens for d in v.type.tensor_type.shape.dim]

    def size(dims):
        product = 1
        for d in dims:
            product *= d
        return product

    total = 0
    for node in model.graph.node:
        attributes = {a.name: a for a in node.attribute}
        out = size(shapes[node.output[0]])
        if node.op_type == "MatMul":
            total += 2 * out * shapes[node.input[0]][-1]
        elif node.op_type == "Gemm":
            side = shapes[node.input[0]]
            transposed = "transA" in attributes and attributes["transA"].i
            total += 2 * out * side[0 if transposed else 1]
        elif node.op_type == "Conv":
            total += 2 * out * size(shapes[node.input[1]][1:])
        elif node.op_type == "Einsum":
            sys.exit(f"{path}: Einsum is not counted")
    return total / 1e9


def official_run(args, work):
    """A function that runs the official model once on the clip and returns the seconds."""
    sys.path.insert(0, str(ROOT / "tests/reference"))
    import official
    import torch

    torch.set_num_threads(args.threads)
    model = official.load(args.official, work / "checkpoint.safetensors", work / "config.yaml", work / "roberta")
    frames = official.read_frames(sorted((work / "frames").glob("*.png")))

    @torch.no_grad()
    def run():
        samples = sys.modules["misc"].nested_tensor_from_videos_list([frames])
        sizes = [[{"size": torch.as_tensor([HEIGHT, WIDTH])}] for _ in range(FRAMES)]
        start = time.perf_counter()
        model(samples, None, SENTENCES[:1], sizes)
        return time.perf_counter() - start

    return run


def socc_command(args, work, engine, expressions):
    """`socc bench` on the bundle: one cold clip in a fresh process, as the official code runs one."""
    command = [args.socc, "bench", work / "bundle", "--video", work / "frames", "--json", "--mode", "cold", "--quick"]
    command += ["--duration-ms", 1, "--iterations", 1, "--engine", engine, "--threads", args.threads]
    for sentence in SENTENCES[:expressions]:
        command += ["-e", sentence]
    return command


def socc_run(args, work, engine, expressions):
    """One clip on the bundle: seconds per stage of the engine."""
    _, out = measure(socc_command(args, work, engine, expressions))
    stages = json.loads(out)["stages"]
    return {s["name"]: sum(s["samples_ms"]) / 1e3 for s in stages if s["rate"]}


def export_figures(args, work):
    """Export against `cp`, in turn."""
    command = [args.socc, "export", work / "checkpoint.safetensors", "--config", work / "config.yaml", "--force"]
    command += ["--tokenizer", work / "roberta", "--frames", FRAMES, "--size", f"{HEIGHT}x{WIDTH}", "-o", work / "bundle"]
    rows = []
    for _ in range(args.rounds + 2):
        (work / "copy").unlink(missing_ok=True)
        copy, _ = measure(["cp", work / "checkpoint.safetensors", work / "copy"])
        shutil.rmtree(work / "bundle", ignore_errors=True)
        rows.append((measure(command)[0], copy))
    (work / "copy").unlink()
    rows = rows[2:]  # the first pairs warm the page cache
    resident, anonymous = peak_memory(command)
    median = statistics.median
    return {
        "export_s": median(r[0] for r in rows),
        "cp_s": median(r[1] for r in rows),
        "ratio": median(r[0] / r[1] for r in rows),
        "peak_resident_mib": resident,
        "peak_anonymous_mib": anonymous,
    }


def clip_figures(args, work):
    """One clip, one expression, on every contender, in turn; then eight expressions."""
    from tokenizers import Tokenizer

    official = official_run(args, work) if args.official else None
    tokens = len(Tokenizer.from_file(str(work / "roberta/tokenizer.json")).encode(SENTENCES[0]).ids)
    names = [s["name"] for s in json.loads((work / "bundle/manifest.json").read_text())["stages"]]
    gflop = {name: stage_gflop(work / f"bundle/{name}.onnx", tokens) for name in names}
    peaks, torch_s, rounds = [], [], {e: [] for e in args.engines}
    for _ in range(args.rounds):
        peaks.append(matmul_peak(args.threads))
        if official:
            official()
            torch_s.append(official())
        for engine in args.engines:
            socc_run(args, work, engine, 1)
            rounds[engine].append(socc_run(args, work, engine, 1))
    median = statistics.median
    result = {"matmul_gflops": max(peaks), "gflop": gflop, "engines": {}}
    if official:
        result["official_s"] = median(torch_s)
    for engine, runs in rounds.items():
        totals = [sum(r.values()) for r in runs]
        entry = {
            "stages_s": {n: median(r[n] for r in runs) for n in names},
            "total_s": median(totals),
            "peak_resident_mib": peak_memory(socc_command(args, work, engine, 1))[0],
            "eight_over_one": sum(socc_run(args, work, engine, 8).values()) / median(totals),
        }
        if official:
            entry["over_official"] = median(total / t for total, t in zip(totals, torch_s))
        result["engines"][engine] = entry
    return result


def report(export, clip):
    """The figures as Markdown."""
    print(
        f"\nExport {export['export_s']:.2f} s, `cp` {export['cp_s']:.2f} s, ratio {export['ratio']:.2f}; "
        f"peak {export['peak_resident_mib']:.0f} MiB resident, {export['peak_anonymous_mib']} MiB anonymous\n"
    )
    peak, engines = clip["matmul_gflops"], clip["engines"]
    print(f"Matrix-product peak {peak:.0f} GFLOP/s\n")
    print("| stage | GFLOP | " + " | ".join(f"{e}, s (share of peak)" for e in engines) + " |")
    print("|---|---|" + "---|" * len(engines))
    for name, gflop in clip["gflop"].items():
        cells = [f"{e['stages_s'][name]:.2f} ({gflop / e['stages_s'][name] / peak:.0%})" for e in engines.values()]
        print(f"| {name} | {gflop:.1f} | " + " | ".join(cells) + " |")
    total = sum(clip["gflop"].values())
    cells = [f"{e['total_s']:.2f} ({total / e['total_s'] / peak:.0%})" for e in engines.values()]
    print(f"| all | {total:.0f} | " + " | ".join(cells) + " |")
    if "official_s" in clip:
        cells = [f"{e['over_official']:.2f}" for e in engines.values()]
        print(f"| over the official code ({clip['official_s']:.1f} s) | | " + " | ".join(cells) + " |")
    cells = [f"{e['eight_over_one']:.2f}" for e in engines.values()]
    print("| 8 expressions over 1 | | " + " | ".join(cells) + " |")
    cells = [f"{e['peak_resident_mib']:.0f}" for e in engines.values()]
    print("| peak memory, MiB | | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--official", help="checkout of the official repository; without it PyTorch is not timed")
    parser.add_argument("--socc", default=ROOT / "target/release/socc")
    parser.add_argument("--work", type=Path, help="folder for the files (2 GB), kept; default: a temporary one")
    parser.add_argument("--engines", nargs="+", default=["onnxruntime", "embedded"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    temporary = None if args.work else tempfile.TemporaryDirectory()
    work = args.work or Path(temporary.name)
    work.mkdir(parents=True, exist_ok=True)
    prepare(work, args.socc)
    export = export_figures(args, work)
    clip = clip_figures(args, work)
    report(export, clip)
    if args.json:
        args.json.write_text(json.dumps({"export": export, "clip": clip}, indent=1))


if __name__ == "__main__":
    main()
