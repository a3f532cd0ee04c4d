//! `result.json` of an evaluation.

use std::collections::BTreeMap;

use serde::Serialize;

use super::coco::{Summary, summarise};
use super::record::{Identity, Record};
use super::{Evaluation, Scores};
use crate::dataset::{Benchmark, Finding, FindingKind, counts};

/// Cases that are listed as the slowest and the worst.
pub const LISTED: usize = 10;

/// `result.json`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of socc.
    pub socc: &'static str,
    /// What was evaluated.
    pub benchmark: Benchmark,
    /// The split.
    pub split: String,
    /// Fingerprint of the checkpoint.
    pub checkpoint: String,
    /// What of it ran.
    pub form: String,
    /// Name and version of the engine.
    pub engine: String,
    /// Which part this is of how many, if it is a part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<(usize, usize)>,
    /// J, F, their mean, and the scores of every expression.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Ref-DAVIS: means by annotator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotators: Vec<Means>,
    /// A2D-Sentences and JHMDB-Sentences: what the official evaluation prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Summary>,
    /// How often each kind of finding occurs.
    pub finding_counts: BTreeMap<FindingKind, usize>,
    /// What was wrong or odd.
    pub findings: Vec<Finding>,
    /// Sums over the videos, in milliseconds.
    pub times_ms: Times,
    /// Videos that took longest.
    pub slowest: Vec<Slow>,
    /// Expressions with the lowest scores.
    pub worst: Vec<Bad>,
}

/// Means over objects.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Means {
    /// Region similarity.
    #[serde(rename = "J")]
    pub j: f64,
    /// Boundary accuracy.
    #[serde(rename = "F")]
    pub f: f64,
    /// Mean of both.
    #[serde(rename = "JF")]
    pub jf: f64,
}

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Times {
    /// Reading and resizing, beside the computing.
    pub read: f64,
    /// Computing, and scoring and writing masks.
    pub run: f64,
    /// Of that, writing masks.
    pub write: f64,
    /// From start to end of this run of the command.
    pub total: f64,
    /// Videos that this run of the command did.
    pub videos: usize,
}

/// A slow video.
#[derive(Debug, Clone, Serialize)]
pub struct Slow {
    /// The video.
    pub video: String,
    /// Its frames.
    pub frames: usize,
    /// Its expressions.
    pub expressions: usize,
    /// Milliseconds of computing.
    pub run_ms: f64,
}

/// An expression with a low score.
#[derive(Debug, Clone, Serialize)]
pub struct Bad {
    /// The video.
    pub video: String,
    /// The expression's id.
    pub expression: String,
    /// Mean of J and F.
    pub jf: f64,
}

impl Report {
    /// Sums up; `total_ms` and `videos` are those of this run of the command.
    pub fn new(
        identity: &Identity,
        records: &BTreeMap<String, Record>,
        total_ms: f64,
        videos: usize,
    ) -> Self {
        let scores = |r: &Record| (r.video.clone(), r.scores.expressions.clone());
        let scores: Scores = records.values().map(scores).collect();
        let mut evaluation = Evaluation::from(scores);
        let annotators = annotators(records);
        if !annotators.is_empty() {
            // The official figures are those of the merged masks.
            let n = annotators.len() as f64;
            let (j, f) = annotators
                .iter()
                .fold((0.0, 0.0), |s, m| (s.0 + m.j, s.1 + m.f));
            let (j, f) = (j / n, f / n);
            (evaluation.j, evaluation.f) = (Some(j), Some(f));
            evaluation.jf = Some((j + f) / 2.0);
        }
        let detections: Vec<_> = records
            .values()
            .flat_map(|r| r.scores.detections.iter().cloned())
            .collect();
        let mut findings = identity.findings.clone();
        findings.extend(records.values().flat_map(|r| r.findings.iter().cloned()));
        let sum = |value: fn(&Record) -> f64| records.values().map(value).sum();
        Self {
            socc: env!("CARGO_PKG_VERSION"),
            benchmark: identity.benchmark,
            split: identity.split.clone(),
            checkpoint: identity.checkpoint.clone(),
            form: identity.form.clone(),
            engine: identity.engine.clone(),
            shard: identity.shard,
            annotators,
            metrics: summarise(&detections),
            finding_counts: counts(&findings),
            findings,
            times_ms: Times {
                read: sum(|r| r.times_ms.read),
                run: sum(|r| r.times_ms.run),
                write: sum(|r| r.times_ms.write),
                total: total_ms,
                videos,
            },
            slowest: slowest(records),
            worst: worst(&evaluation.videos),
            evaluation,
        }
    }
}

fn annotators(records: &BTreeMap<String, Record>) -> Vec<Means> {
    let most = records.values().map(|r| r.scores.annotators.len()).max();
    (0..most.unwrap_or(0))
        .map(|annotator| {
            let of = |r: &'_ Record| r.scores.annotators.get(annotator).cloned();
            let objects: Vec<_> = records.values().filter_map(of).flatten().collect();
            let n = objects.len().max(1) as f64;
            let j = objects.iter().map(|o| o.j).sum::<f64>() / n;
            let f = objects.iter().map(|o| o.f).sum::<f64>() / n;
            Means {
                j,
                f,
                jf: (j + f) / 2.0,
            }
        })
        .collect()
}

fn slowest(records: &BTreeMap<String, Record>) -> Vec<Slow> {
    let mut all: Vec<Slow> = records
        .values()
        .map(|r| Slow {
            video: r.video.clone(),
            frames: r.frames,
            expressions: r.scores.expressions.len(),
            run_ms: r.times_ms.run,
        })
        .collect();
    all.sort_by(|a, b| b.run_ms.total_cmp(&a.run_ms));
    all.truncate(LISTED);
    all
}

fn worst(scores: &Scores) -> Vec<Bad> {
    let mut all = Vec::new();
    for (video, expressions) in scores {
        for (expression, scored) in expressions {
            if let Some((j, f)) = scored.j.zip(scored.f) {
                all.push(Bad {
                    video: video.clone(),
                    expression: expression.clone(),
                    jf: (j + f) / 2.0,
                });
            }
        }
    }
    all.sort_by(|a, b| a.jf.total_cmp(&b.jf));
    all.truncate(LISTED);
    all
}
