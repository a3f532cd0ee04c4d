//! A stage in segments, each of which gives every float32 value that it computes.

use std::collections::HashSet;

use socc_calibration::observations::{Origin, StageObservations};
use socc_engines::{Engine, ModelSource, Stage, StageModel, Tensor};
use socc_exporter::graph::Graph;
use socc_exporter::model::Rate;
use socc_exporter::onnx;
use socc_exporter::tensor::TensorSpec;

use super::Result;
use super::watch::{Watched, watch};
use crate::pipeline::{PipelineError, Signature, Values};

/// How stages are cut and watched.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes of float32 values that a segment may give, unless a single node gives more.
    pub segment_bytes: usize,
    /// Threads that observe.
    pub threads: usize,
}

/// Tokens that an expression is taken to have when a segment's bytes are counted.
const TOKENS: usize = 64;

/// A compiled stage whose every value can be seen.
pub(super) struct ObservedStage {
    pub name: String,
    pub rate: Rate,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    segments: Vec<Segment>,
    threads: usize,
}

struct Segment {
    stage: Box<dyn Stage>,
    /// Values that neither a later segment nor another stage needs.
    last_used: HashSet<String>,
}

impl ObservedStage {
    /// Cuts and compiles a stage's graph.
    pub fn compile(
        graph: &Graph,
        rate: Rate,
        engine: &dyn Engine,
        options: Options,
    ) -> Result<Self> {
        let cuts = graph.cuts(options.segment_bytes, TOKENS);
        let graphs: Vec<Graph> = cuts.into_iter().map(|cut| graph.segment(cut)).collect();
        let mut segments = Vec::with_capacity(graphs.len());
        for (part, last_used) in graphs.iter().zip(last_uses(graph, &graphs)) {
            let memory = onnx::to_memory(part)?;
            let stage = engine.compile(StageModel {
                name: part.name().to_owned(),
                inputs: part.inputs(),
                outputs: part.outputs(),
                source: ModelSource::Memory {
                    model: memory.model,
                    external: memory.external,
                },
            })?;
            segments.push(Segment { stage, last_used });
        }
        Ok(Self {
            name: graph.name().to_owned(),
            rate,
            inputs: graph.inputs(),
            outputs: graph.outputs(),
            segments,
            threads: options.threads.max(1),
        })
    }

    /// Segments that the stage is cut into.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Runs the stage on what it needs of `values`, adds what it gives, and has every float32 input and
    /// result observed.
    ///
    /// # Errors
    /// A value is missing, the engine fails, or an activation is NaN or infinite.
    pub fn run(
        &mut self,
        engine: &dyn Engine,
        values: &mut Values,
        seen: &mut StageObservations,
        origin: &Origin,
    ) -> Result<()> {
        let inputs = pick(values, &self.inputs, &self.name)?;
        let signature = Signature {
            stage: &self.name,
            inputs: &self.inputs,
            outputs: &self.outputs,
        };
        let at = Watched {
            stage: &self.name,
            origin,
            threads: self.threads,
        };
        let segments = &mut self.segments;
        let outputs = signature.run(engine, &inputs, |inputs| {
            run_segments(segments, signature, inputs.to_vec(), seen, &at)
        })?;
        insert(values, &self.outputs, outputs);
        Ok(())
    }
}

fn run_segments(
    segments: &mut [Segment],
    stage: Signature<'_>,
    inputs: Vec<Tensor>,
    seen: &mut StageObservations,
    at: &Watched<'_>,
) -> Result<Vec<Tensor>> {
    let mut live = Values::new();
    watch(seen, stage.inputs, &inputs, at)?;
    insert(&mut live, stage.inputs, inputs);
    for segment in segments {
        let inputs = pick(&live, segment.stage.inputs(), stage.stage)?;
        let outputs = segment.stage.run(&inputs)?;
        watch(seen, segment.stage.outputs(), &outputs, at)?;
        insert(&mut live, segment.stage.outputs(), outputs);
        live.retain(|name, _| !segment.last_used.contains(name));
    }
    pick(&live, stage.outputs, stage.stage)
}

/// The values that `specs` name.
fn pick(values: &Values, specs: &[TensorSpec], stage: &str) -> Result<Vec<Tensor>> {
    let value = |spec: &TensorSpec| {
        let value = values.get(&spec.name).cloned();
        value.ok_or_else(|| PipelineError::Missing {
            stage: stage.to_owned(),
            tensor: spec.name.clone(),
        })
    };
    let values = specs.iter().map(value);
    Ok(values.collect::<std::result::Result<_, _>>()?)
}

fn insert(values: &mut Values, specs: &[TensorSpec], tensors: Vec<Tensor>) {
    values.extend(specs.iter().map(|s| s.name.clone()).zip(tensors));
}

/// For every segment, the values that nothing needs after it.
fn last_uses(whole: &Graph, segments: &[Graph]) -> Vec<HashSet<String>> {
    let names = |specs: Vec<TensorSpec>| specs.into_iter().map(|s| s.name);
    let mut needed: HashSet<String> = names(whole.outputs()).collect();
    let mut all: Vec<HashSet<String>> = segments
        .iter()
        .rev()
        .map(|segment| {
            let here = names(segment.inputs()).chain(names(segment.outputs()));
            let last = here.filter(|name| !needed.contains(name)).collect();
            needed.extend(names(segment.inputs()));
            last
        })
        .collect();
    all.reverse();
    all
}
