//! Passes from a float32 stage graph to one of lower precision.
//!
//! [`lower`] inserts Q/DQ pairs by the rules of [`crate::rules`], then turns what may be float16 into float16, with the
//! islands of [`crate::hazards`] and of the measured ranges left in float32. The result is strongly typed: no node has
//! float operands of two types. Inputs and outputs of the graph stay as they are.

mod convert;
mod half;
mod islands;
mod quantize;
mod rewrite;

#[cfg(test)]
mod tests;

use regex::Regex;
use serde::{Deserialize, Serialize};
use socc_exporter::graph::{DataError, Graph, GraphError, Node};

use crate::precision::Precision;
use crate::rules::RuleSet;
use crate::table::StageRanges;

/// Why a graph could not be lowered.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// A rewritten node does not fit: a defect of the pass.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A weight could not be read.
    #[error("cannot read initializer `{name}` of stage `{stage}`: {source}")]
    Weight {
        /// The stage.
        stage: String,
        /// The initializer.
        name: String,
        /// Why.
        source: DataError,
    },
    /// A weight has values that no precision can hold.
    #[error(
        "initializer `{name}` of stage `{stage}` holds {value}; a trained checkpoint has finite weights, train or copy it again"
    )]
    NotFinite {
        /// The stage.
        stage: String,
        /// The initializer.
        name: String,
        /// The first such value.
        value: f32,
    },
    /// Int8 was asked for without measured ranges.
    #[error(
        "stage `{stage}` needs measured ranges for {precision}; run `socc calibrate` and pass its table with --ranges"
    )]
    NoRanges {
        /// The stage.
        stage: String,
        /// The precision.
        precision: Precision,
    },
    /// The table lacks a tensor that is to be quantised.
    #[error(
        "the range table has no `{tensor}` of stage `{stage}`, which node `{node}` takes; run `socc calibrate` again"
    )]
    NoRange {
        /// The stage.
        stage: String,
        /// The tensor.
        tensor: String,
        /// The node that is to be quantised.
        node: String,
    },
}

/// Result of a pass.
pub type Result<T> = std::result::Result<T, PassError>;

/// What to lower to, and what guides it.
#[derive(Clone, Copy)]
pub struct Lowering<'a> {
    /// The precision.
    pub precision: Precision,
    /// Measured ranges of this stage.
    pub ranges: Option<&'a StageRanges>,
    /// Nodes whose name (`SCOPE/OPERATOR_N`) matches stay in float32.
    pub keep_fp32: Option<&'a Regex>,
    /// Which products are quantised.
    pub rules: RuleSet,
    /// Nodes that may be lowered; all, unless a precision plan says otherwise.
    pub may_lower: &'a dyn Fn(&Node) -> bool,
}

impl Lowering<'_> {
    /// Everything to one precision by the default rules.
    pub fn to(precision: Precision) -> Lowering<'static> {
        Lowering {
            precision,
            ranges: None,
            keep_fp32: None,
            rules: RuleSet::Default,
            may_lower: &|_| true,
        }
    }
}

/// Nodes that stay in float32 for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Island {
    /// Why.
    pub reason: String,
    /// The nodes.
    pub nodes: Vec<String>,
}

/// Nodes whose products are int8 by one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantized {
    /// The rule's name.
    pub rule: String,
    /// The nodes.
    pub nodes: Vec<String>,
}

/// What was done to a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Float nodes that compute in float16.
    #[serde(default)]
    pub half_nodes: usize,
    /// Casts between float16 and float32 that were added.
    #[serde(default)]
    pub casts: usize,
    /// What stays in float32 where float16 was asked for.
    #[serde(default)]
    pub islands: Vec<Island>,
    /// What is quantised.
    #[serde(default)]
    pub quantized: Vec<Quantized>,
}

/// A graph of lower precision and how it came about.
#[derive(Debug)]
pub struct Lowered {
    /// The graph.
    pub graph: Graph,
    /// What was done.
    pub report: Report,
}

/// Lowers `graph`, which must be one that the exporter emits in float32.
///
/// # Errors
/// Ranges are missing for what is to be quantised, or a weight cannot be read.
pub fn lower(graph: &Graph, lowering: &Lowering) -> Result<Lowered> {
    let mut report = Report::default();
    let quantized = match lowering.precision.is_quantized() {
        true => quantize::quantize(graph, lowering, &mut report)?,
        false => rewrite::copy(graph)?,
    };
    let graph = match lowering.precision.is_half() {
        true => half::halve(&quantized, lowering, &mut report)?,
        false => quantized,
    };
    Ok(Lowered { graph, report })
}

/// Adds a node to the group of its reason or rule.
fn grouped<G>(groups: &mut Vec<G>, is: impl Fn(&G) -> bool, new: impl FnOnce() -> G) -> &mut G {
    let place = groups.iter().position(is).unwrap_or_else(|| {
        groups.push(new());
        groups.len() - 1
    });
    &mut groups[place]
}
