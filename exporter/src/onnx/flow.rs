//! Who makes and who takes the values of a serialised graph, for engines that run it piece by piece.

use std::collections::HashMap;
use std::ops::Range;

use prost::Message;

use super::proto::ModelProto;
use crate::graph::{WAITING, scope};

/// A node by the names of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it takes, weights among them. What is transposed on the way counts as what it was before: engines fold
    /// the transposition into the node that takes it.
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
    /// Reads it off a serialised `ModelProto`; `None` where that is none.
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
        pieces.push(start..graph.node.len());
        let mut before: HashMap<String, String> = HashMap::new();
        for node in graph.node.iter().filter(|node| node.op_type == "Transpose") {
            if let ([from], [to]) = (&*node.input, &*node.output) {
                let from = before.get(from).unwrap_or(from).clone();
                before.insert(to.clone(), from);
            }
        }
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
