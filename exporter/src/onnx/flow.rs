//! Who makes and who takes the values of a serialised graph, for engines that run it piece by piece.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use prost::Message;

use super::proto::{GraphProto, ModelProto, ValueInfoProto};
use crate::graph::{WAITING, dtype_of_onnx, scope};
use crate::tensor::DType;

/// A node by the names of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it takes, weights among them. What is transposed or cast between float types on the way counts as what it
    /// was before: engines fold that into the node that takes it.
    pub inputs: Vec<String>,
    /// What it makes.
    pub outputs: Vec<String>,
}

/// The nodes of a graph and the pieces in which it is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The nodes in their order.
    pub nodes: Vec<Link>,
    /// Pieces of the graph, which together are the whole: each begins where a section of a long clip waits for the
    /// one before it ([`crate::graph::Graph::after`]).
    pub pieces: Vec<Range<usize>>,
}

impl Flow {
    /// Reads it off a serialised `ModelProto`; `None` where that is none, or runs as one piece.
    pub fn read(model: &[u8]) -> Option<Self> {
        let graph = ModelProto::decode(model).ok()?.graph?;
        let waits = |name: &str| scope(name).rsplit('.').next() == Some(WAITING);
        let mut pieces = Vec::new();
        let (mut start, mut waited) = (0, false);
        for (i, node) in graph.node.iter().enumerate() {
            let waiting = waits(&node.name);
            if waiting && !waited && i > start {
                pieces.push(start..i);
                start = i;
            }
            waited = waiting;
        }
        if pieces.is_empty() {
            return None;
        }
        pieces.push(start..graph.node.len());
        let before = folded(&graph);
        let root = |name: String| before.get(&name).cloned().unwrap_or(name);
        let nodes = graph.node.into_iter().map(|node| Link {
            inputs: node.input.into_iter().map(root).collect(),
            outputs: node.output,
        });
        Some(Self {
            nodes: nodes.collect(),
            pieces,
        })
    }
}

/// By value that engines may fold into its users: what it was made from.
fn folded(graph: &GraphProto) -> HashMap<String, String> {
    let values = graph.input.iter().chain(&graph.value_info);
    let floats = values.filter(|value| is_float(value));
    let floats: HashSet<&str> = floats.map(|value| value.name.as_str()).collect();
    let mut before: HashMap<String, String> = HashMap::new();
    for node in &graph.node {
        let ([from], [to]) = (&*node.input, &*node.output) else {
            continue;
        };
        let folds = match node.op_type.as_str() {
            "Transpose" => true,
            "Cast" => floats.contains(from.as_str()) && floats.contains(to.as_str()),
            _ => false,
        };
        if folds {
            let from = before.get(from).unwrap_or(from).clone();
            before.insert(to.clone(), from);
        }
    }
    before
}

fn is_float(value: &ValueInfoProto) -> bool {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let dtype = tensor.and_then(|t| dtype_of_onnx(t.elem_type.into()));
    dtype.is_some_and(DType::is_float)
}
