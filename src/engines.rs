//! A folder of engines: one TensorRT plan per stage, and `engines.json`, which says what they are and what they were
//! built from and for.
//!
//! The folder is its own cache: [`build()`] takes a plan that is there if its key, over all that a plan depends on, and
//! its hash still fit. [`Engines::open`] refuses plans that cannot run on a machine before anything loads them.

mod build;
mod check;
mod error;
mod key;
mod memory;
mod plans;
mod trtexec;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use socc_calibration::precision::Precision;
use socc_engines::tensorrt::{BuildOptions, Profile};
use socc_exporter::digest::sha256_of;
use socc_exporter::onnx::SavedFile;
use socc_exporter::tensor::TensorSpec;

pub use build::{Job, Made, build, chosen};
pub use check::Machine;
pub use error::{EnginesError, Result};
pub use plans::plans;
pub use trtexec::{Device, RUNBOOK, SCRIPT, hand_over, installed};

use error::read_error;

/// Version of the layout of `engines.json`. A reader refuses a newer one.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the file that describes the folder.
pub const MANIFEST: &str = "engines.json";
/// Longest description that is read; those of socc have some 10 kB.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// What a folder of engines is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnginesManifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// What the plans were built with and for.
    #[serde(flatten)]
    pub setting: Setting,
    /// The plans in the order in which the stages run.
    pub stages: Vec<PlanEntry>,
}

/// What plans were built with and for; all of it is part of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Version of socc.
    pub tool_version: String,
    /// `tensorrt-rtx`, `tensorrt` or `trtexec`.
    pub backend: String,
    /// Version of the library that built.
    pub tensorrt_version: String,
    /// Operating system, as [`std::env::consts::OS`] names it.
    pub os: String,
    /// Processor architecture, as [`std::env::consts::ARCH`] names it.
    pub arch: String,
    /// GPUs, workspace and effort. Without GPUs the plans are for the one that was present.
    pub options: BuildOptions,
}

/// The plan of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanEntry {
    /// Stage name.
    pub name: String,
    /// SHA-256 over all that the plan depends on.
    pub key: String,
    /// SHA-256 over the hashes of the graph's files.
    pub graph_sha256: String,
    /// Arithmetic of the graph.
    pub precision: Precision,
    /// Inputs in the stage's order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs in the stage's order.
    pub outputs: Vec<TensorSpec>,
    /// Lengths of the symbolic axis, where an input has one.
    pub profile: Option<Profile>,
    /// The file.
    pub plan: SavedFile,
    /// How long the build took, in seconds.
    pub build_seconds: f64,
    /// Most memory that the process held during it, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

/// An opened folder of engines: plans that this machine can run, whole and unchanged.
#[derive(Debug)]
pub struct Engines {
    /// The folder.
    pub dir: PathBuf,
    /// What it is.
    pub manifest: EnginesManifest,
}

impl Engines {
    /// Opens the folder for a machine. Loads nothing.
    ///
    /// # Errors
    /// `engines.json` is missing, damaged or newer, the plans are for another machine, or a file has changed.
    pub fn open(dir: &Path, machine: &Machine) -> Result<Self> {
        let manifest = read_manifest(dir)?;
        machine.check(dir, &manifest.setting)?;
        for entry in &manifest.stages {
            check_plan(dir, &entry.plan)?;
        }
        let dir = dir.to_owned();
        Ok(Self { dir, manifest })
    }

    /// The plan of a stage, and where it is.
    ///
    /// # Errors
    /// The folder has none.
    pub fn plan(&self, stage: &str) -> Result<(&PlanEntry, PathBuf)> {
        let entry = self.manifest.stages.iter().find(|e| e.name == stage);
        let entry = entry.ok_or_else(|| EnginesError::NoPlan {
            path: self.dir.clone(),
            stage: stage.to_owned(),
        })?;
        Ok((entry, self.dir.join(&entry.plan.name)))
    }
}

/// The description of the folder, of this version.
fn read_manifest(dir: &Path) -> Result<EnginesManifest> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u64,
    }
    let path = dir.join(MANIFEST);
    let foreign = |reason: String| EnginesError::Manifest {
        path: path.clone(),
        reason,
    };
    let text = read_text(&path).map_err(|e| foreign(e.to_string()))?;
    let version: Version = serde_json::from_str(&text).map_err(|e| foreign(e.to_string()))?;
    let got = version.format_version;
    if got > u64::from(FORMAT_VERSION) {
        return Err(EnginesError::Newer { path, got });
    }
    serde_json::from_str(&text).map_err(|e| foreign(e.to_string()))
}

fn read_text(path: &Path) -> io::Result<String> {
    // Before anything is read: of a pipe or a device there would be no end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a file",
        ));
    }
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(MAX_MANIFEST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Refuses a plan file that is not the one that was built.
fn check_plan(dir: &Path, plan: &SavedFile) -> Result<()> {
    if Path::new(&plan.name).file_name() != Some(plan.name.as_ref()) {
        return Err(EnginesError::Outside {
            path: dir.join(MANIFEST),
            file: plan.name.clone(),
        });
    }
    let path = dir.join(&plan.name);
    let meta = path.metadata().map_err(read_error(&path))?;
    let changed = |path| EnginesError::Changed { path };
    if !meta.is_file() || meta.len() != plan.bytes {
        return Err(changed(path));
    }
    match sha256_of(&path).map_err(read_error(&path))? == plan.sha256 {
        true => Ok(()),
        false => Err(changed(path)),
    }
}
