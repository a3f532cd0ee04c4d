#!/usr/bin/env python3
"""Makes the miniature data sets in `tests/fixtures/datasets`, one in each layout that `socc eval` reads, and what the
official code says of them.

    make_datasets.py --official MRVS_SOC

Pictures come from `assets/demo/clip`, the model is that of `assets/demo`. --official is a checkout of the public
repository yongliu20/MRVS_SOC: its model, its `davis2017` and `metrics.py` and its post-processing are run, none of their
text is kept. Beside those of `official.py` this needs h5py, scipy, pycocotools, opencv-python-headless and scikit-image.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pycocotools.mask as coco_masks
import scipy.io
import scipy.optimize
import torch
import torch.nn.functional as F
import torchvision.transforms as T
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import official

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "assets" / "demo"
SETS = ROOT / "tests" / "fixtures" / "datasets"
SHORT, LONG = 96, 160
"""Eval sizes of the demonstration model."""
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [255] * 3 * 252
"""Of full length: Pillow stores labels in as few bits as the palette needs."""


class Official:
    """The official model, its resize, its metrics."""

    def __init__(self, checkout):
        # Aliases that NumPy had when the official code was written.
        for name, kind in (("bool", bool), ("int", int), ("float", float)):
            setattr(np, name, kind)
        self.model = official.load(checkout, DEMO / "model.safetensors", DEMO / "config.yaml", DEMO / "roberta")
        spec = importlib.util.spec_from_file_location("official_transforms", checkout / "datasets" / "transforms.py")
        self.transforms = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.transforms)
        self.davis = importlib.import_module("davis2017.metrics")
        self.evaluation = importlib.import_module("davis2017.evaluation").DAVISEvaluation
        self.statistics = importlib.import_module("davis2017.utils").db_statistics
        self.postprocess = importlib.import_module("models.postprocessing").A2DSentencesPostProcess()
        self.metrics = importlib.import_module("metrics")
        self.normal = T.Compose([T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])

    @torch.no_grad()
    def run(self, images, text, valid=None):
        """Outputs of the model for RGB pictures and one sentence."""
        resized = [self.transforms.resize(image, None, SHORT, LONG)[0] for image in images]
        frames = torch.stack([self.normal(image) for image in resized])
        size = torch.as_tensor(frames.shape[-2:])
        samples = sys.modules["misc"].nested_tensor_from_videos_list([frames])
        targets = [[{"size": size}] for _ in images] if valid is None else [({"size": size},)]
        valid = None if valid is None else torch.tensor([valid])
        return self.model(samples, valid, [text], targets), frames.shape[-2:]

    def probabilities(self, images, text):
        """Mask probabilities of the selected query in the pictures' size, and that query: `infer_*.py`."""
        out, _ = self.run(images, text)
        query = out["pred_cls"][:, 0].sigmoid().mean(0).max(-1).values.argmax().item()
        width, height = images[0].size
        masks = out["pred_masks"][:, 0][:, query][None]
        masks = F.interpolate(masks, size=(height, width), mode="bilinear", align_corners=False)
        return masks.sigmoid()[0].numpy(), query

    def score(self, pred, truth):
        """Means of J and F over frames."""
        j = self.davis.db_eval_iou(truth, pred)
        return float(np.mean(j)), float(np.mean(self.davis.db_eval_boundary(truth, pred)))


def save_palette(labels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8), "P")
    image.putpalette(PALETTE)
    # Not optimised: Pillow would give the labels new numbers.
    image.save(path)


def save_picture(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def save_json(value, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def demo_clip(count, size):
    """Frames of the demonstration clip in another size, and labels 1 to 3 of its objects."""
    frames = [Image.open(DEMO / "clip" / "frames" / f"{i:05}.png").convert("RGB") for i in range(count)]
    frames = [frame.resize(size, Image.Resampling.BILINEAR) for frame in frames]
    labels = []
    for i in range(count):
        label = np.zeros((size[1], size[0]), np.uint8)
        for k in range(3):
            mask = Image.open(DEMO / "clip" / "masks" / str(k) / f"{i:05}.png").resize(size, Image.Resampling.NEAREST)
            label[np.asarray(mask) > 0] = k + 1
        labels.append(label)
    return frames, labels


def summary(videos):
    """`valid.reference.json`'s layout."""
    scores = [e for video in videos.values() for e in video.values()]
    j, f = (float(np.mean([e[k] for e in scores])) for k in "jf")
    return {"J": j, "F": f, "JF": (j + f) / 2, "expressions": len(scores), "videos": videos}


def youtube(code, root):
    """Ref-YouTube-VOS: two videos of different length and size, one sentence twice, one with an accent."""
    clips = {"square": (5, (120, 72)), "wide": (3, (100, 56))}
    sentences = {
        "square": [("a blue circle moving up", 1), ("the white object", 2), ("a blue circle moving up", 1)],
        "wide": [("the object moving down", 3), ("l’objet blanc", 2)],
    }
    meta, reference = {}, {}
    for name, (count, size) in clips.items():
        frames, labels = demo_clip(count, size)
        names = [f"{5 * i:05}" for i in range(count)]
        for frame, label, number in zip(frames, labels, names):
            save_picture(frame, root / "valid" / "JPEGImages" / name / f"{number}.png")
            save_palette(label, root / "valid" / "Annotations" / name / f"{number}.png")
        expressions = {str(i): {"exp": text, "obj_id": str(k)} for i, (text, k) in enumerate(sentences[name])}
        meta[name] = {"frames": names, "expressions": expressions}
        reference[name] = {}
        for key, e in expressions.items():
            masks, query = code.probabilities(frames, e["exp"])
            truth = np.stack(labels) == int(e["obj_id"])
            j, f = code.score(masks > 0.5, truth)
            reference[name][key] = {"j": j, "f": f, "query": query}
            for number, mask in zip(names, masks):
                mask = Image.fromarray((mask > 0.5).astype(np.uint8) * 255)
                save_picture(mask, root / "reference_masks" / name / key / f"{number}.png")
    meta["hidden"] = {"frames": ["00000"], "expressions": {"0": {"exp": "the circle"}}}
    save_json({"videos": meta}, root / "meta_expressions" / "valid" / "meta_expressions.json")
    save_json({"videos": {"hidden": meta["hidden"]}}, root / "meta_expressions" / "test" / "meta_expressions.json")
    save_json(summary(reference), root / "valid.reference.json")


def mevis(code, root):
    """MeViS: one video, an expression of two objects, masks in `mask_dict.json`."""
    frames, labels = demo_clip(4, (96, 64))
    names = [f"{i:05}" for i in range(4)]
    for frame, number in zip(frames, names):
        save_picture(frame, root / "valid" / "JPEGImages" / "pair" / f"{number}.png")
    dictionary = {}
    for k in range(3):
        runs = [coco_masks.encode(np.asfortranarray(label == k + 1)) for label in labels]
        dictionary[str(10 + k)] = [
            {"size": r["size"], "counts": r["counts"].decode()} if coco_masks.area(r) else None for r in runs
        ]
    expressions = {
        "0": {"exp": "a blue circle moving up", "obj_id": [0], "anno_id": [10]},
        "1": {"exp": "the objects that move", "obj_id": [0, 2], "anno_id": [10, 12]},
    }
    save_json(dictionary, root / "valid" / "mask_dict.json")
    meta = {"pair": {"frames": names, "expressions": expressions}}
    save_json({"videos": meta}, root / "meta_expressions" / "valid" / "meta_expressions.json")
    reference = {}
    for key, e in expressions.items():
        masks, query = code.probabilities(frames, e["exp"])
        truth = np.isin(np.stack(labels), [k - 9 for k in e["anno_id"]])
        j, f = code.score(masks > 0.5, truth)
        reference[key] = {"j": j, "f": f, "query": query}
    save_json(summary({"pair": reference}), root / "valid.reference.json")


def davis(code, root):
    """Ref-DAVIS: 38 frames, so that a chunk of 2 follows one of 36; two objects; void pixels."""
    size, count = (48, 32), 38
    base, base_labels = demo_clip(8, size)
    order = [min(i % 14, 14 - i % 14) for i in range(count)]
    frames = [base[i] for i in order]
    labels = [np.where(base_labels[i] == 3, 0, base_labels[i]).astype(np.uint8) for i in order]
    for label in labels:
        label[:4, :6] = 255
    names = [f"{i:05}" for i in range(count)]
    for frame, label, number in zip(frames, labels, names):
        save_picture(frame, root / "valid" / "JPEGImages" / "swing" / f"{number}.png")
        save_palette(label, root / "valid" / "Annotations" / "swing" / f"{number}.png")
    texts = [
        ["a blue circle moving up", "the blue object", "the circle", "a circle"],
        ["the white object", "the white circle", "the object that is white", "the white thing"],
    ]
    expressions = {str(4 * k + a): {"exp": texts[k][a], "obj_id": str(k + 1)} for k in range(2) for a in range(4)}
    # As the official script writes them: ten and more would come before two in another order.
    meta = {"swing": {"frames": names, "expressions": expressions}}
    save_json({"videos": meta}, root / "meta_expressions" / "valid" / "meta_expressions.json")

    truth = np.stack(labels)
    void = truth == 255
    clean = np.where(void, 0, truth)
    objects = np.stack([clean == k + 1 for k in range(clean[0].max())])
    annotators = []
    for a in range(4):
        scores = []
        for k in range(2):
            parts = [code.probabilities(frames[i : i + 36], texts[k][a])[0] for i in range(0, count, 36)]
            scores.append(np.concatenate(parts))
        scores = np.stack(scores)
        scores[scores < 0.5] = 0
        merged = np.concatenate([np.full_like(scores[:1], 0.1), scores]).argmax(0).astype(np.uint8)
        for number, label in zip(names, merged):
            save_palette(label, root / "reference_merged" / f"anno_{a}" / "swing" / f"{number}.png")
        annotators.append(davis_figures(code, "swing", objects, merged, void))
    save_json({**davis_means(annotators), "annotators": annotators}, root / "valid.reference.json")


DAVIS_FIGURES = ["J", "J_recall", "J_decay", "F", "F_recall", "F_decay"]


def davis_means(scores):
    """Mean of every figure, and that of J and F."""
    means = {name: float(np.mean([s[name] for s in scores])) for name in DAVIS_FIGURES}
    return {**means, "JF": (means["J"] + means["F"]) / 2}


def davis_figures(code, video, objects, merged, void):
    """What the official `eval_davis.py` prints of one annotator's labels, in one video."""
    answers = [merged == k + 1 for k in range(merged.max())]
    answers = np.stack(answers) if answers else np.zeros((0, *merged.shape), bool)
    frames = code.evaluation._evaluate_unsupervised(objects, answers, void, ("J", "F"))
    rows = [[*code.statistics(j), *code.statistics(f)] for j, f in zip(*frames)]
    rows = [dict(zip(DAVIS_FIGURES, map(float, row))) for row in rows]
    named = {f"{video}_{k + 1}": davis_means([row]) for k, row in enumerate(rows)}
    return {**davis_means(rows), "objects": named}


def annotated_frame(code, window, text, truth, image, found):
    """The official evaluation of one annotated frame: predictions of all queries, and the object, for COCO."""
    out, size = code.run(window, " ".join(text.lower().split()), valid=len(window) // 2)
    out = {"pred_cls": out["pred_cls"], "pred_masks": out["pred_masks"].flatten(0, 1)}
    result = code.postprocess(out, resized_padded_sample_size=size, resized_sample_sizes=[size],
                              orig_sample_sizes=[truth.shape])[0]
    for score, mask in zip(result["scores"], result["rle_masks"]):
        found["predictions"].append(
            {"image_id": image, "category_id": 1, "segmentation": mask, "score": score.item()})
    runs = coco_masks.encode(np.asfortranarray(truth.astype(np.uint8)))
    found["images"].append({"id": image, "height": truth.shape[0], "width": truth.shape[1]})
    found["annotations"].append({"id": len(found["images"]), "image_id": image, "category_id": 1, "iscrowd": 0,
                                 "segmentation": runs, "area": float(coco_masks.area(runs))})


def coco_summary(code, found):
    """What the official `evaluate_a2d_sentences` prints."""
    truth = COCO()
    truth.dataset = {"categories": [{"id": 1, "name": "dummy"}], "images": found["images"],
                     "annotations": found["annotations"], "info": {}}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        answers = truth.loadRes(found["predictions"])
        evaluation = COCOeval(truth, answers, iouType="segm")
        evaluation.params.useCats = 0
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        precision, overall, mean = code.metrics.calculate_precision_at_k_and_iou_metrics(truth, answers)
    labels = ["mAP 0.5:0.95", "AP 0.5", "AP 0.75", "AP 0.5:0.95 S", "AP 0.5:0.95 M", "AP 0.5:0.95 L"]
    values = dict(zip(labels, map(float, evaluation.stats[:6])))
    values.update({f"P@{k}": float(p) for k, p in zip([0.5, 0.6, 0.7, 0.8, 0.9], precision)})
    return {**values, "overall_iou": float(overall), "mean_iou": float(mean)}


def window_of(frames, number):
    """Eight frames with the one called `number` (from 1) in the fifth place."""
    return [frames[min(max(i, 1), len(frames)) - 1] for i in range(number - 4, number + 4)]


def a2d(code, root):
    """A2D-Sentences: a folder of pictures in place of the video file; frames with one and with two instances."""
    frames, labels = demo_clip(8, (80, 48))
    for i, frame in enumerate(frames):
        save_picture(frame, root / "Release" / "clips320H" / "vid_1" / f"{i + 1:05}.png")
    rows = ["vid_1,1,0:00:01,0:00:02,48,80,8,2,1", "other,1,0:00:01,0:00:02,48,80,8,2,0", "gone,1,0,0,48,80,8,2,1"]
    (root / "Release" / "videoset.csv").write_text("\n".join(rows) + "\n")
    texts = {1: "A Blue  circle moving up", 2: "the white object, really"}
    folder = root / "text_annotations"
    folder.mkdir(parents=True)
    (folder / "a2d_missed_videos.txt").write_text("gone\n")
    lines = ["video_id,instance_id,query"] + [f'vid_1,{k},"{text}"' for k, text in texts.items()]
    (folder / "a2d_annotation.txt").write_text("\n".join([*lines, "vid_1,1 (copy),a slip", "other,1,unused"]) + "\n")
    found = {"images": [], "annotations": [], "predictions": []}
    for number, instances in ((2, [2]), (6, [2, 1])):
        path = folder / "a2d_annotation_with_instances" / "vid_1" / f"{number:05}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        masks = np.stack([(labels[number - 1] == k).astype(np.uint8).T for k in instances])
        with h5py.File(path, "w", libver="earliest") as file:
            file["instance"] = np.array(instances, np.float64)
            stored = masks[0] if len(instances) == 1 else masks
            file.create_dataset("reMask", data=stored, chunks=True, compression="gzip")
        for k in sorted(instances):
            truth = labels[number - 1] == k
            annotated_frame(code, window_of(frames, number), texts[k], truth, f"v_vid_1_f_{number}_i_{k}", found)
    save_json(coco_summary(code, found), root / "test.reference.json")


def jhmdb(code, root):
    """JHMDB-Sentences: one more picture than masks; the official list of samples beside it."""
    frames, labels = demo_clip(8, (72, 48))
    for i, frame in enumerate(frames):
        save_picture(frame, root / "Rename_Images" / "move" / "clip_1" / f"{i + 1:05}.png")
    path = root / "puppet_mask" / "move" / "clip_1" / "puppet_mask.mat"
    path.parent.mkdir(parents=True)
    # Parts of a body have numbers of their own.
    masks = np.stack([(label == 1) * (1 + np.arange(72)[None] % 3) for label in labels[:7]], -1).astype(np.uint8)
    scipy.io.savemat(path, {"part_mask": masks}, do_compression=True)
    # The head tells the time, which would make the file another one every time.
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:])
    text = "a blue circle moving up"
    (root / "jhmdb_annotation.txt").write_text(f"video_id,description\nclip_1,{text}\n")
    found = {"images": [], "annotations": [], "predictions": []}
    samples = []
    for number in (1, 5, 7):
        samples.append(["clip_1", f"/data/Rename_Images/move/clip_1/{number:05}.png", "/data/puppet_mask.mat", 7, text])
        truth = labels[number - 1] == 1
        annotated_frame(code, window_of(frames[:7], number), text, truth, f"v_clip_1_f_{number}", found)
    save_json(samples, root / "jhmdb_sentences_samples_metadata_new.json")
    save_json(coco_summary(code, found), root / "test.reference.json")


def coco_cases(code, path):
    """Random detections, with ties, empty masks and all sizes of objects: COCO's figures for them."""
    random = np.random.default_rng(7)
    found = {"images": [], "annotations": [], "predictions": []}
    cases = []
    for number in range(40):
        side = int(random.choice([24, 80, 200]))
        truth = np.zeros((220, 220), np.uint8)
        if number % 10:
            truth[5 : 5 + side, 7 : 7 + side] = 1
        image = f"v_{number}"
        runs = coco_masks.encode(np.asfortranarray(truth))
        found["images"].append({"id": image, "height": 220, "width": 220})
        found["annotations"].append({"id": number + 1, "image_id": image, "category_id": 1, "iscrowd": 0,
                                     "segmentation": runs, "area": float(coco_masks.area(runs))})
        queries = []
        for _ in range(5):
            mask = np.zeros_like(truth)
            if random.random() > 0.1:
                y, x = random.integers(0, 14, 2)
                mask[y : y + side, x : x + side] = 1
            score = float(np.float32(random.integers(0, 12) / 12))
            found["predictions"].append({"image_id": image, "category_id": 1, "score": score,
                                         "segmentation": coco_masks.encode(np.asfortranarray(mask))})
            queries.append({"score": score, "area": int(mask.sum()), "both": int((mask & truth).sum())})
        cases.append({"image": image, "area": int(truth.sum()), "queries": queries})
    save_json({"images": cases, "expected": coco_summary(code, found)}, path)


def assignments(path):
    """SciPy's assignment for random gains."""
    random = np.random.default_rng(3)
    cases = []
    for rows, columns in ((1, 1), (2, 4), (3, 3), (5, 9), (8, 8)):
        gains = random.random((rows, columns)).round(6)
        _, chosen = scipy.optimize.linear_sum_assignment(-gains)
        cases.append({"gains": gains.tolist(), "columns": chosen.tolist()})
    save_json(cases, path)


def statistics(code, path):
    """Mean, recall and decay of random values per frame, some of them on the border of 0.5."""
    random = np.random.default_rng(11)
    cases = []
    for frames in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 38, 101, 255):
        values = random.integers(0, 21, frames) / 20
        mean, recall, decay = map(float, code.statistics(values))
        cases.append({"values": values.tolist(), "mean": mean, "recall": recall, "decay": decay})
    save_json(cases, path)


def run_lengths(path):
    """A 5 x 4 mask as pycocotools encodes it."""
    mask = np.zeros((4, 5), np.uint8, order="F")
    for y, x in ((1, 0), (2, 0), (3, 0), (0, 1), (2, 3)):
        mask[y, x] = 1
    path.write_text(coco_masks.encode(mask)["counts"].decode() + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--official", type=Path, required=True)
    args = parser.parse_args()
    code = Official(args.official.resolve())
    shutil.rmtree(SETS, ignore_errors=True)
    SETS.mkdir(parents=True)
    run_lengths(SETS / "rle.txt")
    assignments(SETS / "assignment.json")
    statistics(code, SETS / "statistics.json")
    coco_cases(code, SETS / "coco.json")
    youtube(code, SETS / "ref-youtube-vos")
    mevis(code, SETS / "mevis")
    davis(code, SETS / "ref-davis")
    a2d(code, SETS / "a2d-sentences")
    jhmdb(code, SETS / "jhmdb-sentences")


if __name__ == "__main__":
    main()
