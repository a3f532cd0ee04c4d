//! Finds the nodes that TensorRT's messages mean.

use std::fs;
use std::path::Path;

use prost::Message;
use socc_exporter::onnx::OnnxError;
use socc_exporter::onnx::proto::ModelProto;

use super::error::{Failure, Place};

/// What surrounds the message that matters.
const NOISE: [&str; 4] = [
    "While parsing node number",
    "--- Begin node ---",
    "--- End node ---",
    // Without a GPU each failure is followed by one about the missing driver.
    "checkMacros.cpp::catchCudaError",
];

/// The nodes of a model file, whoever wrote it.
pub(super) fn nodes(model: &Path) -> Result<Vec<Place>, OnnxError> {
    let path = || model.to_owned();
    let bytes = fs::read(model).map_err(|source| OnnxError::Read {
        path: path(),
        source,
    })?;
    let model = ModelProto::decode(&*bytes).map_err(|e| OnnxError::Foreign {
        path: path(),
        reason: e.to_string(),
    })?;
    let nodes = model.graph.unwrap_or_default().node.into_iter();
    let place = |n: socc_exporter::onnx::proto::NodeProto| Place {
        name: n.name,
        op: n.op_type,
    };
    Ok(nodes.map(place).collect())
}

/// One failure for each node that the messages name, in their order; without any, one of no node.
pub(super) fn explain(nodes: &[Place], errors: &[String]) -> Vec<Failure> {
    let telling = |e: &&String| !NOISE.iter().any(|noise| first_line(e).contains(noise));
    let telling: Vec<&String> = errors.iter().filter(telling).collect();
    let mut found: Vec<Failure> = Vec::new();
    for message in &telling {
        let Some(node) = named(nodes, message) else {
            continue;
        };
        if !found.iter().any(|f| f.node.as_ref() == Some(node)) {
            found.push(Failure {
                node: Some(node.clone()),
                message: one_line(message),
            });
        }
    }
    if found.is_empty() {
        let message = telling.first().copied().or(errors.first());
        found.push(Failure {
            node: errors.iter().find_map(|e| parsed(nodes, e)).cloned(),
            message: message.map_or_else(|| "it gave no reason".to_owned(), |m| one_line(m)),
        });
    }
    found
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ")
}

/// The node that the parser prints after it failed.
fn parsed<'a>(nodes: &'a [Place], message: &str) -> Option<&'a Place> {
    let mut lines = message.lines();
    let name = lines.find_map(|l| l.trim().strip_prefix("Node name: "))?;
    nodes.iter().find(|n| n.name == name)
}

/// The node that a message names; of `a/Add_1` and `a/Add_11` the one that is meant.
fn named<'a>(nodes: &'a [Place], message: &str) -> Option<&'a Place> {
    let whole = |name: &str| {
        message.match_indices(name).any(|(at, _)| {
            let before = message[..at].chars().next_back();
            let after = message[at + name.len()..].chars().next();
            let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !inside(before) && !inside(after)
        })
    };
    let named = nodes
        .iter()
        .filter(|n| !n.name.is_empty() && whole(&n.name));
    named.max_by_key(|n| n.name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, op: &str) -> Place {
        Place {
            name: name.into(),
            op: op.into(),
        }
    }

    fn nodes() -> Vec<Place> {
        vec![
            place("enc.layers.0/Relu_1", "Relu"),
            place("enc.layers.0.attn/MatMul_2", "MatMul"),
            place("enc.layers.0.attn/MatMul_21", "MatMul"),
        ]
    }

    // What TensorRT-RTX 1.7.1 said about a product of float32 and float16, on a machine without a GPU.
    const MIXED: [&str; 6] = [
        "ITensor::getDimensions: Error Code 4: API Usage Error (enc.layers.0.attn/MatMul_21: IMatrixMultiplyLayer must have same input types. `A` is of type Float and `B` is of type Half. In validateTypes at /_src/optimizer/common/nodes/matrixMultiplyNode.cpp:38)",
        "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at /_src/common/dispatch/checkMacros.cpp:250 (cudaError 35: CUDA driver version is insufficient for CUDA runtime version))",
        "ModelImporter.cpp:140: While parsing node number 1 [MatMul -> \"y\"]:",
        "ModelImporter.cpp:142: --- Begin node ---\nNode name: enc.layers.0.attn/MatMul_21",
        "ModelImporter.cpp:143: --- End node ---",
        "ModelImporter.cpp:151: ERROR: ModelImporter.cpp:489 In function parseNode:\n[6] Invalid Node - enc.layers.0.attn/MatMul_21\nITensor::getDimensions: Error Code 4",
    ];

    #[test]
    fn the_node_and_the_reason_are_found() {
        let errors = MIXED.map(str::to_owned);
        let failures = explain(&nodes(), &errors);
        let [failure] = failures.as_slice() else {
            panic!("{failures:?}");
        };
        let text = failure.to_string();
        for part in [
            "node `enc.layers.0.attn/MatMul_21` (MatMul, module `enc.layers.0.attn`): ITensor",
            "`A` is of type Float and `B` is of type Half",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_message_without_a_node_is_kept() {
        let errors = [MIXED[1].to_owned(), "out of\nmemory".to_owned()];
        let failures = explain(&nodes(), &errors);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].to_string(), "its graph: out of memory");
        let printed = [MIXED[3].to_owned(), "no such plugin".to_owned()];
        let failure = &explain(&nodes(), &printed)[0];
        assert_eq!(failure.node, Some(nodes()[2].clone()));
        assert_eq!(failure.message, "no such plugin");
        assert_eq!(explain(&nodes(), &[])[0].message, "it gave no reason");
        assert!(
            explain(&nodes(), &errors[..1])[0]
                .message
                .contains("cudaError 35")
        );
    }
}
