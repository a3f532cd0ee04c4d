#!/usr/bin/env python3
r"""Counts the ONNX nodes of every stage of a bundle, beside what PyTorch's two exporters make of the same modules.

Neither exporter takes the official forward pass whole (the last row says why), so they get the official modules stage
by stage, on the tensors that pass between the stages of a bundle, with the sentence's length left open where a bundle
leaves it open. What connects the modules is written here, and in the exporters' favour: no padding, no normalisation of
frames, no choice of a query, the last decoder level's heads alone, one query's mask, and position encodings and masks
computed before the export. The connected stages must give the official forward pass's mask.

Where an exporter fails on a stage, the reason stands in place of the number; a number after it is of the stage without
the operation that was in the way. Nodes in subgraphs count, `Constant` nodes do not, on either side.

    pip install torch torchvision transformers timm einops safetensors pillow pyyaml numpy onnx onnxscript
    cargo build --release && target/release/socc export assets/demo/model.safetensors --config assets/demo/config.yaml \
        --tokenizer assets/demo/roberta --size 96x160 -o bundle
    python benches/node_counts.py bundle --official MRVS_SOC
"""

import argparse
import contextlib
import ctypes
import json
import logging
import os
import sys
import tempfile
import types
import warnings
from pathlib import Path
from unittest import mock

import onnx
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/reference"))
import official

SENTENCE = "the person who walks to the left and then turns around"


class Stage(torch.nn.Module):
    """A stretch of the official model as a module of its own, which is what an exporter takes."""

    open_axes = {}
    """Axis that is the sentence's length, by the input's index from the end."""

    def __init__(self, model, constants):
        super().__init__()
        self.model, self.constants = model, constants

    def forward(self, *inputs):
        return self.run(*inputs)

    def obstacle(self):
        """The operation that an exporter may fail on: its name, and a context in which the stage does without it."""
        return None


class TextEncoder(Stage):
    """Token ids `[1, S]` to word features and their positions, both `[S, C]`."""

    open_axes = {-1: 1}

    def run(self, ids):
        hidden = self.model.text_encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        words = self.model.txt_proj(hidden.transpose(0, 1))
        valid = torch.zeros_like(ids, dtype=torch.bool)
        return words[:, 0], self.model.text_pos(nested(words, valid))[0].T


class VisualBackbone(Stage):
    """Normalised frames `[T, 3, H, W]` to the map of stride 4 and the projected levels, each `[T, C, h, w]`."""

    def run(self, frames):
        maps, _ = self.model.backbone(nested(frames[:, None], self.constants.valid[:, None]))
        maps = [m.tensors for m in maps]
        return maps[0], *(proj(m) for proj, m in zip(self.model.input_proj, [*maps[-3:], maps[-1]]))

    def obstacle(self):
        if not self.constants.shift_masks:
            return None

        def compute_mask(depth, height, width, window, shift, _device):
            return self.constants.shift_masks[tuple(map(int, (depth, height, width, *window, *shift)))]

        swin = sys.modules["models.video_swin_transformer"]
        return "computing shift masks", mock.patch.object(swin, "compute_mask", compute_mask)


class Fusion(Stage):
    """Levels and words to fused levels, query seed `[C]` and text feature `[C]`."""

    open_axes = {-2: 0, -1: 0}

    def run(self, *inputs):
        *levels, words, positions = inputs
        model, words, positions = self.model, words[:, None], positions[:, None]
        proxies, fused = model.proxy_embed.weight[:, None], []
        for index, level in enumerate(levels):
            frames, channels, height, width = level.shape
            tokens = level.permute(0, 2, 3, 1).reshape(-1, 1, channels)
            tokens = model.vlf(tgt=tokens, memory=words, pos=positions)
            if index < 3:
                proxies = proxies + model.v2p(tgt=proxies, memory=tokens, pos=tokens)
            fused.append(tokens.reshape(frames, height, width, channels).permute(0, 3, 1, 2))
        text = model.lvf(tgt=words, memory=proxies)
        return *fused, proxies.mean(0)[0], text.mean(0)[0]


class Transformer(Stage):
    """Fused levels and seed to frame queries `[L, T, Q, C]`, memory maps, and the references of the last two levels."""

    def run(self, *inputs):
        *fused, seed = inputs
        queries = self.model.query_embed.weight
        seeds = seed.expand(1, fused[0].shape[0], *queries.shape)
        hs, memory, _, references, *_ = self.model.transformer(
            fused, seeds, self.constants.masks, self.constants.positions, queries
        )
        return hs, *memory, references[-2], references[-1][..., :2]


class Temporal(Stage):
    """Frame queries, text feature and previous reference to class scores, boxes and fused queries `[T, Q, C]`."""

    def run(self, hs, text, previous):
        levels, frames, queries, channels = hs.shape
        video = self.model.voc(hs[:, :, None], text[None])[:, 0]
        flat = hs.reshape(levels, frames * queries, channels)
        refined = self.model.BMRW(video, flat)
        fused = self.model.query_fusion(flat.transpose(0, 1), refined.transpose(0, 1))
        last = fused[:, -1].reshape(frames, queries, channels)
        boxes = self.model.bbox_embed[-1](last) + sys.modules["misc"].inverse_sigmoid(previous)
        return self.model.class_embed[-1](last), boxes.sigmoid(), last

    def obstacle(self):
        return "linalg.solve", mock.patch.object(torch.linalg, "solve", lambda matrix, _identity: matrix)


class MaskHead(Stage):
    """Memory maps, map of stride 4, one query `[T, 1, C]` and its reference to mask logits `[1, T, h, w]`."""

    def run(self, memory8, memory16, memory32, fpn_input, query, reference):
        features = self.model.spatial_decoder(memory32, [memory16, memory8, fpn_input])
        return self.model.dynamic_mask_with_coords(
            features[None],
            self.model.controller(query).transpose(0, 1),
            reference.transpose(0, 1),
            self.constants.targets,
        )


class Whole(Stage):
    """Normalised frames to everything that the official forward pass gives for one sentence."""

    def run(self, frames):
        samples = nested(frames[:, None], self.constants.valid[:, None])
        out = self.model(samples, None, [SENTENCE], self.constants.targets)
        return out["pred_cls"], out["pred_boxes"], out["pred_masks"]


def nested(tensors, mask):
    return sys.modules["misc"].NestedTensor(tensors, mask)


@torch.no_grad()
def make_constants(model, frames):
    """What depends on the clip's size alone."""
    count, _, height, width = frames.shape
    valid = torch.zeros(count, height, width, dtype=torch.bool)
    swin = sys.modules["models.video_swin_transformer"]
    shift_masks, compute_mask = {}, swin.compute_mask

    def keep(depth, height, width, window, shift, device):
        mask = compute_mask(depth, height, width, window, shift, device)
        shift_masks[(depth, height, width, *window, *shift)] = mask
        return mask

    with mock.patch.object(swin, "compute_mask", keep):
        maps, positions = model.backbone(nested(frames[:, None], valid[:, None]))
    last = model.input_proj[3](maps[-1].tensors)
    masks = [m.mask for m in maps[-3:]] + [torch.zeros(count, *last.shape[-2:], dtype=torch.bool)]
    return types.SimpleNamespace(
        valid=valid,
        shift_masks=shift_masks,
        masks=masks,
        positions=[*positions[-3:], model.backbone[1](nested(last, masks[-1]))],
        targets=[[{"size": torch.as_tensor([height, width])}]],
    )


@torch.no_grad()
def cut(model, frames, ids):
    """Every stage, with the inputs that the stages before it give, by its name in a bundle; last, under `all`, the
    official forward pass. Ends the program where the last stage's mask is not the official one."""
    constants = make_constants(model, frames)
    stages = {}

    def stage(name, kind, *inputs):
        module = kind(model, constants).eval()
        stages[name] = (module, tuple(x.contiguous() for x in inputs))
        return module(*stages[name][1])

    words, positions = stage("text_encoder", TextEncoder, ids)
    fpn_input, *levels = stage("visual_backbone", VisualBackbone, frames)
    *fused, seed, text = stage("fusion", Fusion, *levels, words, positions)
    hs, *memory, previous, reference = stage("transformer", Transformer, *fused, seed)
    scores, _, queries = stage("temporal", Temporal, hs, text, previous)
    best = scores.sigmoid().mean(0).amax(-1).argmax().item()
    (logits,) = stage("mask_head", MaskHead, *memory, fpn_input, queries[:, best, None], reference[:, best, None])
    _, _, masks = stage("all", Whole, frames)
    expected = masks[:, 0, best]
    error = ((logits - expected).norm() / expected.norm()).item()
    if not error < 1e-4:
        sys.exit(f"the stages' mask differs from the official forward pass's: relative L2 error {error:.1e}")
    return stages


def trace(module, inputs, path):
    """The exporter that records a TorchScript trace, at the opset of a bundle."""
    names = [f"input{i}" for i in range(len(inputs))]
    axes = {names[i]: {axis: "sequence"} for i, axis in module.open_axes.items()}
    options = {"do_constant_folding": True, "input_names": names, "dynamic_axes": axes}
    torch.onnx.export(module, inputs, path, dynamo=False, opset_version=17, **options)


def capture(module, inputs, path):
    """The exporter on top of `torch.export`, at the lowest opset that it writes."""
    sequence = torch.export.Dim("sequence", min=2, max=64)
    shapes = [None] * len(inputs)
    for i, axis in module.open_axes.items():
        shapes[i] = {axis: sequence}
    torch.onnx.export(
        module, inputs, path, dynamo=True, opset_version=18, dynamic_shapes=(tuple(shapes),), verbose=False
    )


def count(graph):
    """Nodes of a graph and its subgraphs, `Constant` left out."""
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    return len(nodes) + sum(count(a.g) for node in nodes for a in node.attribute if a.HasField("g"))


def count_file(path):
    model = onnx.load(path, load_external_data=False)
    if model.functions:
        sys.exit(f"{path}: the nodes of local functions are not counted")
    return count(model.graph)


def first_cause(error):
    """Class and first line of the exception that an exporter's own exception stands for."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}".replace("|", "\\|")


@contextlib.contextmanager
def silence():
    """Drops what native code prints too: an exporter that fails writes its graph, thousands of lines."""
    kept = {stream.fileno(): os.dup(stream.fileno()) for stream in (sys.stdout, sys.stderr)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    flush()
    try:
        for descriptor in kept:
            os.dup2(nowhere, descriptor)
        yield
    finally:
        flush()
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nowhere)


def flush():
    """Empties Python's buffers of the standard streams and the C library's."""
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)


@torch.no_grad()
def export(exporter, module, inputs):
    """Node count of what an exporter makes of a module; raises what the exporter raises."""
    with tempfile.TemporaryDirectory() as folder, silence():
        path = Path(folder) / "stage.onnx"
        exporter(module, inputs, str(path))
        return count_file(path)


def cell(exporter, module, inputs):
    """Node count, or why there is none and the count without the operation that was in the way."""
    try:
        return str(export(exporter, module, inputs))
    except Exception as error:  # whatever an exporter raises is the finding
        reason = first_cause(error)
    if (obstacle := module.obstacle()) is None:
        return reason
    name, without = obstacle
    try:
        with without:
            return f"{reason}; without {name}: {export(exporter, module, inputs)}"
    except Exception as error:
        return f"{reason}; without {name}: {first_cause(error)}"


def read_manifest(bundle, checkpoint):
    """Manifest of a bundle that can be compared: FP32, made from that checkpoint."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    if manifest["precision"] != "fp32":
        sys.exit(f"{bundle}: precision {manifest['precision']}; node counts are compared at fp32")
    if manifest["checkpoint"]["file"] != checkpoint.name:
        sys.exit(f"{bundle}: made from {manifest['checkpoint']['file']}, not from {checkpoint.name}; give --checkpoint")
    return manifest


def main():
    parser = argparse.ArgumentParser(description="Counts nodes per stage, beside PyTorch's own exporters.")
    parser.add_argument("bundle", type=Path, help="FP32 bundle of the checkpoint")
    parser.add_argument("--official", required=True, help="checkout of the official repository")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "assets/demo/model.safetensors")
    parser.add_argument("--config", type=Path, default=ROOT / "assets/demo/config.yaml", help="official YAML")
    parser.add_argument("--roberta", type=Path, default=ROOT / "assets/demo/roberta", help="text encoder's folder")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)

    manifest = read_manifest(args.bundle, args.checkpoint)
    model = official.load(args.official, args.checkpoint, args.config, args.roberta)
    torch.manual_seed(0)
    frames = torch.rand(manifest["frames"], 3, manifest["height"], manifest["width"]) * 4 - 2
    ids = model.tokenizer.batch_encode_plus([SENTENCE], return_tensors="pt").input_ids
    ours = {s["name"]: count_file(args.bundle / f"{s['name']}.onnx") for s in manifest["stages"]}
    ours["all"] = sum(ours.values())

    print("| stage | socc | `torch.onnx.export(dynamo=False)` | `torch.onnx.export(dynamo=True)` |\n|---|---|---|---|")
    for name, (module, inputs) in cut(model, frames, ids).items():
        print(
            f"| {name} | {ours[name]} | {cell(trace, module, inputs)} | {cell(capture, module, inputs)} |", flush=True
        )


if __name__ == "__main__":
    main()
