//! Writing a bundle: all of it or nothing.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use socc_exporter::checkpoint::Checkpoint;
use socc_exporter::config::Architecture;
use socc_exporter::digest::sha256_of;
use socc_exporter::graph::OPSET;
use socc_exporter::model::{Request, StageGraph};
use socc_exporter::onnx::{self, SavedFile};

use super::error::{read_error, write_error};
use super::{
    BundleError, FORMAT_VERSION, MANIFEST, Manifest, Result, SourceFile, StageEntry, TOKENIZER,
    read_text,
};
use crate::host::output::create_dir;
use crate::lowering::StageReport;
use crate::scratch::{self, Move, Scratch};

/// [`Manifest::precision`] where stages differ.
const MIXED: &str = "mixed";
/// Files of a tokenizer folder that a bundle takes along, where they exist.
const TOKENIZER_FILES: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "config.json",
];

/// Everything that [`write()`] puts into a bundle.
pub struct Contents<'a> {
    /// The stages.
    pub stages: &'a [StageGraph],
    /// What became of each in lowering.
    pub reports: &'a [StageReport],
    /// What they were built for.
    pub request: Request,
    /// The architecture.
    pub architecture: &'a Architecture,
    /// The checkpoint; it is hashed while the stages are written.
    pub checkpoint: &'a Checkpoint,
    /// Folder of the tokenizer, if the bundle is to have one.
    pub tokenizer: Option<&'a Path>,
}

/// Writes a bundle beside `out` and moves it into place when it is whole. `force` replaces a bundle, and nothing else,
/// that is there; it goes when the new one is in its place. `done` hears the name of each stage that is written.
///
/// # Errors
/// `out` is a file, or holds something that may not be replaced; something cannot be read or written.
pub fn write(
    contents: &Contents,
    out: &Path,
    force: bool,
    done: &(dyn Fn(&str) + Sync),
) -> Result<Manifest> {
    // Through links, and away from `.`, which cannot be renamed.
    let out = &fs::canonicalize(out).unwrap_or_else(|_| out.to_owned());
    check_place(out, force)?;
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    create_dir(parent)?;
    let scratch = Scratch::new_in(parent).map_err(write_error(parent))?;
    let dir = &scratch.path().join("new");
    create_dir(dir)?;
    let tokenizer = match contents.tokenizer {
        Some(from) => copy_tokenizer(from, &dir.join(TOKENIZER))?,
        None => Vec::new(),
    };
    let (stages, fingerprint) = std::thread::scope(|scope| {
        let hash = scope.spawn(|| contents.checkpoint.fingerprint());
        let stages = save_stages(contents, dir, done);
        let hash = hash.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
        (stages, hash)
    });
    let manifest = manifest(contents, stages?, fingerprint?, tokenizer);
    let path = dir.join(MANIFEST);
    let json = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other);
    json.and_then(|json| fs::write(&path, json))
        .map_err(write_error(&path))?;
    let step = Move {
        from: dir.clone(),
        to: out.clone(),
        aside: scratch.path().join("old"),
    };
    scratch::replace(&[step]).map_err(|(path, source)| write_error(&path)(source))?;
    Ok(manifest)
}

/// Refuses what must not be replaced at `out`.
fn check_place(out: &Path, force: bool) -> Result<()> {
    let mut entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(write_error(out)(e)),
    };
    let path = out.to_owned();
    match entries.next() {
        None => Ok(()),
        Some(_) if !force => Err(BundleError::Exists { path }),
        Some(_) if is_bundle(out) => Ok(()),
        Some(_) => Err(BundleError::Foreign { path }),
    }
}

/// Whether the folder has a manifest of some version of socc.
fn is_bundle(dir: &Path) -> bool {
    #[derive(Deserialize)]
    struct Marks {
        #[serde(rename = "format_version")]
        _format_version: u64,
        #[serde(rename = "tool_version")]
        _tool_version: String,
        #[serde(rename = "stages")]
        _stages: Vec<IgnoredAny>,
    }
    let text = read_text(&dir.join(MANIFEST));
    text.is_ok_and(|text| serde_json::from_str::<Marks>(&text).is_ok())
}

fn manifest(
    contents: &Contents,
    stages: Vec<StageEntry>,
    fingerprint: String,
    tokenizer: Vec<SavedFile>,
) -> Manifest {
    let request = &contents.request;
    Manifest {
        format_version: FORMAT_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        opset: contents
            .stages
            .iter()
            .map(|s| s.graph.opset())
            .max()
            .unwrap_or(OPSET),
        checkpoint: SourceFile {
            file: file_name(contents.checkpoint.path()),
            fingerprint,
        },
        model: contents.architecture.into(),
        architecture: serde_json::to_value(contents.architecture).unwrap_or_default(),
        frames: request.frames,
        height: request.height,
        width: request.width,
        deformable: request.deformable,
        frames_at_once: request.frames_at_once,
        probe: request.probe,
        annotated_frame: request.annotated_frame,
        precision: precision(&stages),
        stages,
        tokenizer,
    }
}

/// The precision of all stages, if they have one.
fn precision(stages: &[StageEntry]) -> String {
    match stages.split_first() {
        Some((first, rest)) if rest.iter().all(|s| s.precision == first.precision) => {
            first.precision.to_string()
        }
        _ => MIXED.to_owned(),
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn save_stages(
    contents: &Contents,
    dir: &Path,
    done: &(dyn Fn(&str) + Sync),
) -> Result<Vec<StageEntry>> {
    let stages: Vec<_> = contents.stages.iter().zip(contents.reports).collect();
    let save = |(stage, report): &(&StageGraph, &StageReport)| -> Result<StageEntry> {
        let saved = onnx::save(&stage.graph, dir)?;
        done(stage.name);
        Ok(StageEntry {
            name: stage.name.to_owned(),
            rate: stage.rate,
            inputs: stage.graph.inputs(),
            outputs: stage.graph.outputs(),
            files: saved.files,
            precision: report.precision,
            lowering: report.report.clone(),
        })
    };
    // The text encoder holds half of all weights: it gets a thread of its own.
    let Some((text, rest)) = stages.split_first() else {
        return Ok(vec![]);
    };
    std::thread::scope(|scope| {
        let text = scope.spawn(|| save(text));
        let rest: Vec<Result<StageEntry>> = rest.iter().map(save).collect();
        let text = text.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
        std::iter::once(text).chain(rest).collect()
    })
}

fn copy_tokenizer(from: &Path, to: &Path) -> Result<Vec<SavedFile>> {
    create_dir(to)?;
    let mut files = Vec::new();
    for name in TOKENIZER_FILES {
        let source = from.join(name);
        if source.is_file() {
            let copy = to.join(name);
            // Not `fs::copy`, which would take a write protection along.
            let bytes = fs::read(&source).map_err(read_error(&source))?;
            fs::write(&copy, &bytes).map_err(write_error(&copy))?;
            files.push(SavedFile {
                name: name.to_owned(),
                bytes: bytes.len() as u64,
                sha256: sha256_of(&copy).map_err(read_error(&copy))?,
            });
        }
    }
    Ok(files)
}
