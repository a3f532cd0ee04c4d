//! Observers of every tensor of every stage.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use socc_exporter::graph::Graph;
use socc_exporter::onnx::structure_hash;
use socc_exporter::tensor::DType;

use crate::method::Method;
use crate::observe::{NotFinite, Observer};
use crate::scale::amax;
use crate::table::{Range, StageRanges};

/// Where in a data set something was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the clip.
    pub clip: String,
    /// The expression, for a stage that depends on it.
    pub expression: Option<String>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clip `{}`", self.clip)?;
        match &self.expression {
            Some(text) => write!(f, ", expression {text:?}"),
            None => Ok(()),
        }
    }
}

/// A tensor has values that no range can hold.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "stage `{stage}`: `{tensor}` has {values} in {origin}; check the checkpoint's weights, or take other clips"
)]
pub struct ObserveError {
    /// The stage.
    pub stage: String,
    /// Name of the value in its graph.
    pub tensor: String,
    /// How many.
    pub values: NotFinite,
    /// In what.
    pub origin: Origin,
}

/// Observers by stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observations(BTreeMap<String, StageObservations>);

impl Observations {
    /// Observers of every float32 input and result in these graphs.
    pub fn of<'a>(stages: impl IntoIterator<Item = &'a Graph>) -> Self {
        let stages = stages.into_iter();
        Self(
            stages
                .map(|graph| (graph.name().to_owned(), StageObservations::of(graph)))
                .collect(),
        )
    }

    /// Observers of one stage.
    pub fn stage(&mut self, name: &str) -> Option<&mut StageObservations> {
        self.0.get_mut(name)
    }

    /// Structure hash of each stage's graph.
    pub fn graphs(&self) -> impl Iterator<Item = (&str, &str)> {
        let stages = self.0.iter();
        stages.map(|(name, stage)| (name.as_str(), stage.graph.as_str()))
    }

    /// Ranges of what was observed, with [`Range::amax`] by `method`.
    pub fn ranges(&self, method: Method) -> BTreeMap<String, StageRanges> {
        let stages = self.0.iter();
        stages
            .map(|(name, stage)| (name.clone(), stage.ranges(method)))
            .collect()
    }

    pub(crate) fn is_sound(&self) -> bool {
        let observers = self.0.values().flat_map(|s| s.tensors.values());
        observers.into_iter().all(|o| o.histogram().is_sound())
    }
}

/// Observers of one stage by the name of the value in its graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageObservations {
    graph: String,
    tensors: BTreeMap<String, Observer>,
}

impl StageObservations {
    fn of(graph: &Graph) -> Self {
        let results = graph.nodes().iter().flat_map(|n| &n.outputs);
        let specs = results.map(|v| graph.spec(*v).clone());
        let specs = graph.inputs().into_iter().chain(specs);
        let floats = specs.filter(|s| s.dtype == DType::F32);
        Self {
            graph: structure_hash(graph),
            tensors: floats.map(|s| (s.name, Observer::default())).collect(),
        }
    }

    /// The observers, by the names of their tensors.
    pub fn observers(&mut self) -> impl Iterator<Item = (&str, &mut Observer)> {
        self.tensors.iter_mut().map(|(name, o)| (name.as_str(), o))
    }

    fn ranges(&self, method: Method) -> StageRanges {
        let seen = self.tensors.iter().filter(|(_, o)| o.samples() > 0);
        let range = |o: &Observer| Range {
            amax: amax(o, method),
            min: o.min(),
            max: o.max(),
            smallest: o.smallest(),
            samples: o.samples(),
        };
        StageRanges {
            graph: self.graph.clone(),
            tensors: seen.map(|(name, o)| (name.clone(), range(o))).collect(),
        }
    }
}
