#!/usr/bin/env python3
"""Makes checkpoints of other configurations than the shipped model's, with golden cases: the rule is general.

    make_variants.py --official MRVS_SOC --out variants/ [NAME ...]

Each variant is `NAME/checkpoint.*`, `config.yaml`, `roberta/` and `cases/CASE/`. The weights are random but fixed: a
hash of each key's name and the element's index, scaled by what the tensor is, so that activations keep their size. The
frames are smooth random waves.

What the official code itself cannot run is not here: `d_model` other than a multiple of 128 (its group norms), as many
queries as decoder layers (`torch.linalg.solve` in `BMRW` then takes the identity for a batch of vectors), fewer than 30
samples per decoder query (heads x 4 levels x points), and what the configuration reader names.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

import official

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "assets" / "demo"
TEXT = "a red square moving left"
U64 = np.uint64

# Per variant: `config` changes the shipped configuration (a dict changes that section), `swin` the backbone's dims,
# `roberta` the text encoder's, `cases` are (frames, height, width), `store` is how the checkpoint is written.
SWIN = {"embed_dim": 16, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8], "window_size": official.SWIN_WINDOW}
VARIANTS = {
    "resnet": {"config": {"backbone": "resnet50"}, "cases": {"clip": (3, 96, 128), "odd": (2, 75, 101)}},
    "plain": {
        "config": {
            "with_box_refine": False,
            "rel_coord": False,
            "num_classes": 65,
            "controller_layers": 2,
            "dynamic_mask_channels": 4,
            "mask_kernels_dim": 16,
            "DeformTransformer": {"dec_layers": 2},
        },
        "cases": {"clip": (3, 96, 128)},
    },
    "wide": {
        "config": {
            "num_proxy_query": 3,
            "DeformTransformer": {
                "d_model": 256, "nheads": 4, "enc_n_points": 2, "dec_n_points": 3, "num_queries": 7, "enc_layers": 1,
                "dec_layers": 6,
            },
            "VOC": {
                "input_dim": 256, "nheads": 4, "num_queries": 7, "num_frame_queries": 7, "enc_layers": 0,
                "dec_layers": 3,
            },
        },
        "swin": {"embed_dim": 24, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]},
        "roberta": {"hidden_size": 48, "num_attention_heads": 3, "num_hidden_layers": 3, "intermediate_size": 100},
        "cases": {"odd": (11, 97, 163)},
    },
    "flat": {"cases": {"low": (5, 64, 200), "narrow": (5, 200, 64)}},
    "long": {"cases": {"two_windows": (17, 64, 64), "one_window": (8, 64, 64), "tall": (9, 256, 64)}},
    "legacy": {"store": "legacy", "cases": {"clip": (2, 64, 96)}},
    "edge": {
        "config": {
            "num_classes": 3,
            "num_proxy_query": 1,
            "controller_layers": 4,
            "DeformTransformer": {
                "d_model": 384, "nheads": 6, "num_queries": 1, "enc_layers": 1, "dec_layers": 2, "enc_n_points": 1,
                "dim_feedforward": 96,
            },
            "VOC": {"input_dim": 384, "nheads": 3, "num_queries": 1, "num_frame_queries": 1, "enc_layers": 1,
                    "dec_layers": 1, "dim_feedforward": 32},
        },
        "swin": {"embed_dim": 8, "depths": [1, 3, 2, 1], "num_heads": [2, 2, 2, 2]},
        "store": "safetensors",
        "cases": {"tiny": (2, 33, 35), "clip": (3, 64, 96)},
    },
}


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def weights(key, shape):
    """Fixed pseudo-random values of a parameter: uniform in `b - a ..= b + a`."""
    count = int(np.prod(shape, dtype=np.int64))
    with np.errstate(over="ignore"):
        x = U64(fnv1a(key)) + np.arange(count, dtype=U64) * U64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
        x ^= x >> U64(31)
    unit = 2 * ((x >> U64(40)).astype(np.float32) * np.float32(2.0**-24)) - np.float32(1)
    a, b = spread(key, shape)
    return torch.from_numpy((unit * np.float32(a) + np.float32(b)).reshape(shape))


def spread(key, shape):
    """Half width and centre of a parameter's values."""
    embeddings = ("_embeddings.weight", "query_embed.weight", "proxy_embed.weight", "fq_pos.weight", "level_embed")
    if key.endswith("relative_position_bias_table"):
        return 0.3, 0.0
    if key.endswith("running_var"):
        return 0.2, 1.0
    if key.endswith("running_mean"):
        return 0.1, 0.0
    if key.endswith("sampling_offsets.bias"):
        return 2.0, 0.0
    if any(part in key for part in embeddings):
        return 0.5, 0.0
    if len(shape) == 1:
        return (0.1, 1.0) if key.endswith("weight") else (0.05, 0.0)
    # Uniform of variance 1 / fan-in: a layer keeps the variance.
    a = np.sqrt(3 / np.prod(shape[1:]))
    return (a / 2, 0.0) if key.endswith("sampling_offsets.weight") else (a, 0.0)


def configuration(changes):
    raw = yaml.safe_load((DEMO / "config.yaml").read_text())
    for key, value in changes.items():
        if isinstance(value, dict):
            raw[key]["value"].update(value)
        else:
            raw[key] = {"value": value}
    return raw


def waves(path, count, height, width):
    """`count` smooth random frames as PNG files."""
    random = np.random.default_rng(fnv1a(f"{path.parent.name} {count} {height} {width}") % 2**32)
    path.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:height, 0:width] / 64
    terms = random.normal(size=(6, 3, 5))
    files = []
    for t in range(count):
        value = np.zeros((height, width, 3))
        for term in terms:
            for c in range(3):
                fy, fx, ft, phase, size = term[c]
                value[..., c] += size * np.sin(4 * (fy * y + fx * x) + 0.5 * ft * t + 3 * phase)
        files.append(path / f"{t:05}.png")
        Image.fromarray(np.clip(128 + 40 * value, 0, 255).astype(np.uint8)).save(files[-1])
    return files


def store(state, kind, folder):
    """Writes the checkpoint in one of the forms that are found in the wild; returns its path."""
    if kind == "safetensors":
        path = folder / "checkpoint.safetensors"
        # The box heads' second names share storage with the first, which safetensors refuses.
        save_file({key: value.clone().contiguous() for key, value in state.items()}, path)
    elif kind == "legacy":
        path = folder / "checkpoint.pt"
        half = {f"module.{k}": v.half() if v.is_floating_point() else v for k, v in state.items()}
        torch.save({"epoch": 1, "model_state_dict": half}, path, _use_new_zipfile_serialization=False)
    else:
        path = folder / "checkpoint.pt"
        torch.save({"epoch": 1, "model_state_dict": state}, path)
    return path


def make(checkout, out, name):
    spec, folder = VARIANTS[name], out / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DEMO / "roberta", folder / "roberta", copy_function=shutil.copyfile)
    roberta = json.loads((folder / "roberta" / "config.json").read_text()) | spec.get("roberta", {})
    (folder / "roberta" / "config.json").write_text(json.dumps(roberta, indent=1))
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration(spec.get("config", {}))))
    config = official.read_config(folder / "config.yaml")
    swin = SWIN | spec.get("swin", {}) if config.backbone.startswith("video-swin") else None
    state = official.build(checkout, config, folder / "roberta", swin).state_dict()
    aliases = "transformer.decoder.bbox_embed."
    for key, value in state.items():
        if value.is_floating_point():
            state[key] = weights(key.replace(aliases, "bbox_embed."), tuple(value.shape))
    if not config.with_box_refine:
        # There every level has one and the same head.
        for key in state:
            level, dot, rest = key.removeprefix("bbox_embed.").removeprefix("class_embed.").partition(".")
            if key.startswith(("bbox_embed.", "class_embed.")) and dot and level != "0":
                state[key] = state[f"{key.split('.')[0]}.0.{rest}"]
    path = store(state, spec.get("store"), folder)
    model = official.load(checkout, path, folder / "config.yaml", folder / "roberta")
    for case, size in spec["cases"].items():
        target = folder / "cases" / case
        written = official.write_case(model, waves(target / "frames", *size), [TEXT], target)
        print(name, case, size, [(e["selected_query"], round(e["margin"], 6)) for e in written["expressions"]], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="*", choices=[[], *VARIANTS], help="all of them by default")
    args = parser.parse_args()
    for name in args.names or VARIANTS:
        make(args.official, args.out, name)


if __name__ == "__main__":
    main()
