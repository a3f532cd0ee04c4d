#!/usr/bin/env python3
"""Runs the official SOC++ PyTorch code on a CPU and writes golden cases.

The official repository is imported from a checkout as it is. It was written for one CUDA device, so what such a
machine has and a CPU does not is replaced before the import, and only that:

* the compiled `MultiScaleDeformableAttention` extension: by the repository's own reference function
  `ms_deform_attn_core_pytorch`;
* `Tensor.cuda()`: by the identity;
* packages that only training, logging or metrics use (wandb, pycocotools, scipy ...), where not installed: by empty
  modules;
* downloads of pretrained weights (RoBERTa, torchvision): by randomly initialised modules, which the checkpoint fills.

The dims of a Video-Swin backbone are not in the official YAML (the names t, s and b stand for them), so they are read
off the checkpoint and put into the official table of names before the official constructor runs.
"""

import argparse
import importlib
import importlib.abc
import importlib.machinery
import json
import re
import shutil
import sys
import types
from pathlib import Path

import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

SWIN_WINDOW = (8, 7, 7)
"""Window of every published Video-Swin backbone (frames, rows, columns); a checkpoint stores only its table's size."""

UNUSED = ("pycocotools", "scipy", "wandb", "cv2", "h5py", "imgaug", "ruamel", "pandas", "matplotlib", "ipdb")
"""Packages that the official modules import but that the forward pass never calls."""


class _Absent(types.ModuleType):
    """A module whose every attribute is a placeholder: importable, and loud when something calls it."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def placeholder(*_args, **_kwargs):
            raise RuntimeError(f"{self.__name__}.{name} was called, but {self.__name__} is not installed")

        return placeholder


class _AbsentFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked last, so that an installed package always wins."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] in UNUSED:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Absent(spec.name)

    def exec_module(self, module):
        pass


class _Tokenizer:
    """Gives newer `transformers` the method name by which the official code calls a tokenizer."""

    def __init__(self, inner):
        self.inner = inner

    def batch_encode_plus(self, texts, **options):
        return self.inner(texts, **options)


def import_official(directory):
    """Imports the official packages from `directory` and returns `(models.soc, misc)`."""
    directory = Path(directory).resolve()
    if not (directory / "models" / "soc.py").is_file():
        sys.exit(f"{directory}/models/soc.py: not found; give --official a checkout of the official repository")
    if "models.soc" in sys.modules:
        return sys.modules["models.soc"], sys.modules["misc"]

    sys.meta_path.append(_AbsentFinder())
    sys.path.insert(0, str(directory))
    sys.dont_write_bytecode = True  # the checkout stays as it was
    extension = types.ModuleType("MultiScaleDeformableAttention")
    sys.modules["MultiScaleDeformableAttention"] = extension
    torch.Tensor.cuda = lambda self, *_args, **_kwargs: self
    # Where timm had its layers when the official code was written.
    sys.modules.setdefault("timm.models.layers", importlib.import_module("timm.layers"))

    misc = importlib.import_module("misc")
    attention = importlib.import_module("models.ops.functions.ms_deform_attn_func")

    def forward(value, shapes, _starts, locations, weights, _step):
        return attention.ms_deform_attn_core_pytorch(value, shapes.tolist(), locations, weights)

    extension.ms_deform_attn_forward = forward
    soc = importlib.import_module("models.soc")
    # Only the main process downloads torchvision weights, so no process is the main one.
    sys.modules["models.backbone"].is_main_process = lambda: False
    return soc, misc


def read_config(path):
    """Official YAML (`key: {value: ...}`) as the namespace that the official constructors take."""
    # PyYAML reads `1e-5` (no dot) as a string, the official reader as a number.
    def number(value):
        if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
            return float(value)
        return value

    with open(path) as file:
        raw = yaml.safe_load(file)
    config = {key: number(entry["value"]) for key, entry in raw.items()}
    config.update(backbone_pretrained_path=None, device="cpu")
    config.setdefault("use_checkpoint", False)
    return argparse.Namespace(**config)


def read_state(path):
    """State dict of a checkpoint: safetensors, or torch (bare, or under `model_state_dict`, `state_dict`, `model`).

    Half precisions become f32, and the `module.` that DataParallel writes before every key goes.
    """
    if Path(path).suffix == ".safetensors":
        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=False)
        for key in ("model_state_dict", "state_dict", "model"):
            if isinstance(state.get(key), dict):
                state = state[key]
                break
    state = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def swin_dims(state):
    """Dims of the Video-Swin backbone in a state dict, as the official constructor's keywords."""
    prefix = "backbone.0.body."
    embed_dim = state[prefix + "patch_embed.proj.weight"].shape[0]
    depths, heads = [], []
    while any(key.startswith(f"{prefix}layers.{len(depths)}.") for key in state):
        stage = f"{prefix}layers.{len(depths)}.blocks."
        depths.append(1 + max(int(key[len(stage):].split(".")[0]) for key in state if key.startswith(stage)))
        heads.append(state[stage + "0.attn.relative_position_bias_table"].shape[1])
    return {"embed_dim": embed_dim, "depths": depths, "num_heads": heads, "window_size": SWIN_WINDOW}


def build(official, config, roberta, swin=None):
    """The official model for `config`, weights as its constructor leaves them, in evaluation mode.

    `roberta` is the folder of the text encoder's config and tokenizer; `swin` (see `swin_dims`) replaces the dims
    that the backbone's name stands for.
    """
    soc, _ = import_official(official)
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    class LocalRoberta:
        @staticmethod
        def from_pretrained(_name):
            return RobertaModel(RobertaConfig.from_pretrained(roberta))

    class LocalTokenizer:
        @staticmethod
        def from_pretrained(_name):
            return _Tokenizer(RobertaTokenizerFast.from_pretrained(roberta))

    soc.RobertaModel, soc.RobertaTokenizerFast = LocalRoberta, LocalTokenizer
    if swin is not None:
        table = importlib.import_module("models.video_swin_transformer").configs
        table[config.backbone] = {**table[config.backbone], **swin}
    return soc.SOC(config).eval()


def spare(key, config):
    """Whether a key of the official state dict reaches no output of inference: buffers that the constructor computes,
    RoBERTa's pooler, class heads of all decoder layers but the last, the box heads' second names."""
    last = config.DeformTransformer["dec_layers"] - 1
    return (
        key.endswith(("relative_position_index", "position_ids", "token_type_ids", "num_batches_tracked"))
        or key.startswith(("text_encoder.pooler.", "transformer.decoder.bbox_embed."))
        or (key.startswith("class_embed.") and not key.startswith(f"class_embed.{last}."))
    )


def load(official, checkpoint, config_path, roberta):
    """The official model of a checkpoint; refuses one that leaves a parameter of the model unset."""
    config = read_config(config_path)
    state = read_state(checkpoint)
    swin = swin_dims(state) if config.backbone.startswith("video-swin") else None
    model = build(official, config, roberta, swin)
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [k for k in missing if not spare(k, config)]
    unexpected = [k for k in unexpected if not spare(k, config)]
    if missing or unexpected:
        sys.exit(f"{checkpoint}: missing {missing[:5]} ({len(missing)}), unexpected {unexpected[:5]} ({len(unexpected)})")
    return model


class Recorder:
    """Forward hooks that keep what passes between the official modules during one call of the model."""

    def __init__(self, model):
        self.seen = {}
        self.handles = [
            model.text_encoder.register_forward_pre_hook(self._keep_ids, with_kwargs=True),
            model.txt_proj.register_forward_hook(self._keep_first("words")),
            model.backbone.register_forward_hook(self._keep_backbone),
            model.transformer.register_forward_hook(self._keep_transformer),
            model.voc.register_forward_hook(self._keep_voc),
            model.query_fusion.register_forward_hook(self._keep_first("fused")),
            model.spatial_decoder.register_forward_hook(self._keep_first("mask_features")),
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()

    def _keep_ids(self, _module, _args, kwargs):
        self.seen["ids"] = kwargs["input_ids"].clone()

    def _keep_first(self, name):
        # txt_proj runs a second time, on the pooled sentence feature, which inference drops.
        def hook(_module, _args, output):
            if name not in self.seen:
                self.seen[name] = output.clone()

        return hook

    def _keep_backbone(self, _module, _args, output):
        self.seen["backbone"] = [level.tensors.clone() for level in output[0]]

    def _keep_transformer(self, _module, args, output):
        # Called once per 64 frames; some outputs are later changed in place.
        memory = [level.clone() for level in output[1]]
        parts = ([s.clone() for s in args[0]], args[1].clone(), output[0].clone(), memory, output[2].clone(),
                 output[3].clone())
        self.seen.setdefault("transformer", []).append(parts)

    def _keep_voc(self, _module, args, output):
        self.seen["text_feature"], self.seen["voc"] = args[1].clone(), output.clone()


def _inner_tensors(seen, frames, levels, queries):
    sources, seeds, hs, memory, init, inter = zip(*seen["transformer"])
    fused = seen["fused"].reshape(frames, queries, levels, -1)
    tensors = {
        "fusion.query_init": seeds[0][0, 0, 0],
        "transformer.hs": torch.cat(hs, 1),
        "transformer.init_reference": torch.cat(init, 0),
        "transformer.inter_references": torch.cat(inter, 1),
        "temporal.text_feature": seen["text_feature"][0],
        "temporal.video_queries": seen["voc"][-1, 0],
        "temporal.fused_queries": fused[:, :, -1],
        "mask.features": seen["mask_features"],
    }
    tensors.update({f"fusion.src{i}": torch.cat(parts, 0) for i, parts in enumerate(zip(*sources))})
    tensors.update({f"transformer.memory{i}": torch.cat(parts, 0) for i, parts in enumerate(zip(*memory))})
    return tensors


def read_frames(paths):
    """PNG files as normalised frames `[T, 3, H, W]`, by the official transform and without resize."""
    import torchvision.transforms as T

    transform = T.Compose([T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    return torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])


@torch.no_grad()
def run(model, frames, text, inner=True, masks="all", backbone=True):
    """One sentence over one clip `[T, 3, H, W]`: golden tensors, selected query, margin of its score.

    `inner` adds what passes between the stages, `backbone` the backbone maps; `masks` is `all` queries or the
    `selected` one only.
    """
    misc = sys.modules["misc"]
    count, _, height, width = frames.shape
    size = torch.as_tensor([height, width])
    samples = misc.nested_tensor_from_videos_list([frames])
    with Recorder(model) as recorder:
        out = model(samples, None, [text], [[{"size": size}] for _ in range(count)])
    seen = recorder.seen
    logits, all_masks = out["pred_cls"][:, 0], out["pred_masks"][:, 0]
    scores = logits.sigmoid().mean(0).max(-1).values
    best = scores.argmax().item()
    ranked = scores.sort(descending=True).values
    margin = (ranked[0] - ranked[1]).item() if len(ranked) > 1 else ranked[0].item()

    tensors = {
        "text.input_ids": seen["ids"],
        "text.word_features": seen["words"][:, 0],
        "out.pred_cls": logits,
        "out.pred_boxes": out["pred_boxes"][:, 0],
        "out.pred_masks": all_masks if masks == "all" else all_masks[:, best : best + 1],
        "post.scores": scores,
    }
    if inner:
        levels = seen["voc"].shape[0]
        tensors.update(_inner_tensors(seen, count, levels, logits.shape[1]))
        if backbone:
            tensors.update({f"backbone.c{i + 2}": level for i, level in enumerate(seen["backbone"])})
    return {key: value.contiguous().clone() for key, value in tensors.items()}, best, margin


def write_case(model, frame_paths, texts, out, inner=True, masks="all", skip=()):
    """Runs every sentence over the frames and writes the case folder `out`.

    `inner` is True, False, or `first`: what passes between the stages for the first sentence only. Tensors named in
    `skip` are left out.
    """
    out = Path(out)
    (out / "frames").mkdir(parents=True, exist_ok=True)
    for index, path in enumerate(frame_paths):
        target = out / "frames" / f"{index:05}.png"
        if Path(path).resolve() != target.resolve():
            shutil.copyfile(path, target)
    frames = read_frames(frame_paths)
    expressions = []
    for index, text in enumerate(texts):
        detailed = index == 0 if inner == "first" else inner
        tensors, best, margin = run(model, frames, text, detailed, masks, backbone=index == 0)
        name = f"expr{index}.safetensors"
        save_file({key: value for key, value in tensors.items() if key not in skip}, out / name)
        expressions.append({"text": text, "file": name, "selected_query": best, "margin": margin})
    case = {"frames": frames.shape[0], "height": frames.shape[2], "width": frames.shape[3], "expressions": expressions}
    (out / "case.json").write_text(json.dumps(case, indent=1))
    return case


def compare(ours, theirs):
    """Per tensor of a golden case: `(file, key, relative L2 error)`; a missing or misshapen tensor counts as infinite."""
    rows = []
    for path in sorted(Path(theirs).glob("expr*.safetensors")):
        golden, mine = load_file(path), load_file(Path(ours) / path.name)
        for key in sorted(set(golden) | set(mine)):
            if key not in golden or key not in mine or golden[key].shape != mine[key].shape:
                rows.append((path.name, key, float("inf")))
                continue
            a, b = mine[key].double(), golden[key].double()
            rows.append((path.name, key, ((a - b).norm() / b.norm().clamp_min(1e-30)).item()))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--official", required=True, help="checkout of the official repository")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--config", required=True, help="official YAML")
    parser.add_argument("--roberta", required=True, help="folder of the text encoder's config and tokenizer")
    parser.add_argument("--frames", help="folder of PNG frames, in the order of their names")
    parser.add_argument("--text", action="append", default=[], help="a sentence; may be given more than once")
    parser.add_argument("--like", help="take frames, sentences and amount of detail from this case, then compare with it")
    parser.add_argument("--brief", action="store_true", help="no tensors between the stages")
    parser.add_argument("--selected", action="store_true", help="the selected query's mask only")
    parser.add_argument("--out", required=True, help="case folder to write")
    args = parser.parse_args()

    inner, masks = not args.brief, "selected" if args.selected else "all"
    if args.like:
        case = json.loads((Path(args.like) / "case.json").read_text())
        args.frames, args.text = Path(args.like) / "frames", [e["text"] for e in case["expressions"]]
        golden = load_file(Path(args.like) / case["expressions"][0]["file"])
        inner = "mask.features" in golden
        masks = "selected" if golden["out.pred_masks"].shape[1] == 1 else "all"
    frames = sorted(Path(args.frames or ".").glob("*.png"))
    if not frames or not args.text:
        sys.exit("nothing to run: give --frames with PNG files and at least one --text, or --like")

    model = load(args.official, args.checkpoint, args.config, args.roberta)
    written = write_case(model, frames, args.text, args.out, inner, masks)
    if not args.like:
        return
    rows = compare(args.out, args.like)
    for file, key, error in rows:
        print(f"{error:9.2e}  {file}  {key}")
    picked = [e["selected_query"] for e in written["expressions"]]
    same = picked == [e["selected_query"] for e in case["expressions"]]
    worst = max(error for _, _, error in rows)
    print(f"worst relative L2 {worst:.2e} over {len(rows)} tensors; selected queries {'agree' if same else 'DIFFER'}")
    sys.exit(0 if same and worst < 1e-5 else 1)


if __name__ == "__main__":
    main()
