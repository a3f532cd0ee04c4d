#!/usr/bin/env python3
"""Makes `exporter/tests/fixtures/parts`: single modules of the official code, with small dims, and what they compute.

    make_parts.py --official MRVS_SOC

Each file is a checkpoint (the module's weights, under the names that it has inside a block of the official model) and
holds beside it `cases.NAME.*`, the operands and results of some calls. Weights come from the rule of
`make_variants.py`, operands from seeded generators.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

import official
from make_variants import weights

PARTS = Path(__file__).resolve().parents[2] / "exporter" / "tests" / "fixtures" / "parts"


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def uniform(seed, low, high, *shape):
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def filled(module, prefix=""):
    """The module in evaluation mode with fixed weights, and those weights by name."""
    state = {key: value for key, value in module.state_dict().items() if value.is_floating_point()}
    state = {key: weights(prefix + key, tuple(value.shape)) for key, value in state.items()}
    module.load_state_dict(state, strict=False)
    return module.eval(), {prefix + key: value for key, value in state.items()}


def write(name, tensors):
    PARTS.mkdir(parents=True, exist_ok=True)
    save_file({key: value.detach().contiguous().clone() for key, value in tensors.items()}, PARTS / f"{name}.safetensors")


@torch.no_grad()
def windows():
    """`SwinTransformerBlock3D`: one plain and one shifted block, over maps that fit, pad or shrink the window."""
    from models.video_swin_transformer import BasicLayer

    layer = BasicLayer(dim=8, depth=2, num_heads=2, window_size=(4, 3, 3), qkv_bias=True)
    layer, tensors = filled(layer)
    sizes = {
        "fits": (8, 6, 6),
        "pads": (5, 4, 7),
        "one_window": (4, 3, 3),
        "short": (2, 6, 5),
        "short_odd": (3, 4, 4),
        "low": (5, 2, 7),
        "narrow": (5, 7, 1),
        "low_and_narrow": (6, 2, 2),
        "single_frame": (1, 7, 8),
        "tiny": (2, 1, 2),
    }
    for number, (name, size) in enumerate(sizes.items()):
        seen = []
        hooks = [block.register_forward_hook(lambda _m, _a, out: seen.append(out.clone())) for block in layer.blocks]
        x = normal(number, 1, *size, 8)
        layer(x.permute(0, 4, 1, 2, 3))
        for hook in hooks:
            hook.remove()
        tensors.update({f"cases.{name}.input": x[0], f"cases.{name}.plain": seen[0][0], f"cases.{name}.shifted": seen[1][0]})
    write("windows", tensors)


@torch.no_grad()
def deformable():
    """`MSDeformAttn`: points as in the encoder, boxes as in the decoder; samples inside, at the edge and far outside."""
    from models.ops.modules import MSDeformAttn

    module, tensors = filled(MSDeformAttn(d_model=16, n_levels=4, n_heads=2, n_points=3))
    frames, queries = 2, 6
    levels = {"usual": [(5, 7), (3, 4), (2, 2), (1, 1)], "thin": [(1, 9), (6, 1), (2, 3), (1, 2)]}
    for number, (shape, sizes) in enumerate(levels.items()):
        memory = normal(10 + number, frames, sum(h * w for h, w in sizes), 16)
        query = 2 * normal(20 + number, frames, queries, 16)
        table = torch.tensor(sizes)
        starts = torch.cat((table.new_zeros(1), table.prod(1).cumsum(0)[:-1]))
        points = uniform(30 + number, 0.0, 1.0, frames, queries, 2)
        # Exactly on the edges and corners, and far outside.
        points[0, :3] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.5]])
        points[1, 0] = torch.tensor([-3.0, 40.0])
        boxes = torch.cat((points, uniform(40 + number, 0.0, 1.5, frames, queries, 2)), -1)
        for kind, reference in (("points", points), ("boxes", boxes)):
            spread = reference[:, :, None].expand(-1, -1, 4, -1)
            out, _, _ = module(query, spread, memory, table, starts)
            case = {"query": query, "memory": memory, "levels": table, "reference": reference, "output": out}
            tensors.update({f"cases.{shape}_{kind}.{key}": value for key, value in case.items()})
    write("deformable", tensors)


@torch.no_grad()
def temporal():
    """`NewVOC`: the frames' scores, the part of them that matches the text, and the video queries."""
    from models.voc import NewVOC

    c, queries = 16, 3
    config = {
        "window_size": 0, "num_frame_queries": queries, "num_queries": queries, "nheads": 4, "dec_layers": 2,
        "num_frames": 8, "input_dim": c, "enc_layers": 1, "dim_feedforward": 20,
    }
    module, tensors = filled(NewVOC(config), "voc.")
    for number, (levels, frames) in enumerate([(1, 4), (2, 1), (2, 5), (4, 2), (5, 7)]):
        seen = {}

        def keep_score(frame_query, mask, score):
            seen["score"] = score.clone()
            return type(module).encode_frame_query(module, frame_query, mask, score)

        module.encode_frame_query = keep_score
        hooks = [
            head.register_forward_hook(lambda _m, _a, out, name=name: seen.update({name: out.clone()}))
            for name, head in (("visibility", module.score_embd), ("change", module.diff_embd))
        ]
        frame_queries = normal(50 + number, levels, frames, 1, queries, c) * uniform(60, 0.5, 2.0, levels, 1, 1, 1, 1)
        text = normal(70 + number, 1, c)
        video = module(frame_queries, text)
        for hook in hooks:
            hook.remove()
        del module.encode_frame_query
        match = seen["score"] - seen["visibility"] - 0.5 * seen["change"]
        case = {
            "frame_queries": frame_queries[:, :, 0],
            "text": text[0],
            "score": seen["score"][:, -1],
            "change": seen["change"][:, -1],
            "match": match[:, -1],
            "video_queries": video[-1, 0],
        }
        tensors.update({f"cases.l{levels}_t{frames}.{key}": value for key, value in case.items()})
    write("temporal", tensors)


@torch.no_grad()
def random_walk(soc):
    """`SOC.BMRW` between video queries and frame queries."""
    tensors = {}
    for number, (queries, frames, name) in enumerate(
        [(5, 4, "usual"), (1, 3, "one_query"), (20, 2, "many"), (4, 1, "single_frame"), (3, 5, "alike"), (5, 4, "far")]
    ):
        # Two levels, of which the last is kept: with one, the official solver misreads a single query.
        x = normal(80 + number, 2, queries, 16)
        y = normal(90 + number, 2, frames * queries, 16)
        if name == "alike":
            x, y = x[:, :1].expand(-1, queries, -1).clone(), x[:, :1].expand(-1, frames * queries, -1).clone()
        if name == "far":
            x, y = 1e3 * x, 1e-3 * y
        out = soc.SOC.BMRW(None, x, y)
        case = {"video": x[-1], "frames": y[-1], "output": out[-1]}
        tensors.update({f"cases.{name}.{key}": value for key, value in case.items()})
    write("random_walk", tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--official", type=Path, required=True)
    args = parser.parse_args()
    soc, _ = official.import_official(args.official)
    windows()
    deformable()
    temporal()
    random_walk(soc)


if __name__ == "__main__":
    sys.exit(main())
