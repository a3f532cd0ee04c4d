//! `result.json` of an evaluation.

use std::collections::BTreeMap;

use serde::Serialize;

use super::coco::{Summary, summarise};
use super::record::{Identity, Record};
use super::{Evaluation, ObjectScore, Scores, mean};
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
    /// Ref-DAVIS: means over the annotators.
    #[serde(flatten)]
    pub stability: Option<Stability>,
    /// Ref-DAVIS: what the official evaluation prints of each annotator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotators: Vec<Annotator>,
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

/// How scores change over the frames of a video, as the `davis2017` code has it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Stability {
    /// Share of the frames whose region similarity is above 0.5.
    #[serde(rename = "J_recall")]
    pub j_recall: f64,
    /// Region similarity that is lost from the first to the last quarter of the frames.
    #[serde(rename = "J_decay")]
    pub j_decay: f64,
    /// Share of the frames whose boundary accuracy is above 0.5.
    #[serde(rename = "F_recall")]
    pub f_recall: f64,
    /// Boundary accuracy that is lost from the first to the last quarter of the frames.
    #[serde(rename = "F_decay")]
    pub f_decay: f64,
}

/// Scores of merged masks: of an object, or means.
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
    /// How they change over the frames.
    #[serde(flatten)]
    pub stability: Stability,
}

/// One annotator's sentences.
#[derive(Debug, Clone, Serialize)]
pub struct Annotator {
    /// Means over the objects of all videos.
    #[serde(flatten)]
    pub means: Means,
    /// By object, `VIDEO_K` for label K of a video's annotations.
    pub objects: BTreeMap<String, Means>,
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
        let overall = over_annotators(&annotators);
        if let Some(Means { j, f, jf, .. }) = overall {
            // The official figures are those of the merged masks.
            (evaluation.j, evaluation.f, evaluation.jf) = (Some(j), Some(f), Some(jf));
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
            stability: overall.map(|means| means.stability),
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

    /// Ref-DAVIS: means over the annotators.
    pub fn overall(&self) -> Option<Means> {
        over_annotators(&self.annotators)
    }
}

fn over_annotators(annotators: &[Annotator]) -> Option<Means> {
    Means::over(annotators.iter().map(|a| a.means))
}

impl From<ObjectScore> for Means {
    fn from(object: ObjectScore) -> Self {
        let ObjectScore { j, f, .. } = object;
        Self {
            j: j.mean,
            f: f.mean,
            jf: (j.mean + f.mean) / 2.0,
            stability: Stability {
                j_recall: j.recall,
                j_decay: j.decay,
                f_recall: f.recall,
                f_decay: f.decay,
            },
        }
    }
}

impl Means {
    /// J&F, then mean, recall and decay of J and of F: the columns of the official table.
    pub fn figures(&self) -> [f64; 7] {
        let Stability {
            j_recall,
            j_decay,
            f_recall,
            f_decay,
        } = self.stability;
        [
            self.jf, self.j, j_recall, j_decay, self.f, f_recall, f_decay,
        ]
    }

    /// Means of all figures; `None` of nothing.
    fn over(all: impl Iterator<Item = Self> + Clone) -> Option<Self> {
        let figure = |figure: fn(&Self) -> f64| mean(all.clone().map(|m| figure(&m)));
        let (j, f) = (figure(|m| m.j)?, figure(|m| m.f)?);
        Some(Self {
            j,
            f,
            jf: (j + f) / 2.0,
            stability: Stability {
                j_recall: figure(|m| m.stability.j_recall)?,
                j_decay: figure(|m| m.stability.j_decay)?,
                f_recall: figure(|m| m.stability.f_recall)?,
                f_decay: figure(|m| m.stability.f_decay)?,
            },
        })
    }
}

/// What each annotator's sentences score; nothing where no object is annotated.
fn annotators(records: &BTreeMap<String, Record>) -> Vec<Annotator> {
    let most = records.values().map(|r| r.scores.annotators.len()).max();
    let of = |annotator: usize| {
        let mut objects = BTreeMap::new();
        for record in records.values() {
            let scores = record
                .scores
                .annotators
                .get(annotator)
                .into_iter()
                .flatten();
            for (k, score) in scores.enumerate() {
                let name = format!("{}_{}", record.video, k + 1);
                objects.insert(name, Means::from(*score));
            }
        }
        let means = Means::over(objects.values().copied())?;
        Some(Annotator { means, objects })
    };
    (0..most.unwrap_or(0)).filter_map(of).collect()
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
