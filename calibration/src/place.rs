//! Which nodes of a graph a rule means.

use socc_exporter::graph::{Node, is_within};

/// A place in the model.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// Everywhere.
    Anywhere,
    /// These operators, anywhere.
    Operators(&'static [&'static str]),
    /// Every node within this module scope.
    Within(&'static str),
    /// Every node of exactly this module scope.
    Scope(&'static str),
    /// Every node in whose scope a module of this name is.
    Module(&'static str),
}

impl Place {
    /// Whether a node is there.
    pub fn has(self, node: &Node) -> bool {
        let scope = node.scope();
        match self {
            Self::Anywhere => true,
            Self::Operators(ops) => ops.contains(&node.op),
            Self::Within(outer) => is_within(scope, outer),
            Self::Scope(exact) => scope == exact,
            Self::Module(name) => scope.split('.').any(|part| part == name),
        }
    }
}
