//! From the layers of a back end to the nodes of the graph.

use std::collections::HashMap;

use socc_exporter::graph::{Graph, scope};

/// What separates the names of nodes in the name of a fused layer: `A + B`, `PWN(A, B)`, `{ForeignNode[A...B]}`,
/// `A || B`, `[ONNX Layer: A]`; TensorRT's metadata has control characters between entries.
const SEPARATORS: &[char] = &[
    ' ', ',', '(', ')', '[', ']', '{', '}', '+', '|', ';', '"', '\x1e', '\x1f', '\n',
];
/// What stands between the first and the last node of a stretch that TensorRT compiled as one.
const STRETCH: &str = "...";
/// What a back end's additions to a node's name begin with: `_output_0`, `:out copy`, `-cast`, `.fused`.
const ADDITIONS: &[char] = &['_', ':', '-', '.', '/', '#', '^'];

/// Where a layer came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The nodes that it names, in the graph's order.
    pub nodes: Vec<String>,
    /// The innermost module that holds them all; `None` if the layer names no node of the graph.
    pub scope: Option<String>,
}

/// Node names of a graph, to be found within the names of layers.
pub struct LayerMap<'a> {
    /// Place of each node by name.
    places: HashMap<&'a str, usize>,
    names: Vec<&'a str>,
}

impl<'a> LayerMap<'a> {
    /// Prepares.
    pub fn new(graph: &'a Graph) -> Self {
        let names: Vec<&str> = graph.nodes().iter().map(|n| n.name.as_str()).collect();
        let places = names.iter().enumerate().map(|(i, n)| (*n, i)).collect();
        Self { places, names }
    }

    /// Where a layer came from. `layer` is its name, or what the engine's inspector says of it.
    pub fn origin(&self, layer: &str) -> Origin {
        let mut found: Vec<usize> = Vec::new();
        for token in layer.split(SEPARATORS).filter(|t| !t.is_empty()) {
            match token.split_once(STRETCH) {
                Some((first, last)) => {
                    let ends = self.find(first).zip(self.find(last));
                    found.extend(ends.into_iter().flat_map(|(a, b)| a.min(b)..=a.max(b)));
                }
                None => found.extend(self.find(token)),
            }
        }
        found.sort_unstable();
        found.dedup();
        let nodes: Vec<String> = found.iter().map(|i| self.names[*i].to_owned()).collect();
        let scopes = nodes.iter().map(|n| scope(n));
        Origin {
            scope: common(scopes),
            nodes,
        }
    }

    /// The node that a word names: itself, or without what a back end added at its end.
    fn find(&self, word: &str) -> Option<usize> {
        let mut rest = word;
        loop {
            if let Some(place) = self.places.get(rest) {
                return Some(*place);
            }
            // A node's name has its operator after the slash; a shorter word is no node.
            let cut = rest.rfind(ADDITIONS).filter(|c| *c > 0)?;
            rest = &rest[..cut];
        }
    }
}

/// The innermost scope that holds all of `scopes`; empty if they have nothing in common.
pub(super) fn common<'s>(mut scopes: impl Iterator<Item = &'s str>) -> Option<String> {
    let mut shared: Vec<&str> = scopes.next()?.split('.').collect();
    for other in scopes {
        let equal = shared
            .iter()
            .zip(other.split('.'))
            .take_while(|(a, b)| *a == b);
        let length = equal.count();
        shared.truncate(length);
    }
    Some(shared.join("."))
}
