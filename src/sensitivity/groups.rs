//! The groups of layers of every stage, and graphs in which some of them are lowered.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use socc_calibration::passes::{Lowering, lower};
use socc_calibration::plan::group;
use socc_calibration::precision::Precision;
use socc_calibration::table::RangeTable;
use socc_engines::ModelSource;
use socc_exporter::graph::{Graph, Node};
use socc_exporter::model::Rate;
use socc_exporter::onnx::{self, structure_hash};

use super::Result;
use crate::bundle::Bundle;
use crate::pipeline::StageInput;

/// A group of layers of one stage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Place of the stage in the pipeline.
    pub stage: usize,
    /// Name, as [`group`] gives it.
    pub name: String,
    /// Nodes of it that are lowered.
    pub nodes: usize,
}

/// A bundle's stages as graphs.
pub struct StageGraphs {
    stages: Vec<Stage>,
    precision: Precision,
    ranges: Option<RangeTable>,
}

struct Stage {
    graph: Graph,
    rate: Rate,
    hash: String,
}

impl StageGraphs {
    /// Reads the graphs of a bundle, which are to be lowered to `precision`.
    ///
    /// # Errors
    /// A graph cannot be read, or the ranges belong to another one.
    pub fn read(bundle: &Bundle, precision: Precision, ranges: Option<RangeTable>) -> Result<Self> {
        let mut stages = Vec::new();
        for entry in &bundle.manifest.stages {
            let file = entry.files.first().map_or("", |f| f.name.as_str());
            let graph = onnx::load(&bundle.dir.join(Path::new(file)))?;
            let hash = structure_hash(&graph);
            if let Some(table) = &ranges {
                table.stage(&entry.name, &hash)?;
            }
            stages.push(Stage {
                graph,
                rate: entry.rate,
                hash,
            });
        }
        Ok(Self {
            stages,
            precision,
            ranges,
        })
    }

    /// Names of the stages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|s| s.graph.name())
    }

    /// Name of a stage.
    pub fn name(&self, stage: usize) -> &str {
        self.stages[stage].graph.name()
    }

    /// Structure hash of a stage's graph.
    pub fn hash(&self, stage: usize) -> &str {
        &self.stages[stage].hash
    }

    /// How often a stage runs.
    pub fn rate(&self, stage: usize) -> Rate {
        self.stages[stage].rate
    }

    /// Names of what a stage gives.
    pub fn outputs(&self, stage: usize) -> impl Iterator<Item = String> {
        let outputs = self.stages[stage].graph.outputs();
        outputs.into_iter().map(|spec| spec.name)
    }

    /// What stages are lowered to.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Stages, from `stage` on, that give what depends on it.
    pub fn dependents(&self, stage: usize) -> Vec<usize> {
        let mut changed: HashSet<String> = HashSet::new();
        let mut found = Vec::new();
        for (i, other) in self.stages.iter().enumerate().skip(stage) {
            let takes = other.graph.inputs();
            if i == stage || takes.iter().any(|spec| changed.contains(&spec.name)) {
                found.push(i);
                changed.extend(other.graph.outputs().into_iter().map(|spec| spec.name));
            }
        }
        found
    }

    /// The groups of `wanted` stages that the precision lowers something of.
    ///
    /// # Errors
    /// A stage cannot be lowered.
    pub fn groups(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        for (stage, entry) in self.stages.iter().enumerate() {
            if !wanted(entry.graph.name()) {
                continue;
            }
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            let lowered = self.lowered_nodes(stage)?;
            // In the order of the data, which the order of the nodes is.
            let mut order: Vec<&str> = Vec::new();
            for node in entry.graph.nodes() {
                if lowered.contains(&node.name) {
                    let name = group(node.scope());
                    if !counts.contains_key(name) {
                        order.push(name);
                    }
                    *counts.entry(name).or_default() += 1;
                }
            }
            groups.extend(order.into_iter().map(|name| Group {
                stage,
                name: name.to_owned(),
                nodes: counts[name],
            }));
        }
        Ok(groups)
    }

    /// Names of the nodes that lowering a whole stage changes.
    fn lowered_nodes(&self, stage: usize) -> Result<BTreeSet<String>> {
        let report = lower(&self.stages[stage].graph, &self.lowering(stage))?.report;
        let quantized = report.quantized.into_iter().flat_map(|q| q.nodes);
        if !self.precision.is_half() {
            return Ok(quantized.collect());
        }
        let mut nodes: BTreeSet<String> = quantized.collect();
        let islands = report.islands.into_iter().flat_map(|i| i.nodes);
        let islands: HashSet<String> = islands.collect();
        let all = self.stages[stage].graph.nodes().iter();
        nodes.extend(all.map(|n| n.name.clone()).filter(|n| !islands.contains(n)));
        Ok(nodes)
    }

    fn lowering(&self, stage: usize) -> Lowering<'_> {
        let stage = &self.stages[stage];
        let ranges = self.ranges.as_ref();
        Lowering {
            ranges: ranges.and_then(|table| table.stages.get(stage.graph.name())),
            ..Lowering::to(self.precision)
        }
    }

    /// A stage with the groups in `low` lowered, ready to be compiled.
    ///
    /// # Errors
    /// It cannot be lowered, or a weight cannot be read.
    pub fn variant(&self, stage: usize, low: &BTreeSet<&str>) -> Result<StageInput> {
        let entry = &self.stages[stage];
        let may_lower = |node: &Node| low.contains(group(node.scope()));
        let lowering = Lowering {
            may_lower: &may_lower,
            ..self.lowering(stage)
        };
        let graph = lower(&entry.graph, &lowering)?.graph;
        let memory = onnx::to_memory(&graph)?;
        Ok(StageInput {
            name: graph.name().to_owned(),
            rate: entry.rate,
            inputs: graph.inputs(),
            outputs: graph.outputs(),
            source: ModelSource::Memory {
                model: memory.model,
                external: memory.external,
            },
        })
    }
}
