//! Times of layers, summed by operator and by module scope.

use std::collections::BTreeMap;

use serde::Serialize;
use socc_engines::OperatorTime;
use socc_exporter::graph::Graph;

use super::layers::{LayerMap, common};
use crate::bench::units::Milliseconds;
use crate::roofline::{cut, under};

/// Name under which layers stand that name no node of the graph.
pub const UNMAPPED: &str = "(no module)";

/// One kind of operator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatorRow {
    /// As the back end calls it.
    pub op: String,
    /// Calls in one run.
    pub calls: f64,
    /// Time in one run.
    pub ms: Milliseconds,
    /// Share of the stage's operators.
    pub share: f64,
}

/// One module of the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScopeRow {
    /// Its scope, after the stage's name.
    pub scope: String,
    /// Layers.
    pub layers: usize,
    /// Time in one run.
    pub ms: Milliseconds,
    /// Share of the stage's operators.
    pub share: f64,
}

/// The innermost scope that holds the nearest named layers before and after `place`.
fn between(named: &[Option<String>], place: usize) -> Option<String> {
    let before = named[..place].iter().rev().find_map(Option::as_deref);
    let after = named[place + 1..].iter().find_map(Option::as_deref);
    common(before.into_iter().chain(after))
}

/// Where one stage's time goes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageProfile {
    /// The stage.
    pub name: String,
    /// Runs that were profiled.
    pub runs: usize,
    /// Time of all operators in one run.
    pub ms: Milliseconds,
    /// Share of the time in layers that name their nodes.
    pub mapped: f64,
    /// Share of the time in layers that the back end made and named itself, such as a copy: they count for the
    /// innermost module that holds the named layers before and after.
    pub inferred: f64,
    /// By kind of operator, the longest first.
    pub operators: Vec<OperatorRow>,
    /// By module, the longest first.
    pub scopes: Vec<ScopeRow>,
}

impl StageProfile {
    /// Sums `times`, in the order in which the layers run, taken over `runs`. Scopes are cut to `depth` names. `described` gives what the engine's inspector
    /// says of a layer, where there is such a thing.
    pub fn new(
        name: &str,
        graph: &Graph,
        times: &[OperatorTime],
        runs: usize,
        depth: usize,
        described: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let map = LayerMap::new(graph);
        let per_run = |total: f64| total / runs.max(1) as f64;
        let all: f64 = times.iter().map(|t| t.total_ms).sum();
        let share = |ms: f64| if all > 0.0 { ms / all } else { 0.0 };
        let mut operators: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
        let mut scopes: BTreeMap<String, (usize, f64)> = BTreeMap::new();
        let origins = times.iter().map(|time| {
            let told = described(&time.name).and_then(|text| map.origin(&text).scope);
            told.or_else(|| map.origin(&time.name).scope)
        });
        let named: Vec<Option<String>> = origins.collect();
        let (mut mapped, mut inferred) = (0.0, 0.0);
        for (place, time) in times.iter().enumerate() {
            let operator = operators.entry(&time.op).or_default();
            *operator = (operator.0 + time.calls, operator.1 + time.total_ms);
            let scope = match &named[place] {
                Some(scope) => {
                    mapped += time.total_ms;
                    Some(scope.clone())
                }
                None => between(&named, place).inspect(|_| inferred += time.total_ms),
            };
            let key = scope.map_or(UNMAPPED.to_owned(), |s| under(name, &cut(&s, depth)));
            let scope = scopes.entry(key).or_default();
            *scope = (scope.0 + 1, scope.1 + time.total_ms);
        }
        let mut profile = Self {
            name: name.to_owned(),
            runs,
            ms: per_run(all),
            mapped: share(mapped),
            inferred: share(inferred),
            operators: operators
                .into_iter()
                .map(|(op, (calls, ms))| OperatorRow {
                    op: op.to_owned(),
                    calls: per_run(calls as f64),
                    ms: per_run(ms),
                    share: share(ms),
                })
                .collect(),
            scopes: scopes
                .into_iter()
                .map(|(scope, (layers, ms))| ScopeRow {
                    scope,
                    layers,
                    ms: per_run(ms),
                    share: share(ms),
                })
                .collect(),
        };
        profile.operators.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        profile.scopes.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        profile
    }
}
