//! Stage graphs to the precisions that were asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use regex::Regex;
use socc_calibration::passes::{Lowering, PassError, Report, lower};
use socc_calibration::plan::PrecisionPlan;
use socc_calibration::precision::Precision;
use socc_calibration::rules::RuleSet;
use socc_calibration::table::{RangeTable, TableError};
use socc_exporter::graph::{Graph, Node};
use socc_exporter::model::{STAGES, StageGraph};
use socc_exporter::onnx::structure_hash;

/// Why stages cannot be lowered.
#[derive(Debug, thiserror::Error)]
pub enum LoweringError {
    /// The range table or precision plan cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A pass failed.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// A plan names a stage that there is not.
    #[error("{path} plans for stage `{stage}`, which there is not; the stages are {known}", known = stage_names())]
    Unplannable {
        /// The plan.
        path: PathBuf,
        /// The stage.
        stage: String,
    },
}

/// Result of lowering.
pub type Result<T> = std::result::Result<T, LoweringError>;

fn stage_names() -> String {
    STAGES.map(|(name, _)| name).join(", ")
}

/// A precision for each stage, written `PRECISION` or `STAGE=PRECISION,...`; a stage that is not named has the bare
/// precision, else float32.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precisions {
    all: Option<Precision>,
    stages: BTreeMap<String, Precision>,
}

impl Precisions {
    /// That of a stage.
    pub fn of(&self, stage: &str) -> Precision {
        let own = self.stages.get(stage).copied();
        own.or(self.all).unwrap_or(Precision::Fp32)
    }
}

impl FromStr for Precisions {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut precisions = Self::default();
        for part in text.split(',') {
            let Some((stage, precision)) = part.split_once('=') else {
                if precisions.all.replace(part.parse()?).is_some() {
                    return Err(
                        "give one precision for all stages, or STAGE=PRECISION for each".into(),
                    );
                }
                continue;
            };
            if !STAGES.iter().any(|(name, _)| *name == stage) {
                let known = stage_names();
                return Err(format!(
                    "there is no stage `{stage}`; the stages are {known}"
                ));
            }
            let precision = precision.parse()?;
            if precisions
                .stages
                .insert(stage.to_owned(), precision)
                .is_some()
            {
                return Err(format!("stage `{stage}` has two precisions"));
            }
        }
        Ok(precisions)
    }
}

/// What decides how stages are lowered.
#[derive(Debug, Default)]
pub struct Request {
    /// Precision of each stage, unless a plan says it.
    pub precisions: Precisions,
    /// Measured ranges.
    pub ranges: Option<RangeTable>,
    /// Nodes that stay in float32.
    pub keep_fp32: Option<Regex>,
    /// Which products are quantised.
    pub rules: RuleSet,
    /// A precision plan and where it was read.
    pub plan: Option<(PathBuf, PrecisionPlan)>,
}

/// What became of a stage.
#[derive(Debug, Clone)]
pub struct StageReport {
    /// Its precision.
    pub precision: Precision,
    /// What was done to its graph.
    pub report: Report,
}

impl StageReport {
    /// That of a graph that was left as it is.
    pub const FP32: Self = Self {
        precision: Precision::Fp32,
        report: Report {
            half_nodes: 0,
            casts: 0,
            islands: Vec::new(),
            quantized: Vec::new(),
        },
    };
}

impl Request {
    /// Refuses ranges and plans that were made for another checkpoint or another set of stages.
    ///
    /// # Errors
    /// They were.
    pub fn check(&self, fingerprint: &str) -> Result<()> {
        if let Some(ranges) = &self.ranges {
            ranges.check_checkpoint(fingerprint)?;
        }
        let Some((path, plan)) = &self.plan else {
            return Ok(());
        };
        plan.check_checkpoint(fingerprint)?;
        let known = |stage: &&String| STAGES.iter().any(|(name, _)| name == stage);
        match plan.stages.keys().find(|stage| !known(stage)) {
            Some(stage) => Err(LoweringError::Unplannable {
                path: path.clone(),
                stage: stage.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Lowers one graph; `None` for one that stays as it is.
    ///
    /// # Errors
    /// The ranges or the plan belong to another graph; ranges are missing; a weight cannot be read.
    pub fn lower(&self, graph: &Graph) -> Result<Option<(Graph, StageReport)>> {
        let name = graph.name();
        let hash = structure_hash(graph);
        let plan = match &self.plan {
            Some((_, plan)) => plan.stage(name, &hash)?,
            None => None,
        };
        let precision = match (&self.plan, plan) {
            (None, _) => self.precisions.of(name),
            (Some(_), Some(plan)) => plan.precision,
            (Some(_), None) => Precision::Fp32,
        };
        if precision == Precision::Fp32 {
            return Ok(None);
        }
        let ranges = self.ranges.as_ref();
        let ranges = ranges.map(|table| table.stage(name, &hash)).transpose()?;
        let may_lower = |node: &Node| plan.is_none_or(|plan| plan.may_lower(node));
        let lowered = lower(
            graph,
            &Lowering {
                precision,
                ranges,
                keep_fp32: self.keep_fp32.as_ref(),
                rules: self.rules,
                may_lower: &may_lower,
            },
        )?;
        let report = lowered.report;
        Ok(Some((lowered.graph, StageReport { precision, report })))
    }

    /// Lowers every stage in place.
    ///
    /// # Errors
    /// As [`Request::lower`].
    pub fn lower_all(&self, stages: &mut [StageGraph]) -> Result<Vec<StageReport>> {
        let mut reports = Vec::with_capacity(stages.len());
        for stage in stages {
            reports.push(match self.lower(&stage.graph)? {
                Some((graph, report)) => {
                    stage.graph = graph;
                    report
                }
                None => StageReport::FP32,
            });
        }
        Ok(reports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_read_per_stage() {
        let one: Precisions = "fp16".parse().unwrap();
        assert_eq!(one.of("fusion"), Precision::Fp16);
        let mixed: Precisions = "visual_backbone=int8,transformer=fp16".parse().unwrap();
        assert_eq!(mixed.of("visual_backbone"), Precision::Int8);
        assert_eq!(mixed.of("temporal"), Precision::Fp32);
        let rest: Precisions = "int8-fp16,temporal=fp32".parse().unwrap();
        assert_eq!(rest.of("mask_head"), Precision::Int8Fp16);
        assert_eq!(rest.of("temporal"), Precision::Fp32);
        for bad in [
            "",
            "fp8",
            "fp16,int8",
            "backbone=fp16",
            "fusion=fp16,fusion=int8",
        ] {
            assert!(bad.parse::<Precisions>().is_err(), "{bad}");
        }
    }
}
