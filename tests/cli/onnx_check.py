"""Every graph of the bundle in argv[1]: ONNX's full check, strict shape inference, a type and shape for every value."""

import sys
from pathlib import Path

import onnx
from onnx import checker, shape_inference


def values(graph):
    known = {v.name for v in [*graph.input, *graph.output, *graph.value_info] if v.type.tensor_type.HasField("shape")}
    known |= {i.name for i in graph.initializer}
    for node in graph.node:
        for name in node.output:
            if name and name not in known:
                yield name


graphs = sorted(Path(sys.argv[1]).glob("*.onnx"))
assert len(graphs) == 6, graphs
for path in graphs:
    checker.check_model(str(path), full_check=True)
    model = onnx.load(str(path))
    shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    unknown = list(values(model.graph))
    assert not unknown, f"{path.name}: no shape for {unknown[:5]}"
    unused = {i.name for i in model.graph.initializer} - {n for node in model.graph.node for n in node.input}
    assert not unused, f"{path.name}: unused {sorted(unused)[:5]}"
    print(path.name, len(model.graph.node), "nodes")
