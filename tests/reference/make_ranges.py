"""Makes the fixtures of `socc calibrate`:

    python tests/reference/make_ranges.py scales
    python tests/reference/make_ranges.py activations --bundle BUNDLE

`scales` writes calibration/tests/fixtures/scales.json: for made-up values of several distributions, the clips that
the definitions of the methods give, computed plainly with NumPy, and those of ONNX Runtime's calibrators.

`activations` writes tests/fixtures/ranges.json: minimum and maximum of every float32 value of every stage, computed
by ONNX Runtime on the first two frames of assets/demo/clip. BUNDLE is what

    socc export assets/demo/model.safetensors --config assets/demo/config.yaml --frames 2 --size 96x160 -o BUNDLE

writes; make the fixture anew when the emitted graphs change.

Needs numpy, onnxruntime, onnx, pillow, tokenizers. Made with numpy 2.4.6, onnxruntime 1.32.0, onnx 1.23.2,
tokenizers 0.23.2.
"""

import argparse
import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
COUNT = 100_000
BINS = 2048
LEVELS = 128


def uniform(seed, count):
    """SplitMix64 as numbers in [0, 1), exactly."""
    gamma = 0x9E3779B97F4A7C15
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(gamma)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def distributions():
    """Only sums, products and quotients, one after the other: the same in any language."""
    u = [uniform(seed, COUNT) for seed in range(12)]
    normal = np.zeros(COUNT)
    for part in u:
        normal = normal + part
    normal = normal - 6.0
    signed = 2.0 * u[0] - 1.0
    squared = u[1] * u[1]
    outliers = np.where(np.arange(COUNT) % 10_000 == 0, normal * 50.0, normal)
    values = {
        "uniform": signed,
        "normal": normal,
        "relu": np.maximum(normal, 0.0),
        "peaked": signed * u[1] * u[2] * u[3],
        "heavy": signed / (u[1] + 0.001),
        "outliers": outliers,
        "softmax": squared * squared * squared * squared,
        "tiny": normal * 1e-30,
    }
    return {name: x.astype(np.float32) for name, x in values.items()}


def histogram(x):
    """Counts of magnitudes over the narrowest power of two, up to the last that is not 0; and the bins' width."""
    magnitude = np.abs(x.astype(np.float64))
    top = 2.0 ** np.floor(np.log2(magnitude.max()) + 1)
    counts, _ = np.histogram(magnitude, bins=BINS, range=(0.0, top))
    return counts[: np.flatnonzero(counts)[-1] + 1].astype(np.float64), top / BINS


def entropy(x):
    """The clip of least Kullback-Leibler divergence, as TensorRT's calibrator defines it."""
    counts, width = histogram(x)
    counts[0] = counts[1]
    best = (np.inf, 0)
    for clip in range(LEVELS, len(counts) + 1):
        inside = counts[:clip]
        reference = inside.copy()
        reference[-1] += counts[clip:].sum()
        level = np.arange(clip) * LEVELS // clip
        mass = np.bincount(level, weights=inside, minlength=LEVELS)
        filled = np.bincount(level, weights=inside > 0, minlength=LEVELS)
        quantised = np.where(inside > 0, (mass / np.maximum(filled, 1))[level], 0.0)
        p, q = reference / reference.sum(), quantised / quantised.sum()
        if np.any((p > 0) & (q == 0)):
            continue
        seen = p > 0
        divergence = np.sum(p[seen] * np.log(p[seen] / q[seen]))
        if divergence <= best[0]:
            best = (divergence, clip)
    return min(best[1] * width, float(np.abs(x).max()))


def quantisation_error(x, amax):
    """Mean squared error of symmetric int8 with this clip."""
    step = amax / 127.0
    x = x.astype(np.float64)
    return np.mean((np.clip(np.round(x / step), -127, 127) * step - x) ** 2)


def mse(x):
    """The clip of least squared error, values taken at the middle of their bins."""
    counts, width = histogram(x)
    middles = (np.arange(len(counts)) + 0.5) * width
    errors = {}
    for clip in range(LEVELS, len(counts) + 1):
        step = clip * width / 127.0
        errors[clip] = np.sum(counts * (np.clip(np.round(middles / step), 0, 127) * step - middles) ** 2)
    clip = min(errors, key=errors.get)
    return min(clip * width, float(np.abs(x).max()))


def least_error(x):
    """The least mean squared error that any clip gives, values taken as they are."""
    peak = float(np.abs(x).max())
    return min(quantisation_error(x, peak * i / 1000.0) for i in range(20, 1001))


def onnxruntime_clip(x, method):
    from onnxruntime.quantization.calibrate import HistogramCollector

    collector = HistogramCollector(
        method=method,
        symmetric=True,
        num_bins=2 * BINS + 1,
        num_quantized_bins=2 * LEVELS - 1,
        percentile=99.9,
        scenario="same",
    )
    collector.collect({"x": [x]})
    result = collector.compute_collection_result()["x"]
    return float(result[1])


def scales():
    out = {}
    for name, x in distributions().items():
        magnitude = np.abs(x.astype(np.float64))
        _, width = histogram(x)
        out[name] = {
            "max": float(magnitude.max()),
            "width": width,
            "percentile": {str(p): float(np.percentile(magnitude, p)) for p in (50.0, 99.0, 99.9, 99.99)},
            "entropy": entropy(x),
            "mse": mse(x),
            "least_error": least_error(x),
            "onnxruntime": {m: onnxruntime_clip(x, m) for m in ("entropy", "percentile")},
        }
        print(name, out[name])
    path = ROOT / "calibration/tests/fixtures/scales.json"
    path.write_text(json.dumps(out, indent=1) + "\n")


def observed_session(path):
    """A stage with every value an output."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    given = {o.name for o in model.graph.output}
    model.graph.output.extend(v for v in model.graph.value_info if v.name not in given)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Stage:
    def __init__(self, path):
        self.session = observed_session(path)
        self.ranges = {}

    def run(self, values):
        inputs = {i.name: values[i.name] for i in self.session.get_inputs()}
        names = [o.name for o in self.session.get_outputs()]
        outputs = dict(zip(names, self.session.run(names, inputs)))
        for name, x in {**inputs, **outputs}.items():
            if x.dtype == np.float32:
                low, high, count = self.ranges.get(name, (np.inf, -np.inf, 0))
                self.ranges[name] = (min(low, x.min()), max(high, x.max()), count + x.size)
        return {**values, **outputs}


def activations(bundle):
    from PIL import Image
    from tokenizers import Tokenizer

    manifest = json.loads((bundle / "manifest.json").read_text())
    stages = {s["name"]: (s["rate"], Stage(bundle / s["files"][0]["name"])) for s in manifest["stages"]}

    def run(rate, values):
        for stage_rate, stage in stages.values():
            if stage_rate == rate:
                values = stage.run(values)
        return values

    demo = ROOT / "assets/demo"
    frames = sorted((demo / "clip/frames").glob("*.png"))[:2]
    frames = np.stack([np.asarray(Image.open(f).convert("RGB")).transpose(2, 0, 1) for f in frames])
    clip = run("clip", {"frames": frames})
    tokenizer = Tokenizer.from_file(str(demo / "roberta/tokenizer.json"))
    for expression in json.loads((demo / "clip/clip.json").read_text())["expressions"]:
        ids = np.array([tokenizer.encode(expression["text"]).ids], dtype=np.int64)
        text = run("expression", {"input_ids": ids})
        run("clip_expression", {**clip, **text})

    def row(name, low, high, count):
        return f"  {json.dumps(name)}: [{low:.7g}, {high:.7g}, {count}]"

    parts = []
    for name, (_, stage) in stages.items():
        rows = ",\n".join(row(k, *v) for k, v in sorted(stage.ranges.items()))
        parts.append(f' "{name}": {{\n{rows}\n }}')
    path = ROOT / "tests/fixtures/ranges.json"
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("scales")
    commands.add_parser("activations").add_argument("--bundle", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "scales":
        scales()
    else:
        activations(args.bundle)


if __name__ == "__main__":
    main()
