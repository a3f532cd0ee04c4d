//! A precision plan: what each stage is lowered to, and which of its modules stay in float32.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use socc_exporter::graph::Node;

use crate::document::{self, Kind};
use crate::precision::Precision;
use crate::table::TableError;

/// Version of the plan's layout. A reader refuses a newer one.
pub const FORMAT_VERSION: u32 = 1;

const KIND: Kind = Kind {
    what: "precision plan",
    command: "socc sensitivity",
    version: FORMAT_VERSION,
};

/// What each stage is lowered to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrecisionPlan {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Version of socc that wrote the plan.
    pub tool_version: String,
    /// Fingerprint of the checkpoint that it was made for.
    pub checkpoint: String,
    /// J&F points that it was allowed to cost.
    pub budget_points: f64,
    /// J&F points that it was measured to cost.
    pub cost_points: f64,
    /// Stages by name; one that is not named stays in float32.
    pub stages: BTreeMap<String, StagePlan>,
}

/// What one stage is lowered to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagePlan {
    /// SHA-256 of the structure of the graph that it was made for.
    pub graph: String,
    /// The precision.
    pub precision: Precision,
    /// Groups of layers that stay in float32, as [`group`] names them.
    pub keep: Vec<String>,
}

impl StagePlan {
    /// Whether a node may be lowered.
    pub fn may_lower(&self, node: &Node) -> bool {
        !self.keep.iter().any(|kept| kept == group(node.scope()))
    }
}

/// The group of layers that a module scope belongs to: the innermost module with a number, such as
/// `backbone.0.body.layers.2.blocks.0`, or the outermost module where none has one.
pub fn group(scope: &str) -> &str {
    let mut end = scope.find('.').unwrap_or(scope.len());
    let mut start = 0;
    for part in scope.split('.') {
        let stop = start + part.len();
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            end = stop;
        }
        start = stop + 1;
    }
    &scope[..end]
}

impl PrecisionPlan {
    /// Reads a plan.
    ///
    /// # Errors
    /// The file cannot be read, is truncated or something else, or comes from a later socc.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        document::read(path, &KIND)
    }

    /// Writes the plan, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TableError> {
        document::write(path, self)
    }

    /// The plan of stage `name`, whose graph has the structure hash `graph`; `None` if it stays in float32.
    ///
    /// # Errors
    /// The plan was made for another graph.
    pub fn stage(&self, name: &str, graph: &str) -> Result<Option<&StagePlan>, TableError> {
        match self.stages.get(name) {
            Some(plan) if plan.graph != graph => Err(TableError::OtherGraph {
                what: KIND.what,
                stage: name.to_owned(),
                table: plan.graph.clone(),
                graph: graph.to_owned(),
                command: KIND.command,
            }),
            plan => Ok(plan),
        }
    }

    /// Refuses a plan that was made for another checkpoint than that of fingerprint `expected`.
    ///
    /// # Errors
    /// It was.
    pub fn check_checkpoint(&self, expected: &str) -> Result<(), TableError> {
        KIND.check_checkpoint(&self.checkpoint, expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_the_innermost_numbered_modules() {
        for (scope, name) in [
            (
                "backbone.0.body.layers.2.blocks.0.attn.qkv.q",
                "backbone.0.body.layers.2.blocks.0",
            ),
            ("backbone.0.body.patch_embed.proj", "backbone.0"),
            ("spatial_decoder.lay1", "spatial_decoder"),
            ("fusion", "fusion"),
            ("class_embed.2", "class_embed.2"),
        ] {
            assert_eq!(group(scope), name);
        }
    }
}
