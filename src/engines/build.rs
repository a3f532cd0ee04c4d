//! Building a folder of engines: what is there and fits is kept, the rest is built and moved into place when all of it
//! is whole.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use serde::de::IgnoredAny;
use socc_engines::tensorrt::Profile;
use socc_exporter::digest::sha256_of;
use socc_exporter::onnx::SavedFile;

use super::error::{read_error, write_error};
use super::trtexec::{MARK, SCRIPT};
use super::{
    EnginesError, EnginesManifest, FORMAT_VERSION, MANIFEST, PlanEntry, Result, Setting,
    check_plan, key, memory, read_manifest, read_text,
};
use crate::bundle::{Bundle, StageEntry};
use crate::host::output::create_dir;
use crate::scratch::{self, Move, Scratch};

/// What to build.
pub struct Job<'a> {
    /// The graphs.
    pub bundle: &'a Bundle,
    /// The stages to build, of [`chosen`].
    pub stages: Vec<&'a StageEntry>,
    /// What builds, and for what.
    pub setting: Setting,
}

impl Job<'_> {
    /// Lengths of the symbolic axis.
    fn profile(&self) -> Profile {
        Profile::tokens(self.bundle.manifest.model.max_tokens)
    }
}

/// A folder of engines after [`build()`].
#[derive(Debug)]
pub struct Made {
    /// What it is.
    pub manifest: EnginesManifest,
    /// Stages that were built; the rest was there.
    pub built: Vec<String>,
}

/// The stages of those names, or all where there are no names.
///
/// # Errors
/// The bundle lacks one.
pub fn chosen<'a>(bundle: &'a Bundle, names: &[String]) -> Result<Vec<&'a StageEntry>> {
    let stages = &bundle.manifest.stages;
    if let Some(unknown) = names.iter().find(|n| stages.iter().all(|s| s.name != **n)) {
        let known: Vec<&str> = stages.iter().map(|s| &*s.name).collect();
        return Err(EnginesError::UnknownStage {
            stage: unknown.clone(),
            known: known.join(", "),
        });
    }
    let wanted = stages.iter();
    Ok(wanted
        .filter(|s| names.is_empty() || names.contains(&s.name))
        .collect())
}

/// Makes `out` a folder of engines. `make` writes the plan of a stage to a path; it is asked only for those that are
/// not there yet. On an error everything in `out` is as it was.
///
/// # Errors
/// `out` holds something else, `make` fails, or something cannot be written.
pub fn build(
    job: &Job,
    out: &Path,
    make: &mut dyn FnMut(&StageEntry, Profile, &Path) -> Result<()>,
) -> Result<Made> {
    // Through links, and away from `.`.
    let out = &fs::canonicalize(out).unwrap_or_else(|_| out.to_owned());
    let old = present(out)?;
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    create_dir(parent)?;
    let scratch = Scratch::new_in(parent).map_err(write_error(parent))?;
    let mut made = Made {
        manifest: EnginesManifest {
            format_version: FORMAT_VERSION,
            setting: job.setting.clone(),
            stages: Vec::new(),
        },
        built: Vec::new(),
    };
    for stage in &job.bundle.manifest.stages {
        let key = key::key(&job.setting, stage, job.profile());
        let wanted = job.stages.iter().any(|s| s.name == stage.name);
        if let Some(entry) = reusable(out, old.as_ref(), &key) {
            made.manifest.stages.push(entry);
        } else if wanted {
            let entry = build_stage(job, stage, key, scratch.path(), make)?;
            made.manifest.stages.push(entry);
            made.built.push(stage.name.clone());
        }
    }
    if old.as_ref() != Some(&made.manifest) {
        install(&made, old.as_ref(), scratch.path(), out)?;
    }
    Ok(made)
}

/// What the folder holds: engines, nothing yet, or something that is no business of ours.
pub(super) fn present(out: &Path) -> Result<Option<EnginesManifest>> {
    let mut entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(write_error(out)(e)),
    };
    if entries.next().is_none() {
        return Ok(None);
    }
    match read_manifest(out) {
        Ok(manifest) => Ok(Some(manifest)),
        // Of an older or damaged layout, or with a script alone: ours, and all of it is built anew.
        Err(EnginesError::Manifest { .. }) if is_ours(out) => Ok(None),
        Err(EnginesError::Manifest { .. }) => Err(EnginesError::Foreign {
            path: out.to_owned(),
        }),
        Err(other) => Err(other),
    }
}

fn is_ours(dir: &Path) -> bool {
    #[derive(Deserialize)]
    struct Marks {
        #[serde(rename = "tensorrt_version")]
        _tensorrt_version: String,
        #[serde(rename = "stages")]
        _stages: Vec<IgnoredAny>,
    }
    let text = read_text(&dir.join(MANIFEST));
    let described = text.is_ok_and(|text| serde_json::from_str::<Marks>(&text).is_ok());
    let script = || read_text(&dir.join(SCRIPT));
    described || script().is_ok_and(|text| text.lines().any(|l| l.starts_with(MARK)))
}

/// The plan with that key, if its file is whole.
fn reusable(out: &Path, old: Option<&EnginesManifest>, key: &str) -> Option<PlanEntry> {
    let entry = old?.stages.iter().find(|e| e.key == key)?;
    check_plan(out, &entry.plan).ok().map(|()| entry.clone())
}

fn build_stage(
    job: &Job,
    stage: &StageEntry,
    key: String,
    dir: &Path,
    make: &mut dyn FnMut(&StageEntry, Profile, &Path) -> Result<()>,
) -> Result<PlanEntry> {
    let name = format!("{}.plan", stage.name);
    let path = dir.join(&name);
    let profile = job.profile();
    memory::reset_peak();
    let begun = Instant::now();
    make(stage, profile, &path)?;
    let build_seconds = begun.elapsed().as_secs_f64();
    let meta = path.metadata().map_err(read_error(&path))?;
    let varies = stage.inputs.iter().any(|i| profile.shapes(i).is_some());
    Ok(PlanEntry {
        name: stage.name.clone(),
        key,
        graph_sha256: key::graph_sha256(&stage.files),
        precision: stage.precision,
        inputs: stage.inputs.clone(),
        outputs: stage.outputs.clone(),
        profile: varies.then_some(profile),
        plan: SavedFile {
            name,
            bytes: meta.len(),
            sha256: sha256_of(&path).map_err(read_error(&path))?,
        },
        build_seconds,
        peak_memory_bytes: memory::peak_bytes(),
    })
}

/// Moves the new plans and the description into place: all or none.
fn install(made: &Made, old: Option<&EnginesManifest>, dir: &Path, out: &Path) -> Result<()> {
    let path = dir.join(MANIFEST);
    let json = serde_json::to_vec_pretty(&made.manifest).map_err(io::Error::other);
    json.and_then(|json| fs::write(&path, json))
        .map_err(write_error(&path))?;
    create_dir(out)?;
    let plans = made.manifest.stages.iter();
    let plans = plans.filter(|e| made.built.contains(&e.name));
    let names = plans.map(|e| &*e.plan.name).chain([MANIFEST]);
    let steps: Vec<Move> = names
        .map(|name| Move {
            from: dir.join(name),
            to: out.join(name),
            aside: dir.join(format!("{name}.old")),
        })
        .collect();
    scratch::replace(&steps).map_err(|(path, source)| write_error(&path)(source))?;
    // What no longer fits; a file that stays behind is harmless, as nothing names it.
    let dropped = old.iter().flat_map(|old| &old.stages);
    let stays = |name: &str| made.manifest.stages.iter().any(|e| e.plan.name == name);
    for entry in dropped.filter(|e| !stays(&e.plan.name)) {
        let _ = fs::remove_file(out.join(&entry.plan.name));
    }
    Ok(())
}
