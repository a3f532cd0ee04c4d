//! A bundle: a folder with one graph per stage, their weights, the tokenizer, and a manifest.

mod error;
mod write;

use std::fs::{self, File};
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use socc_calibration::passes::Report;
use socc_calibration::precision::Precision;
use socc_exporter::config::Architecture;
use socc_exporter::digest::sha256_of;
use socc_exporter::model::{Deformable, FRAMES_AT_ONCE, MIN_SIDE, Rate, Request, STAGES};
use socc_exporter::onnx::SavedFile;
use socc_exporter::tensor::{DType, Dim, TensorSpec};

pub use error::{BundleError, Result};
pub use write::{Contents, write};

use error::read_error;

/// Version of the manifest's layout. A reader refuses a newer one.
pub const FORMAT_VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const TOKENIZER: &str = "tokenizer";
/// Longest manifest that is read; those of socc have some 10 kB.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

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
    /// Frames for which wide tensors are made at once, and that stages which look at one frame at a time take.
    #[serde(default = "frames_at_once")]
    pub frames_at_once: NonZeroUsize,
    /// Whether the graphs give the golden intermediates.
    pub probe: bool,
    /// Whether the stages of rate `clip_expression` take one frame of the clip, [`Request::kept_frame`].
    #[serde(default)]
    pub annotated_frame: bool,
    /// Arithmetic of the graphs: a precision, or `mixed`.
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
            frames_at_once: self.frames_at_once,
            probe: self.probe,
            annotated_frame: self.annotated_frame,
        }
    }

    /// What the graphs take, for people.
    pub fn clip(&self) -> String {
        let clip = format!(
            "{} frames of {}x{} pixels",
            self.frames, self.height, self.width
        );
        match self.annotated_frame {
            true => format!("{clip}, behind the backbone the annotated one alone"),
            false => clip,
        }
    }

    /// What is wrong with it, if it cannot be that of a bundle.
    fn flaw(&self) -> Option<String> {
        let (t, h, w) = (self.frames, self.height, self.width);
        let values = t
            .checked_mul(3)
            .and_then(|n| n.checked_mul(h)?.checked_mul(w));
        if t == 0 || h < MIN_SIDE || w < MIN_SIDE || values.is_none_or(|n| n > i32::MAX as usize) {
            return Some(format!("no clip can have {t} frames of {h}x{w} pixels"));
        }
        let stages: Vec<(&str, Rate)> = self.stages.iter().map(|s| (&*s.name, s.rate)).collect();
        if stages != STAGES {
            let list = |stages: &[(&str, Rate)]| {
                let stages = stages
                    .iter()
                    .map(|(name, rate)| format!("{name} per {rate}"));
                stages.collect::<Vec<_>>().join(", ")
            };
            let (got, expected) = (list(&stages), list(&STAGES));
            return Some(format!(
                "its stages are [{got}] where [{expected}] are needed"
            ));
        }
        if let Some(stage) = self.stages.iter().find(|s| s.files.is_empty()) {
            return Some(format!("stage `{}` has no file", stage.name));
        }
        let frames = TensorSpec {
            name: "frames".to_owned(),
            dtype: DType::U8,
            shape: [t, 3, h, w].map(Dim::Fixed).into(),
        };
        let mut inputs = self.stages.iter().flat_map(|s| &s.inputs);
        (!inputs.any(|spec| *spec == frames)).then(|| format!("no stage takes `{frames}`"))
    }
}

/// Of bundles from before it was written down.
fn frames_at_once() -> NonZeroUsize {
    FRAMES_AT_ONCE
}

/// A file that a bundle was made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its name.
    pub file: String,
    /// [`socc_exporter::checkpoint::Checkpoint::fingerprint`]: tells it from other checkpoints.
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
    /// Arithmetic of the graph.
    #[serde(default = "full_precision")]
    pub precision: Precision,
    /// What was done to the float32 graph, and why it was not done to some of its nodes.
    #[serde(default, skip_serializing_if = "is_untouched")]
    pub lowering: Report,
}

/// What bundles from before there were precisions have.
fn full_precision() -> Precision {
    Precision::Fp32
}

fn is_untouched(report: &Report) -> bool {
    *report == Report::default()
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(MAX_MANIFEST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The manifest of the bundle in `dir`, of this version.
fn read_manifest(dir: &Path) -> Result<Manifest> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u64,
    }
    let path = dir.join(MANIFEST);
    let fail = |reason: String| BundleError::Manifest {
        path: path.clone(),
        reason,
    };
    let text = read_text(&path).map_err(|e| fail(e.to_string()))?;
    let version: Version = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
    let got = version.format_version;
    if got > u64::from(FORMAT_VERSION) {
        return Err(BundleError::Newer { path, got });
    }
    serde_json::from_str(&text).map_err(|e| fail(e.to_string()))
}

fn check_file(path: PathBuf, file: &SavedFile) -> Result<()> {
    // Before anything is read: of a pipe or a device there would be no end.
    let meta = fs::metadata(&path).map_err(read_error(&path))?;
    let bytes = if meta.is_file() { meta.len() } else { 0 };
    if bytes != file.bytes {
        return Err(BundleError::Length {
            path,
            expected: file.bytes,
            got: bytes,
        });
    }
    let got = sha256_of(&path).map_err(read_error(&path))?;
    if got != file.sha256 {
        return Err(BundleError::Hash {
            path,
            expected: file.sha256.clone(),
            got,
        });
    }
    Ok(())
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
    /// Whether a folder has a manifest, sound or not.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(MANIFEST).is_file()
    }

    /// Reads the manifest and checks every file's hash.
    ///
    /// # Errors
    /// The manifest is missing, damaged or newer, or a file has changed.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let manifest: Manifest = read_manifest(dir)?;
        if let Some(reason) = manifest.flaw() {
            return Err(BundleError::Manifest { path, reason });
        }
        let bundle = Self {
            dir: dir.to_owned(),
            manifest,
        };
        bundle.check_files()?;
        Ok(bundle)
    }

    fn check_files(&self) -> Result<()> {
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
            check_file(path, file)?;
        }
        Ok(())
    }

    /// The model file of one of its stages.
    pub fn model_path(&self, stage: &StageEntry) -> PathBuf {
        let model = stage.files.first();
        let name = model.map_or(format!("{}.onnx", stage.name), |f| f.name.clone());
        self.dir.join(name)
    }

    /// Folder of the tokenizer.
    pub fn tokenizer_dir(&self) -> PathBuf {
        self.dir.join(TOKENIZER)
    }
}
