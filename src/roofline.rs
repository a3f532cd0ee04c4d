//! What a graph has to do at least, and how long a machine needs for it at least.
//!
//! [`Counter`] counts float operations and bytes of any set of nodes: a stage, a module scope, one node. [`bound`] turns
//! a count into the shortest time that a [`Machine`] allows, by its arithmetic or by its memory.

mod count;
mod device;
mod host;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use socc_exporter::graph::{Graph, Node};

pub use count::Counter;
pub use device::{DEVICES, device};
pub use host::{HOST, HostPeakError, measure_host};

use crate::bench::units::Milliseconds;

/// Arithmetic that a graph is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Every float value has the type that the graph gives it; as arithmetic, float32.
    Graph,
    /// Every float value has 2 bytes.
    Fp16,
    /// Operands of matrix products have 1 byte, other float values 2.
    Int8,
}

/// Work of a set of nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Nodes.
    pub nodes: usize,
    /// Multiply-accumulates of matrix products and convolutions. A bias is one more for each result.
    pub macs: u64,
    /// Float operations: two for each of [`Count::macs`], and those of all other operators.
    pub flops: u64,
    /// Bytes that must come from outside the set: each value once, of a table only what is looked up.
    pub read_bytes: u64,
    /// Bytes of results that are used outside the set.
    pub written_bytes: u64,
}

impl Count {
    /// Bytes read and written.
    pub fn bytes(&self) -> u64 {
        self.read_bytes + self.written_bytes
    }

    /// The work of `runs` runs.
    fn times(mut self, runs: u64) -> Self {
        let all = [
            &mut self.macs,
            &mut self.flops,
            &mut self.read_bytes,
            &mut self.written_bytes,
        ];
        for count in all {
            *count *= runs;
        }
        self
    }

    /// Arithmetic intensity, float operations per byte.
    pub fn intensity(&self) -> f64 {
        self.flops as f64 / self.bytes().max(1) as f64
    }
}

/// Peaks of a machine. Arithmetic is dense: no figure relies on sparsity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Name for `--device`.
    pub name: String,
    /// Float32 operations per second, TF32 not among them.
    pub fp32_flops: f64,
    /// Float16 matrix operations per second; `None` where the machine has none.
    pub fp16_flops: Option<f64>,
    /// Int8 matrix operations per second; `None` where it is unknown.
    pub int8_ops: Option<f64>,
    /// Bytes per second of memory.
    pub bandwidth: f64,
    /// Where the figures come from.
    pub source: String,
}

impl Machine {
    /// Operations per second in a precision.
    pub fn peak(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::Graph => Some(self.fp32_flops),
            Precision::Fp16 => self.fp16_flops,
            Precision::Int8 => self.int8_ops,
        }
    }
}

/// What a machine's time goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Arithmetic.
    Compute,
    /// Memory.
    Memory,
}

/// The shortest time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// The time.
    pub ms: Milliseconds,
    /// What it goes into.
    pub limit: Limit,
}

/// The shortest time in which a machine does what was counted; `None` where its peak is not known.
pub fn bound(count: &Count, machine: &Machine, precision: Precision) -> Option<Bound> {
    let compute = count.flops as f64 / machine.peak(precision)? * 1e3;
    let memory = count.bytes() as f64 / machine.bandwidth * 1e3;
    Some(match compute >= memory {
        true => Bound {
            ms: compute,
            limit: Limit::Compute,
        },
        false => Bound {
            ms: memory,
            limit: Limit::Memory,
        },
    })
}

/// Roofline of a stage on the machine that it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRoofline {
    /// The stage.
    pub name: String,
    /// Float operations of one run.
    pub flops: u64,
    /// Bytes that one run reads and writes at least.
    pub bytes: u64,
    /// Float operations per byte.
    pub intensity: f64,
    /// The shortest time.
    pub bound: Bound,
    /// Median over the shortest time.
    pub measured_over_bound: f64,
}

/// Roofline of the processor, measured beside the runs, with the stages on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// Float32 operations per second.
    pub peak_flops: f64,
    /// Bytes per second.
    pub bandwidth: f64,
    /// How both were measured.
    pub source: String,
    /// The stages of the engine.
    pub stages: Vec<StageRoofline>,
}

impl Roofline {
    /// Puts stages, given as name, count and median, under a machine's roof.
    pub fn new(
        machine: &Machine,
        stages: impl Iterator<Item = (String, Count, Milliseconds)>,
    ) -> Self {
        let on = |(name, count, median): (String, Count, Milliseconds)| {
            let bound = bound(&count, machine, Precision::Graph)?;
            Some(StageRoofline {
                name,
                flops: count.flops,
                bytes: count.bytes(),
                intensity: count.intensity(),
                bound,
                measured_over_bound: median / bound.ms,
            })
        };
        Self {
            peak_flops: machine.fp32_flops,
            bandwidth: machine.bandwidth,
            source: machine.source.clone(),
            stages: stages.filter_map(on).collect(),
        }
    }
}

/// Nodes of a graph by module scope, cut to the first `depth` names, in the order in which they first occur.
pub fn scopes(graph: &Graph, depth: usize) -> Vec<(String, Vec<&Node>)> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut found: Vec<(String, Vec<&Node>)> = Vec::new();
    for node in graph.nodes() {
        let name = cut(node.scope(), depth);
        let place = *places.entry(name.clone()).or_insert_with(|| {
            found.push((name, Vec::new()));
            found.len() - 1
        });
        found[place].1.push(node);
    }
    found
}

/// The first `depth` names of a scope: of `a.b.c` and 2, `a.b`.
pub fn cut(scope: &str, depth: usize) -> String {
    let names: Vec<&str> = scope.split('.').take(depth.max(1)).collect();
    names.join(".")
}

/// A scope after its stage's name, which some scopes begin with already.
pub fn under(stage: &str, scope: &str) -> String {
    match (cut(scope, 1) == stage, scope.is_empty()) {
        (true, _) => scope.to_owned(),
        (_, true) => stage.to_owned(),
        _ => format!("{stage}.{scope}"),
    }
}
