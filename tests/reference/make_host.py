"""Makes the fixtures of the host side: `python tests/reference/make_host.py --official DIR --tokenizer DIR`.

--official is a checkout of the public repository yongliu20/MRVS_SOC: its `davis2017/metrics.py` and
`datasets/transforms.py` are run, none of their text is kept. --tokenizer is the folder of a RoBERTa tokenizer
(tokenizer.json, vocab.json, merges.txt), copied beside the expected ids.

Needs numpy, pillow, torch, torchvision, transformers, opencv-python-headless, scikit-image. Versions of the fixtures
in the repository: see tests/fixtures/host/README.md.
"""

import argparse
import hashlib
import importlib.util
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "host"


def write_json(path, rows):
    """One entry a line: diffs stay readable and files small."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
    path.write_text(f"[\n{lines}\n]\n")


def folder(name):
    path = OUT / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def save_mask(path, mask):
    Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(path, optimize=True)


# --- metrics ---------------------------------------------------------------------------------------------------------


def disk(h, w, cy, cx, r):
    y, x = np.mgrid[:h, :w]
    return (y - cy) ** 2 + (x - cx) ** 2 <= r * r


def metric_masks():
    """Pairs (name, prediction, truth)."""
    rng = np.random.default_rng(7)
    empty, full = np.zeros((48, 64), bool), np.ones((48, 64), bool)
    dot = empty.copy()
    dot[20, 30] = True
    near, corner, last = empty.copy(), empty.copy(), empty.copy()
    near[21, 31] = True
    corner[0, 0] = True
    last[-1, -1] = True
    ring = disk(48, 64, 24, 30, 18) & ~disk(48, 64, 24, 30, 9)
    half = empty.copy()
    half[:, 32:] = True
    bottom = empty.copy()
    bottom[40:, :] = True
    big = disk(360, 640, 150, 300, 90) | disk(360, 640, 200, 420, 60)
    moved = np.roll(big, (4, 5), (0, 1))
    far = np.roll(big, (9, 2), (0, 1))
    yield "empty-empty", empty, empty
    yield "empty-full", empty, full
    yield "full-empty", full, empty
    yield "full-full", full, full
    yield "dot-empty", dot, empty
    yield "empty-dot", empty, dot
    yield "dot-dot", dot, dot
    yield "dot-near", dot, near
    yield "dot-corner", dot, corner
    yield "corner-last", corner, last
    yield "last-last", last, last
    yield "ring-disk", ring, disk(48, 64, 24, 30, 18)
    yield "ring-moved", ring, np.roll(ring, (2, -1), (0, 1))
    yield "half-full", half, full
    yield "half-bottom", half, bottom
    yield "border-disk", disk(48, 64, 0, 60, 15), disk(48, 64, 2, 63, 14)
    yield "noise", rng.random((48, 64)) > 0.5, rng.random((48, 64)) > 0.5
    yield "sparse", rng.random((97, 163)) > 0.995, rng.random((97, 163)) > 0.995
    yield "odd", disk(97, 163, 40, 80, 30), disk(97, 163, 44, 85, 27)
    yield "tall", disk(163, 97, 80, 40, 30), disk(163, 97, 83, 36, 31)
    yield "row", rng.random((1, 40)) > 0.5, rng.random((1, 40)) > 0.5
    yield "column", rng.random((40, 1)) > 0.5, rng.random((40, 1)) > 0.5
    yield "pixel", np.ones((1, 1), bool), np.zeros((1, 1), bool)
    yield "big-moved", big, moved
    yield "big-far", big, far
    yield "big-noise", big ^ (rng.random((360, 640)) > 0.998), big
    # A diagonal of exactly 500 pixels: the radius is a whole number before rounding up.
    yield "exact", disk(300, 400, 150, 200, 80), disk(300, 400, 153, 197, 83)


def metrics(official):
    sys.path.insert(0, str(official))
    from davis2017.metrics import db_eval_boundary, db_eval_iou

    out, rows = folder("metrics"), []
    for name, pred, truth in metric_masks():
        save_mask(out / f"{name}.pred.png", pred)
        save_mask(out / f"{name}.truth.png", truth)
        with np.errstate(all="ignore"):
            j, f = db_eval_iou(truth, pred), db_eval_boundary(truth, pred)
        rows.append({"name": name, "j": float(j), "f": float(f)})
    write_json(out / "expected.json", rows)


# --- resize ----------------------------------------------------------------------------------------------------------


def pattern(w, h):
    """Integers only, so that a test can compute it again: steps, ramps and fine texture."""
    y, x = np.mgrid[:h, :w].astype(np.int64)
    rgb = [x * 7 + y * 13, (x * y) >> 3, (x * 255 // max(w - 1, 1)) ^ ((y * 31) & 64)]
    return np.stack([c & 255 for c in rgb], -1).astype(np.uint8)


def resize():
    out, rows = folder("resize"), []
    rng = np.random.default_rng(11)
    noise = {(67, 41): 0, (1, 1): 0, (1, 17): 0, (23, 1): 0}
    for w, h in noise:
        Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)).save(out / f"noise-{w}x{h}.png")
    # Black and white only: sums reach the ends of the range.
    hard = (rng.random((29, 31, 1)) > 0.5).repeat(3, -1).astype(np.uint8) * 255
    Image.fromarray(hard).save(out / "hard-31x29.png")
    cases = {
        "noise-67x41": [(67, 41), (160, 96), (33, 20), (34, 41), (67, 20), (1, 1), (1, 41), (67, 1), (7, 3), (68, 42),
                       
                        (66, 40), (200, 5), (3, 200), (134, 82)],
        "noise-1x1": [(1, 1), (5, 4), (1, 9)],
        "noise-1x17": [(1, 5), (3, 17), (8, 40), (1, 1)],
        "noise-23x1": [(5, 1), (23, 3), (40, 8), (1, 1)],
        "hard-31x29": [(62, 58), (15, 14), (30, 30), (100, 7)],
    }
    for name, sizes in cases.items():
        image = Image.open(out / f"{name}.png").convert("RGB")
        rows += [resized(name, image, size) for size in sizes]
    for size, targets in {(1280, 720): [(640, 360)], (854, 480): [(640, 359), (640, 360)], (320, 180): [(640, 360)],
                          (163, 97): [(604, 360), (160, 96)], (480, 854): [(360, 640)], (720, 1600): [(288, 640)],
                          (300, 700): [(274, 640)], (100, 200): [(90, 180), (90, 179), (90, 220), (101, 199)]}.items():
        image = Image.fromarray(pattern(*size))
        rows += [resized(f"pattern-{size[0]}x{size[1]}", image, target) for target in targets]
    write_json(out / "expected.json", rows)


def resized(name, image, size):
    raw = image.resize(size, Image.Resampling.BILINEAR).tobytes()
    digest = hashlib.sha256(raw).hexdigest()
    return {"input": name, "width": size[0], "height": size[1], "sha256": digest}


def sizes(root):
    """By the official transform itself, on blank pictures."""
    # By path: the package around it imports what newer torchvision no longer has.
    spec = importlib.util.spec_from_file_location("official_transforms", root / "datasets" / "transforms.py")
    transforms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(transforms)
    rows = []
    for short, longest in [(360, 640), (96, 160), (480, 800)]:
        for w, h in [(1280, 720), (720, 1280), (640, 360), (360, 640), (1920, 1080), (1080, 1920), (854, 480),
                     (480, 854), (853, 480), (848, 480), (500, 500), (360, 360), (640, 640), (2000, 500), (500, 2000),
                     (1000, 301), (301, 1000), (163, 97), (97, 163), (640, 361), (641, 360), (361, 640), (360, 641),
                     (320, 240), (240, 320), (1024, 768), (2048, 858), (3840, 1600), (50, 40), (1, 1), (2, 1), (1, 2),
                     (17, 1), (1, 17), (100, 3), (3, 100), (1279, 719), (719, 1279), (1003, 997), (997, 1003),
                     (160, 96), (96, 160), (1600, 900), (1777, 1000), (1778, 1000), (1080, 2340)]:
            picture, _ = transforms.resize(Image.new("RGB", (w, h)), None, short, longest)
            rows.append([w, h, short, longest, *picture.size])
    write_json(OUT / "sizes.json", rows)


# --- masks -----------------------------------------------------------------------------------------------------------


def masks():
    import torch
    import torch.nn.functional as F

    out, rows = folder("masks"), []
    torch.manual_seed(3)
    for name, (h, w), smooth, (to_h, to_w) in [
        ("up4", (24, 40), 5, (96, 160)),
        ("odd", (25, 41), 3, (97, 163)),
        ("noise", (12, 20), 1, (53, 71)),
        ("same", (9, 14), 1, (9, 14)),
        ("down", (30, 24), 1, (13, 7)),
        ("mixed", (10, 30), 1, (33, 11)),
        ("pixel", (1, 1), 1, (5, 7)),
        ("row", (1, 9), 1, (4, 30)),
        ("large", (12, 20), 3, (360, 640)),
    ]:
        big = torch.zeros(1)
        while big.abs().min() < 1e-5:  # Nearer to 0, the order of additions would decide.
            logits = torch.randn(1, 1, h, w)
            if smooth > 1:
                logits = F.avg_pool2d(logits, smooth, 1, smooth // 2)
            logits = (logits * 100).round() / 16 + 0.013
            big = F.interpolate(logits, size=(to_h, to_w), mode="bilinear", align_corners=False)
        save_mask(out / f"{name}.png", (big.sigmoid() > 0.5)[0, 0].numpy())
        values = [round(v, 4) for v in logits.flatten().tolist()]
        rows.append({"name": name, "height": h, "width": w, "logits": values})
    write_json(out / "expected.json", rows)


# --- tokenizer -------------------------------------------------------------------------------------------------------

SENTENCES = [
    "a red square moving left",
    "the person in white, who's holding a dog's leash",
    "A RED Square",
    " leading space",
    "trailing space ",
    "two  spaces   and\ttab\nnewline",
    "3 dogs and 42 cats at 10:30",
    "don't we'll they've I'm he'd you're it's",
    "caf\u00e9 na\u00efve \u00fcber stra\u00dfe",
    "\u4e00\u53ea\u72d7\u5728\u8dd1",
    "\U0001f415 next to \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e\u0301 combining and \u00a0non-breaking",
    "(brackets) [and] {braces} <angles>!?;:\"'`~@#$%^&*_+=|\\/",
    "...",
    "-",
    "x",
    "supercalifragilisticexpialidocious zzzz qqqq",
    "\u0416\u0443\u043a \u043f\u043e\u043b\u0437\u0451\u0442",
    "a </s> b <mask> c <s>",
    "the <pad><unk> tail",
    "end with mask <mask>",
    "number 1234567890 and 3.14",
    "\u1e9e\u0130\u03a3 capital letters beyond ASCII",
    "under_score snake_case CamelCase",
    "\u200bzero width\ufeff",
]
CLEANED = [
    "A Red  Square ", " \tthe\n DOG\u00a0runs\u3000fast\u2028now\x1cand\x85then", "\u0130stanbul",
    "\u039f\u0394\u039f\u03a3 \u03a3", "", "  ", "\u1e9e \u01c5", "\u200bkept\ufeff", "a\x1fb\x0bc\x0cd",
]


def tokenizer(source):
    from transformers import AutoTokenizer, RobertaTokenizerFast

    out = folder("tokenizer")
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        shutil.copyfile(source / name, out / name)
    from_json = AutoTokenizer.from_pretrained(source)
    parts = RobertaTokenizerFast(vocab=str(out / "vocab.json"), merges=str(out / "merges.txt"))
    rows = []
    for text in SENTENCES:
        row = {"text": text, "json": from_json(text)["input_ids"], "parts": parts(text)["input_ids"]}
        rows.append(row)
    write_json(out / "expected.json", rows)
    # What the official datasets do to a sentence.
    write_json(out / "cleaned.json", [[text, " ".join(text.lower().split())] for text in CLEANED])


# --- frames ----------------------------------------------------------------------------------------------------------


def frames():
    out = folder("frames")
    rgb = Image.fromarray(pattern(37, 23))
    smooth = Image.fromarray(pattern(8, 8)).resize((37, 23), Image.Resampling.BICUBIC)
    ramp = np.arange(37 * 23, dtype=np.uint32).reshape(23, 37) * 65535 // (37 * 23 - 1)
    alpha = Image.fromarray(pattern(37, 23)[:, :, 2])
    pictures = {
        "rgb.png": rgb,
        "grey.png": rgb.convert("L"),
        "grey-alpha.png": Image.merge("LA", (rgb.convert("L"), alpha)),
        "rgba.png": Image.merge("RGBA", (*rgb.split(), alpha)),
        "palette.png": rgb.quantize(16),
        "bits.png": rgb.convert("1"),
        "grey16.png": Image.fromarray(ramp.astype(np.uint16)),
        "rgb.bmp": rgb,
        "rgb.webp": rgb,
        "rgb444.jpg": smooth,
        "rgb420.jpg": smooth,
        "grey.jpg": smooth.convert("L"),
        "cmyk.jpg": smooth.convert("CMYK"),
        "progressive.jpg": smooth,
    }
    options = {
        "rgb.webp": {"lossless": True},
        "rgb444.jpg": {"subsampling": 0, "quality": 90},
        "rgb420.jpg": {"subsampling": 2, "quality": 90},
        "progressive.jpg": {"progressive": True, "quality": 90},
    }
    for name, picture in pictures.items():
        picture.save(out / name, **options.get(name, {}))
    transparent = rgb.quantize(16)
    transparent.save(out / "palette-transparent.png", transparency=3)
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth.save(out / "rotated-exif.jpg", quality=90, exif=exif)
    (out / "rgb16.png").write_bytes(png16(ramp))
    expected = folder("frames-expected")
    for path in sorted(out.iterdir()):
        with Image.open(path) as image:
            image.convert("RGB").save(expected / f"{path.name}.png", optimize=True)
    rgb.quantize(4).save(out / "palette2.png")
    names = ("palette.png", "palette-transparent.png", "palette2.png", "bits.png", "grey.png")
    labels = {name: np.asarray(Image.open(out / name)).astype(np.uint8) for name in names}
    digests = [[name, hashlib.sha256(values.tobytes()).hexdigest()] for name, values in labels.items()]
    write_json(OUT / "labels.json", digests)
    damaged = (out / "rgb.png").read_bytes()
    (out / "truncated.png").write_bytes(damaged[: len(damaged) // 2])
    # A picture of 0 x 23 pixels, as no encoder would write it.
    (out / "no-width.png").write_bytes(damaged[:16] + bytes(4) + damaged[20:])


def png16(ramp):
    """RGB of 16 bits a channel, which Pillow reads but does not write."""
    import struct
    import zlib

    h, w = ramp.shape
    rgb = np.stack([ramp, ramp[::-1], 65535 - ramp], -1).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in rgb)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", w, h, 16, 2, 0, 0, 0)
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, 2)
    for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")):
        out.write(chunk(kind, data))
    return out.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    args = parser.parse_args()
    metrics(args.official.resolve())
    resize()
    sizes(args.official.resolve())
    masks()
    tokenizer(args.tokenizer)
    frames()


if __name__ == "__main__":
    main()
