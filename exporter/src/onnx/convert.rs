//! Graph to protobuf messages.

use std::io::Write;

use super::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetId,
    StringStringEntry, TensorProto, TensorShape, TensorType, TypeProto, ValueInfoProto,
};
use super::{OnnxError, Sink};
use crate::graph::{Attribute, Data, Graph, Initializer, Node, Value, onnx_dtype};
use crate::tensor::{Dim, TensorSpec};

/// Initializers up to this many bytes stay in the model file: shapes and axes must, for most tools.
const INLINE_BYTES: u64 = 1024;
/// External tensors start at multiples of this, so that engines may map them.
const ALIGNMENT_BYTES: u64 = 64;

pub(super) fn model<W: Write>(
    graph: &Graph,
    data_name: &str,
    out: &mut Sink<W>,
) -> Result<ModelProto, OnnxError> {
    let initializer = graph
        .initializers()
        .iter()
        .map(|i| tensor(graph, i, data_name, out))
        .collect::<Result<_, _>>()?;
    let infos = |specs: Vec<TensorSpec>| specs.iter().map(value_info).collect();
    let proto = GraphProto {
        node: graph.nodes().iter().map(|n| node(graph, n)).collect(),
        name: graph.name().to_owned(),
        initializer,
        input: infos(graph.inputs()),
        output: infos(graph.outputs()),
        value_info: graph.intermediate().map(value_info).collect(),
    };
    Ok(ModelProto {
        ir_version: ir_version(graph.opset()),
        producer_name: "socc".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(proto),
        opset_import: vec![OperatorSetId {
            domain: String::new(),
            version: graph.opset(),
        }],
    })
}

/// The ONNX IR version that was current with an operator set.
fn ir_version(opset: i64) -> i64 {
    if opset < 19 { 8 } else { 9 }
}

fn node(graph: &Graph, node: &Node) -> NodeProto {
    let name = |v: &Value| graph.spec(*v).name.clone();
    NodeProto {
        input: node
            .inputs
            .iter()
            .map(|v| v.as_ref().map_or_else(String::new, name))
            .collect(),
        output: node.outputs.iter().map(name).collect(),
        name: node.name.clone(),
        op_type: node.op.to_owned(),
        attribute: node.attributes.iter().map(attribute).collect(),
    }
}

fn attribute((name, value): &(&'static str, Attribute)) -> AttributeProto {
    let mut proto = AttributeProto {
        name: (*name).to_owned(),
        ..AttributeProto::default()
    };
    match value {
        Attribute::Float(f) => (proto.f, proto.r#type) = (Some(*f), 1),
        Attribute::Int(i) => (proto.i, proto.r#type) = (Some(*i), 2),
        Attribute::String(s) => (proto.s, proto.r#type) = (Some(s.as_bytes().to_vec()), 3),
        Attribute::Ints(ints) => (proto.ints, proto.r#type) = (ints.clone(), 7),
    }
    proto
}

fn value_info(spec: &TensorSpec) -> ValueInfoProto {
    let dim = |d: &Dim| Dimension {
        value: Some(match d {
            Dim::Fixed(n) => DimensionValue::Value(*n as i64),
            Dim::Symbol(s) => DimensionValue::Param(s.clone()),
        }),
    };
    let tensor_type = TensorType {
        elem_type: onnx_dtype(spec.dtype) as i32,
        shape: Some(TensorShape {
            dim: spec.shape.iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: spec.name.clone(),
        r#type: Some(TypeProto {
            tensor_type: Some(tensor_type),
        }),
    }
}

fn tensor<W: Write>(
    graph: &Graph,
    initializer: &Initializer,
    data_name: &str,
    out: &mut Sink<W>,
) -> Result<TensorProto, OnnxError> {
    let spec = graph.spec(initializer.value);
    let elements: usize = initializer.shape.iter().product();
    let expected = (elements * spec.dtype.size_bytes()) as u64;
    let mut proto = TensorProto {
        dims: initializer.shape.iter().map(|n| *n as i64).collect(),
        data_type: onnx_dtype(spec.dtype) as i32,
        name: spec.name.clone(),
        ..TensorProto::default()
    };
    let fail = |source| OnnxError::Data {
        graph: graph.name().to_owned(),
        name: spec.name.clone(),
        source,
    };
    let got = if expected <= INLINE_BYTES {
        let mut bytes = Vec::new();
        initializer.data.write_to(&mut bytes).map_err(fail)?;
        let got = bytes.len() as u64;
        proto.raw_data = Some(bytes);
        got
    } else {
        let padding = out.written.next_multiple_of(ALIGNMENT_BYTES) - out.written;
        let zeros = Data::Bytes(vec![0; padding as usize].into());
        zeros.write_to(out).map_err(fail)?;
        let offset = out.written;
        initializer.data.write_to(out).map_err(fail)?;
        let entry = |key: &str, value: String| StringStringEntry {
            key: key.to_owned(),
            value,
        };
        proto.external_data = vec![
            entry("location", data_name.to_owned()),
            entry("offset", offset.to_string()),
            entry("length", expected.to_string()),
        ];
        proto.data_location = Some(1);
        out.written - offset
    };
    if got != expected {
        return Err(OnnxError::Length {
            name: spec.name.clone(),
            expected,
            got,
        });
    }
    Ok(proto)
}
