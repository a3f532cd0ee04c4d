//! The report: what `--export NAME.json` holds. `docs/bench-schema.md` describes every key.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use socc_exporter::model::Rate;

use super::environment::Environment;
use super::memory::Memory;
use super::stats::Summary;
use super::units::Milliseconds;
use super::{BenchError, Result, Timer, Warning};
use crate::power::Figures;
use crate::roofline::Roofline;

/// Name of the schema, in every file.
pub const SCHEMA: &str = "socc-bench";
/// Version of the schema. Keys may be added without a new one; a reader refuses a newer one.
pub const SCHEMA_VERSION: u64 = 1;

/// How clips follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One after the other: the next begins when the masks of the last are there.
    Latency,
    /// Overlapped: while the engine runs one clip, the next is prepared and the last finished.
    Throughput,
    /// Each from nothing: open the source, compile the stages, run one clip.
    Cold,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Latency => "latency",
            Self::Throughput => "throughput",
            Self::Cold => "cold",
        })
    }
}

/// What was measured, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How clips follow each other.
    pub mode: Mode,
    /// Name of the engine.
    pub engine: String,
    /// Version of the engine's library.
    pub engine_version: String,
    /// CPU threads of one stage, where they were asked for.
    pub threads: Option<usize>,
    /// Arithmetic of the graphs.
    pub precision: String,
    /// Frames per clip.
    pub frames: usize,
    /// Height that the model sees, in pixels.
    pub height: usize,
    /// Width that the model sees, in pixels.
    pub width: usize,
    /// Height of the frames before preprocessing, in pixels.
    pub source_height: usize,
    /// Width of the frames before preprocessing, in pixels.
    pub source_width: usize,
    /// Sentences per clip.
    pub expressions: Vec<String>,
    /// Where the frames come from; `None` are synthetic ones.
    pub video: Option<String>,
    /// Least warm-up.
    pub warmup_ms: u64,
    /// Least time of runs that count.
    pub duration_ms: u64,
    /// Least number of runs that count.
    pub iterations: usize,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceHashes {
    /// The bundle or checkpoint.
    pub path: String,
    /// Fingerprint of the checkpoint.
    pub checkpoint: String,
    /// SHA-256 of each file of the bundle.
    pub files: Vec<FileHash>,
}

/// A file and what it held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileHash {
    /// Its name.
    pub name: String,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Samples and their statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// How long each run took, in the order in which they began.
    pub samples_ms: Vec<Milliseconds>,
    /// When each run began, since the first that counts.
    pub starts_ms: Vec<Milliseconds>,
    /// The statistics.
    #[serde(flatten)]
    pub summary: Summary,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageFigures {
    /// Its name.
    pub name: String,
    /// How often it runs; `None` are the stages on the host, once per clip.
    pub rate: Option<Rate>,
    /// What was measured.
    #[serde(flatten)]
    pub series: Series,
    /// Where the time went, where the engine can tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub breakdown: Option<BreakdownSummary>,
}

/// Parts of a stage's time on a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakdownSummary {
    /// Handing the work to the device.
    pub enqueue: Summary,
    /// Copies to the device.
    pub host_to_device: Summary,
    /// The computation.
    pub compute: Summary,
    /// Copies from the device.
    pub device_to_host: Summary,
}

/// Clips overlapped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Clips that were finished.
    pub clips: usize,
    /// In this time.
    pub wall_ms: Milliseconds,
    /// Clips per second.
    pub clips_per_s: f64,
    /// Frames per second.
    pub frames_per_s: f64,
}

/// From nothing to a mask, the first time in this process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cold {
    /// Opening the source and compiling the stages.
    pub load_ms: Milliseconds,
    /// The first clip.
    pub first_run_ms: Milliseconds,
    /// Both.
    pub time_to_first_mask_ms: Milliseconds,
}

/// What a clip costs with so many sentences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Amortisation {
    /// Sentences per clip.
    pub expressions: usize,
    /// Clips that were measured.
    pub runs: usize,
    /// Median for the whole clip.
    pub clip_ms: Milliseconds,
    /// The same per frame.
    pub ms_per_frame: Milliseconds,
    /// The same per sentence.
    pub ms_per_expression: Milliseconds,
}

/// Everything that was measured, and what it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u64,
    /// Whether it was interrupted before the plan was met.
    pub partial: bool,
    /// What was measured, and how.
    pub settings: Settings,
    /// The stages in the order of the data.
    pub stages: Vec<StageFigures>,
    /// A clip with all its sentences, from frames to masks.
    pub total: Series,
    /// Mode `throughput` alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub throughput: Option<Throughput>,
    /// Mode `cold` alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cold: Option<Cold>,
    /// Mode `latency` alone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub amortisation: Vec<Amortisation>,
    /// The stages under the processor's roof, where the engine computes on it and the graphs could be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roofline: Option<Roofline>,
    /// Memory of the process.
    pub memory: Memory,
    /// What the machine drew during the runs, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub power: Option<Figures>,
    /// What measuring costs.
    pub timer: Timer,
    /// What is to be known before the figures are believed.
    pub warnings: Vec<Warning>,
    /// The machine and the build.
    pub environment: Environment,
    /// What was run.
    pub source: SourceHashes,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// The file cannot be read, is truncated, none of ours, or newer.
    pub fn read(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: String,
            schema_version: u64,
        }
        let text = fs::read_to_string(path).map_err(|source| BenchError::Read {
            path: path.to_owned(),
            source,
        })?;
        let foreign = |reason: String| BenchError::Foreign {
            path: path.to_owned(),
            reason,
        };
        let version: Version = serde_json::from_str(&text).map_err(|e| foreign(e.to_string()))?;
        if version.schema != SCHEMA {
            return Err(foreign(format!("its schema is `{}`", version.schema)));
        }
        if version.schema_version > SCHEMA_VERSION {
            return Err(BenchError::Newer {
                path: path.to_owned(),
                got: version.schema_version,
                known: SCHEMA_VERSION,
            });
        }
        let report: Self = serde_json::from_str(&text).map_err(|e| foreign(e.to_string()))?;
        match report.flaw() {
            None => Ok(report),
            Some(flaw) => Err(foreign(flaw)),
        }
    }

    /// What is wrong with it, if its figures cannot have been measured.
    fn flaw(&self) -> Option<String> {
        let mut series = self.series();
        let sound = |s: &Series| {
            let all = || s.samples_ms.iter().chain(&s.starts_ms);
            !s.samples_ms.is_empty()
                && s.samples_ms.len() == s.starts_ms.len()
                && all().all(|ms| ms.is_finite() && *ms >= 0.0)
        };
        let (name, _) = series.find(|(_, s)| !sound(s))?;
        Some(format!(
            "`{name}` has no samples, or samples that are no times"
        ))
    }

    /// The stages and the whole, by name.
    pub fn series(&self) -> impl Iterator<Item = (&str, &Series)> {
        let stages = self.stages.iter().map(|s| (s.name.as_str(), &s.series));
        stages.chain([("total", &self.total)])
    }
}
