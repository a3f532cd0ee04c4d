//! A bundle: a folder with one graph per stage, their weights, the tokenizer, and a manifest.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use socc_exporter::checkpoint::{Checkpoint, CheckpointError};
use socc_exporter::config::Architecture;
use socc_exporter::graph::OPSET;
use socc_exporter::model::{Deformable, Rate, Request, StageGraph};
use socc_exporter::onnx::{self, SavedFile};
use socc_exporter::tensor::TensorSpec;

use crate::host::output::create_dir;

/// Version of the manifest's layout. A reader refuses a newer one.
pub const FORMAT_VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const TOKENIZER: &str = "tokenizer";
/// Files of a tokenizer folder that a bundle takes along, where they exist.
const TOKENIZER_FILES: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "config.json",
];

/// Why a bundle cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The destination holds something already.
    #[error("{path} exists and is not empty; name another folder, or pass --force to replace it")]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// The manifest is missing or is not one.
    #[error("{path} is no bundle manifest: {reason}; run `socc export` again")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The manifest comes from a later socc.
    #[error(
        "{path} has format version {got} and this socc reads up to {FORMAT_VERSION}; update socc"
    )]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        got: u32,
    },
    /// A file is not the one that was exported.
    #[error(
        "{path} has changed since the export: its SHA-256 is {got} where the manifest says {expected}; export or copy the bundle again"
    )]
    Hash {
        /// The file.
        path: PathBuf,
        /// SHA-256 in the manifest.
        expected: String,
        /// SHA-256 of the file.
        got: String,
    },
    /// The manifest names a file outside the bundle.
    #[error("{path} names the file `{file}`, which is not inside the bundle; export it again")]
    Outside {
        /// The manifest.
        path: PathBuf,
        /// The name.
        file: String,
    },
    /// The checkpoint could not be hashed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A stage could not be written.
    #[error(transparent)]
    Onnx(#[from] onnx::OnnxError),
    /// A folder could not be made.
    #[error(transparent)]
    Host(#[from] crate::host::HostError),
}

/// Result of bundle work.
pub type Result<T> = std::result::Result<T, BundleError>;

/// What a bundle is and where it came from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Version of socc that wrote the bundle.
    pub tool_version: String,
    /// ONNX operator set of the graphs.
    pub opset: i64,
    /// The source.
    pub checkpoint: SourceFile,
    /// The model, as far as running it needs.
    pub model: ModelFacts,
    /// The architecture in full, for people and tools.
    pub architecture: serde_json::Value,
    /// Frames per clip, T.
    pub frames: usize,
    /// Height of the frames that the graphs take, in pixels.
    pub height: usize,
    /// Width of the frames that the graphs take, in pixels.
    pub width: usize,
    /// Lowering of deformable attention.
    pub deformable: Deformable,
    /// Whether the graphs give the golden intermediates.
    pub probe: bool,
    /// Arithmetic of the graphs.
    pub precision: String,
    /// The stages in the order in which they run.
    pub stages: Vec<StageEntry>,
    /// The tokenizer's files, within `tokenizer/`.
    pub tokenizer: Vec<SavedFile>,
}

impl Manifest {
    /// What the graphs were built for.
    pub fn request(&self) -> Request {
        Request {
            frames: self.frames,
            height: self.height,
            width: self.width,
            deformable: self.deformable,
            probe: self.probe,
        }
    }
}

/// A file that a bundle was made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its name.
    pub file: String,
    /// [`Checkpoint::fingerprint`]: tells it from other checkpoints.
    pub fingerprint: String,
}

/// What running a model needs to know beside its graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Longest expression in tokens.
    pub max_tokens: usize,
    /// Short side that frames are resized to, in pixels.
    pub eval_short_size: usize,
    /// Longest that the long side may get, in pixels.
    pub eval_max_size: usize,
}

impl From<&Architecture> for ModelFacts {
    fn from(arch: &Architecture) -> Self {
        Self {
            max_tokens: arch.text.max_tokens,
            eval_short_size: arch.eval_short_size,
            eval_max_size: arch.eval_max_size,
        }
    }
}

/// A stage of a bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StageEntry {
    /// Name.
    pub name: String,
    /// How often it runs.
    pub rate: Rate,
    /// Inputs of the graph.
    pub inputs: Vec<TensorSpec>,
    /// Outputs of the graph.
    pub outputs: Vec<TensorSpec>,
    /// The model file, then its external data.
    pub files: Vec<SavedFile>,
}

/// Everything that [`write()`] puts into a bundle.
pub struct Contents<'a> {
    /// The stages.
    pub stages: &'a [StageGraph],
    /// What they were built for.
    pub request: Request,
    /// The architecture.
    pub architecture: &'a Architecture,
    /// The checkpoint; it is hashed while the stages are written.
    pub checkpoint: &'a Checkpoint,
    /// Folder of the tokenizer, if the bundle is to have one.
    pub tokenizer: Option<&'a Path>,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    let path = path.to_owned();
    move |source| BundleError::Io { path, source }
}

/// Writes a bundle beside `out` and renames it into place when it is whole. `done` hears the name of
/// each stage that is written.
///
/// # Errors
/// `out` holds something and `force` is false, something cannot be read or written.
pub fn write(
    contents: &Contents,
    out: &Path,
    force: bool,
    done: &(dyn Fn(&str) + Sync),
) -> Result<Manifest> {
    if fs::read_dir(out).is_ok_and(|mut d| d.next().is_some()) && !force {
        return Err(BundleError::Exists {
            path: out.to_owned(),
        });
    }
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    create_dir(parent)?;
    let temp = tempfile::Builder::new()
        .prefix(".socc-export-")
        .tempdir_in(parent);
    let temp = temp.map_err(io_error(parent))?;
    let dir = temp.path();
    let tokenizer = match contents.tokenizer {
        Some(from) => copy_tokenizer(from, &dir.join(TOKENIZER))?,
        None => Vec::new(),
    };
    let (stages, fingerprint) = std::thread::scope(|scope| {
        let hash = scope.spawn(|| contents.checkpoint.fingerprint());
        let stages = save_stages(contents.stages, dir, done);
        let hash = hash.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
        (stages, hash)
    });
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        opset: OPSET,
        checkpoint: SourceFile {
            file: file_name(contents.checkpoint.path()),
            fingerprint: fingerprint?,
        },
        model: contents.architecture.into(),
        architecture: serde_json::to_value(contents.architecture).unwrap_or_default(),
        frames: contents.request.frames,
        height: contents.request.height,
        width: contents.request.width,
        deformable: contents.request.deformable,
        probe: contents.request.probe,
        precision: "fp32".to_owned(),
        stages: stages?,
        tokenizer,
    };
    let path = dir.join(MANIFEST);
    let json = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other);
    json.and_then(|json| fs::write(&path, json))
        .map_err(io_error(&path))?;
    if out.exists() {
        fs::remove_dir_all(out).map_err(io_error(out))?;
    }
    fs::rename(dir, out).map_err(io_error(out))?;
    Ok(manifest)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn save_stages(
    stages: &[StageGraph],
    dir: &Path,
    done: &(dyn Fn(&str) + Sync),
) -> Result<Vec<StageEntry>> {
    let save = |stage: &StageGraph| -> Result<StageEntry> {
        let saved = onnx::save(&stage.graph, dir)?;
        done(stage.name);
        Ok(StageEntry {
            name: stage.name.to_owned(),
            rate: stage.rate,
            inputs: stage.graph.inputs(),
            outputs: stage.graph.outputs(),
            files: saved.files,
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
            let bytes = fs::copy(&source, to.join(name)).map_err(io_error(&source))?;
            files.push(SavedFile {
                name: name.to_owned(),
                bytes,
                sha256: sha256_of(&source)?,
            });
        }
    }
    Ok(files)
}

fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(io_error(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(io_error(path))?;
        if n == 0 {
            let digest = hash.finalize();
            return Ok(digest.iter().map(|b| format!("{b:02x}")).collect());
        }
        hash.update(&buffer[..n]);
    }
}

/// An opened bundle whose files are those of its manifest.
#[derive(Debug)]
pub struct Bundle {
    /// The folder.
    pub dir: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
}

impl Bundle {
    /// Reads the manifest and checks every file's hash.
    ///
    /// # Errors
    /// The manifest is missing, damaged or newer, or a file has changed.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|e| BundleError::Manifest {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        let fail = |e: serde_json::Error| BundleError::Manifest {
            path: path.clone(),
            reason: e.to_string(),
        };
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let version: Version = serde_json::from_str(&text).map_err(fail)?;
        if version.format_version > FORMAT_VERSION {
            return Err(BundleError::Newer {
                path,
                got: version.format_version,
            });
        }
        let manifest: Manifest = serde_json::from_str(&text).map_err(fail)?;
        let bundle = Self {
            dir: dir.to_owned(),
            manifest,
        };
        bundle.check_hashes()?;
        Ok(bundle)
    }

    fn check_hashes(&self) -> Result<()> {
        let stages = self.manifest.stages.iter().flat_map(|s| &s.files);
        let stages = stages.map(|f| (self.dir.join(&f.name), f));
        let tokenizer = self.manifest.tokenizer.iter();
        let tokenizer = tokenizer.map(|f| (self.tokenizer_dir().join(&f.name), f));
        for (path, file) in stages.chain(tokenizer) {
            if Path::new(&file.name).file_name() != Some(file.name.as_ref()) {
                return Err(BundleError::Outside {
                    path: self.dir.join(MANIFEST),
                    file: file.name.clone(),
                });
            }
            let got = sha256_of(&path)?;
            if got != file.sha256 {
                return Err(BundleError::Hash {
                    path,
                    expected: file.sha256.clone(),
                    got,
                });
            }
        }
        Ok(())
    }

    /// Folder of the tokenizer.
    pub fn tokenizer_dir(&self) -> PathBuf {
        self.dir.join(TOKENIZER)
    }
}
