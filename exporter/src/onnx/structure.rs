//! What tells one graph from another, whatever its weights.

use std::collections::HashSet;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::graph::Graph;

/// SHA-256 over operators, attributes, names, types and shapes, in hexadecimal: equal for a graph as it is emitted and as
/// it is read from a file.
pub fn structure_hash(graph: &Graph) -> String {
    let mut text = String::new();
    let mut line = |part: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{part}");
    };
    line(&format_args!("{} {}", graph.name(), graph.opset()));
    for (role, specs) in [("in", graph.inputs()), ("out", graph.outputs())] {
        for spec in specs {
            line(&format_args!("{role} {spec}"));
        }
    }
    // In no particular order, and only those that are used: a graph that a pass copied is still the same.
    let used: HashSet<_> = graph.nodes().iter().flat_map(|n| &n.inputs).collect();
    let initializers = graph.initializers().iter();
    let initializers = initializers.filter(|i| used.contains(&Some(i.value)));
    let mut constants: Vec<_> = initializers
        .map(|i| graph.spec(i.value).to_string())
        .collect();
    constants.sort_unstable();
    for constant in constants {
        line(&format_args!("const {constant}"));
    }
    for node in graph.nodes() {
        line(&format_args!(
            "{} {} {:?}",
            node.op, node.name, node.attributes
        ));
        for input in &node.inputs {
            let name = input.map_or("", |v| &graph.spec(v).name);
            line(&format_args!("< {name}"));
        }
        for output in &node.outputs {
            line(&format_args!("> {}", graph.spec(*output)));
        }
    }
    hex(&Sha256::digest(text))
}
