"""Checks a bundle of lower precision against the float32 bundle that it comes from.

    python precision_check.py FP32_BUNDLE LOW_BUNDLE [TABLE.json]

What the passes did is computed again with NumPy and compared bit for bit: float16 weights, int8 weights, the scales of
weights and of activations. Every node must have float operands of one type. Then small stages run on ONNX's reference
evaluator and on ONNX Runtime, which must agree with each other and, roughly, with the float32 stage.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
# Operators whose axes become an operand in operator set 18.
REDUCTIONS = {"ReduceMean", "ReduceMax", "ReduceL2"}
# Stages that are small enough for the reference evaluator.
SMALL = {"fp16": {"text_encoder", "fusion", "mask_head"}, "int8-fp16": {"text_encoder", "fusion", "mask_head"}}
SMALL["int8"] = {"text_encoder", "mask_head"}
# Largest relative L2 difference to the float32 stage, by precision.
NEAR = {"fp16": 5e-3, "int8": 0.15, "int8-fp16": 0.15}


def check(condition, message):
    if not condition:
        sys.exit(message)


def weights(model):
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def check_types(model, stage):
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    kinds.update({v.name: v.type.tensor_type.elem_type for v in values})
    for node in model.graph.node:
        floats = {kinds[name] for name in node.input if name and kinds[name] in FLOATS}
        check(len(floats) <= 1, f"{stage}: {node.name} has mixed operands")


def quantize(weight, per_channel):
    rows = weight.reshape(weight.shape[0] if per_channel else 1, -1)
    scale = np.abs(rows).max(axis=1) / np.float32(127)
    scale[scale < np.finfo(np.float32).tiny] = 1
    int8 = np.clip(np.rint(rows / scale[:, None]), -127, 127).astype(np.int8)
    return int8.reshape(weight.shape), scale.astype(np.float32)


def check_weights(low, full, stage):
    for name, value in low.items():
        where = f"{stage}: {name}"
        base, _, kind = name.removesuffix(".fp16").rpartition(".")
        source = base.rsplit(".", 1)[0] if base not in full else base
        if name in full:
            check(np.array_equal(value, full[name]), where)
        elif name.endswith(".fp16") and name.removesuffix(".fp16") in full:
            check(np.array_equal(value, full[name.removesuffix(".fp16")].astype(np.float16)), where)
        elif kind == "int8":
            int8, _ = quantize(full[source], low_scale(low, base).ndim == 1)
            check(np.array_equal(value, int8), where)
        elif kind == "scale":
            _, scales = quantize(full[source], value.ndim == 1)
            check(np.array_equal(value.ravel(), scales.astype(value.dtype)), where)


def low_scale(low, base):
    return low.get(f"{base}.scale", low.get(f"{base}.scale.fp16"))


def check_activations(model, values, ranges, stage):
    """Scales of activations, by the table; how many pairs there are."""
    made = {node.output[0]: node for node in model.graph.node}
    count = 0
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            check(not values[node.input[2]].any(), f"{stage}: {node.name} has a zero point")
            pair = made.get(node.input[0])
            check(pair is None or pair.input[1:] == node.input[1:], f"{stage}: {node.name}")
        if node.op_type != "QuantizeLinear":
            continue
        count += 1
        source = node.input[0]
        # A float16 value is a cast of the one that was measured, or has its name.
        if source not in ranges and made[source].op_type == "Cast":
            source = made[source].input[0]
        scale = np.float32(ranges[source]["amax"]) / np.float32(127)
        got = values[node.input[1]]
        check(got == got.dtype.type(scale), f"{stage}: {node.name}: {got} for {scale}")
    return count


def inputs(model, rng):
    made = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape = [d.dim_value or 5 for d in kind.shape.dim]
        if kind.elem_type == onnx.TensorProto.FLOAT:
            made[value.name] = rng.uniform(0, 1, shape).astype(np.float32)
        elif kind.elem_type == onnx.TensorProto.UINT8:
            made[value.name] = rng.integers(0, 256, shape).astype(np.uint8)
        else:
            made[value.name] = rng.integers(3, 20, shape).astype(np.int64)
    return made


def relative(got, expected):
    difference = np.linalg.norm((got - expected).astype(np.float64))
    return difference / max(np.linalg.norm(expected.astype(np.float64)), 1e-30)


def check_semantics(full, low, name, precision):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    feeds = inputs(onnx.load(full), np.random.default_rng(1))
    runtime = onnxruntime.InferenceSession(str(low), options).run(None, feeds)
    exact = onnxruntime.InferenceSession(str(full), options).run(None, feeds)
    model = onnx.load(low)
    if precision == "int8":
        # The reference evaluator has Q/DQ from operator set 19 on, which changes nothing in these stages.
        check(not any(n.op_type in REDUCTIONS for n in model.graph.node), f"{name}: reductions")
        model.opset_import[0].version = 19
    reference = ReferenceEvaluator(model).run(None, feeds)
    for got, same, wide in zip(runtime, reference, exact):
        if got.dtype != np.float32:
            continue
        # Where a rounding goes the other way, an int8 step or a float16 digit differs.
        check(relative(got, same) < NEAR[precision] / 2, f"{name}: reference differs")
        check(relative(got, wide) < NEAR[precision], f"{name}: {relative(got, wide)}")


def main(full, low, table=None):
    full, low = Path(full), Path(low)
    manifest = json.loads((low / "manifest.json").read_text())
    stages = json.loads(Path(table).read_text())["stages"] if table else {}
    pairs = 0
    for entry in manifest["stages"]:
        name, precision = entry["name"], entry["precision"]
        model = onnx.load(low / f"{name}.onnx")
        check_types(model, name)
        values = weights(model)
        check_weights(values, weights(onnx.load(full / f"{name}.onnx")), name)
        ranges = stages.get(name, {}).get("tensors", {})
        pairs += check_activations(model, values, ranges, name)
        if name in SMALL.get(precision, ()):
            check_semantics(full / f"{name}.onnx", low / f"{name}.onnx", name, precision)
    check(bool(table) == (pairs > 0), f"{pairs} pairs of Q/DQ")


main(*sys.argv[1:])
