#!/usr/bin/env python3
"""Makes the shipped small model `assets/demo` and, from it, the golden cases `tests/fixtures/cases`.

    make_demo.py model --source TRAINED --video valid027
    make_demo.py cases --official MRVS_SOC

TRAINED is the folder of a training run: `checkpoint.tar` as the official trainer writes it, `config.yaml`, `roberta/`
and `dataset/` in the layout of Ref-YouTube-VOS with PNG frames. The cases need nothing but `assets/demo` and a checkout
of the official repository.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import official

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "assets" / "demo"
CASES = ROOT / "tests" / "fixtures" / "cases"


def make_model(source, video):
    """`assets/demo` from a training run's folder."""
    DEMO.mkdir(parents=True, exist_ok=True)
    config = official.read_config(source / "config.yaml")
    state = official.read_state(source / "checkpoint.tar")
    kept = {key: value.half().contiguous() for key, value in state.items() if not official.spare(key, config)}
    bad = [key for key, value in kept.items() if not torch.isfinite(value).all()]
    assert not bad, f"out of float16's range: {bad}"
    save_file(kept, DEMO / "model.safetensors")
    shutil.copyfile(source / "config.yaml", DEMO / "config.yaml")
    (DEMO / "roberta").mkdir(exist_ok=True)
    for file in sorted((source / "roberta").iterdir()):
        shutil.copyfile(file, DEMO / "roberta" / file.name)
    make_clip(source / "dataset", video)


def make_clip(dataset, video):
    """`assets/demo/clip`: one video's frames, and per expression the ground truth of the object that it means."""
    meta = json.loads((dataset / "meta_expressions" / "valid" / "meta_expressions.json").read_text())["videos"][video]
    clip = DEMO / "clip"
    shutil.rmtree(clip, ignore_errors=True)
    (clip / "frames").mkdir(parents=True)
    for frame in meta["frames"]:
        shutil.copyfile(dataset / "valid" / "JPEGImages" / video / f"{frame}.png", clip / "frames" / f"{frame}.png")
    expressions = []
    # The first sentence means the same object as the second; three make a readable table.
    for index, expression in enumerate(list(meta["expressions"].values())[1:4]):
        folder = clip / "masks" / str(index)
        folder.mkdir(parents=True)
        for frame in meta["frames"]:
            labels = np.asarray(Image.open(dataset / "valid" / "Annotations" / video / f"{frame}.png"))
            mask = (labels == int(expression["obj_id"])).astype(np.uint8) * 255
            Image.fromarray(mask, "L").save(folder / f"{frame}.png", optimize=True)
        expressions.append({"text": expression["exp"], "masks": f"masks/{index}"})
    (clip / "clip.json").write_text(json.dumps({"expressions": expressions}, indent=1) + "\n")


def make_cases(checkout):
    """`tests/fixtures/cases` from `assets/demo` by the official code."""
    model = official.load(checkout, DEMO / "model.safetensors", DEMO / "config.yaml", DEMO / "roberta")
    frames = sorted((DEMO / "clip" / "frames").glob("*.png"))
    texts = [e["text"] for e in json.loads((DEMO / "clip" / "clip.json").read_text())["expressions"]]
    shutil.rmtree(CASES, ignore_errors=True)
    # What passes between the stages is large: for the first sentence only, and the largest map, which c3 is made of,
    # for the single frame only.
    skip = ("backbone.c2",)
    official.write_case(model, frames[:3], texts[:2], CASES / "clip", inner="first", skip=skip)
    with tempfile.TemporaryDirectory() as folder:
        images = [Image.open(path).convert("RGB") for path in frames]
        single, odd = Path(folder) / "single.png", []
        images[4].crop((16, 8, 144, 88)).save(single, optimize=True)
        for index, image in enumerate(images[:5]):
            odd.append(Path(folder) / f"odd{index}.png")
            image.resize((131, 97), Image.Resampling.BILINEAR).save(odd[-1], optimize=True)
        official.write_case(model, [single], ["the blue object"], CASES / "single")
        official.write_case(model, odd, [texts[2]], CASES / "odd", skip=skip)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    model = commands.add_parser("model", help="assets/demo from a training run")
    model.add_argument("--source", type=Path, required=True)
    model.add_argument("--video", required=True, help="the video of the split `valid` that becomes the clip")
    cases = commands.add_parser("cases", help="tests/fixtures/cases from assets/demo")
    cases.add_argument("--official", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "model":
        make_model(args.source, args.video)
    else:
        make_cases(args.official)


if __name__ == "__main__":
    main()
