//! What a command runs on: a bundle, or a checkpoint that is compiled in memory.

mod error;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socc_engines::{Engine, ModelSource};
use socc_exporter::checkpoint::Checkpoint;
use socc_exporter::config::{self, Described};
use socc_exporter::graph::Graph;
use socc_exporter::keys::{self, Audit};
use socc_exporter::model::{self, Deformable, FRAMES_AT_ONCE, Rate, Request, STAGES};
use socc_exporter::onnx;

use crate::bundle::{Bundle, Manifest, ModelFacts, StageEntry};
use crate::engines;
use crate::host::HostError;
use crate::host::tokenizer::TextTokenizer;
use crate::pipeline::{Pipeline, StageInput};

pub use error::SourceError;

/// Result of opening and compiling.
pub type Result<T> = std::result::Result<T, SourceError>;

/// A checkpoint that is understood and complete.
#[derive(Debug)]
pub struct Model {
    /// The file.
    pub checkpoint: Arc<Checkpoint>,
    /// Its architecture and where each fact came from.
    pub described: Described,
    /// Folder of the tokenizer, where one is known.
    pub tokenizer: Option<PathBuf>,
}

impl Model {
    /// Opens a checkpoint and checks it against the architecture.
    ///
    /// # Errors
    /// It cannot be read or understood, or weights are missing or misshapen.
    pub fn open(path: &Path, config: Option<&Path>, tokenizer: Option<&Path>) -> Result<Self> {
        let (model, audit) = Self::inspect(path, config, tokenizer)?;
        match key_summary(&audit) {
            None => Ok(model),
            Some(summary) => Err(SourceError::Keys {
                path: path.to_owned(),
                summary,
            }),
        }
    }

    /// Opens a checkpoint whose keys may be incomplete.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub fn inspect(
        path: &Path,
        config: Option<&Path>,
        tokenizer: Option<&Path>,
    ) -> Result<(Self, Audit)> {
        let checkpoint = Arc::new(Checkpoint::open(path)?);
        if let Some(dir) = tokenizer {
            // A file of the folder that is not there just says nothing; the folder has to be one.
            fs::read_dir(dir).map_err(|source| HostError::Read {
                path: dir.to_owned(),
                source,
            })?;
        }
        let described = config::read(&*checkpoint, config, tokenizer)?;
        let audit = keys::audit(&*checkpoint, &described.architecture);
        let tokenizer = tokenizer.map(Path::to_owned).or_else(|| {
            described
                .text_encoder_dir
                .clone()
                .filter(|d| TextTokenizer::is_in(d))
        });
        let model = Self {
            checkpoint,
            described,
            tokenizer,
        };
        Ok((model, audit))
    }
}

/// One phrase on missing and misshapen keys; `None` if there are none.
pub fn key_summary(audit: &Audit) -> Option<String> {
    if let Some(first) = audit.missing.first() {
        let nearest = first.nearest.as_ref();
        let nearest = nearest.map_or(String::new(), |n| format!(" (nearest: `{n}`)"));
        return Some(format!(
            "{} of the weights that inference needs are missing, the first is `{}` of shape {:?}{nearest}",
            audit.missing.len(),
            first.key,
            first.shape,
        ));
    }
    let first = audit.wrong_shape.first()?;
    Some(format!(
        "{} weights have another shape than the architecture needs, the first is `{}`: expected {:?}, got {:?}",
        audit.wrong_shape.len(),
        first.key,
        first.expected,
        first.got,
    ))
}

/// A bundle or a checkpoint.
#[derive(Debug)]
pub enum Source {
    /// Exported for one clip length and size.
    Bundle {
        /// The bundle.
        bundle: Box<Bundle>,
        /// A tokenizer folder given beside it.
        tokenizer: Option<PathBuf>,
    },
    /// Compiled for whatever clip comes.
    Checkpoint(Box<Model>),
}

impl Source {
    /// Opens `path`: a folder is a bundle, a file a checkpoint.
    ///
    /// # Errors
    /// It cannot be read, or is not usable.
    pub fn open(path: &Path, config: Option<&Path>, tokenizer: Option<&Path>) -> Result<Self> {
        let meta = fs::metadata(path).map_err(|reason| SourceError::NotFound {
            path: path.to_owned(),
            reason,
        })?;
        if meta.is_dir() {
            return Ok(Self::Bundle {
                bundle: Box::new(Bundle::open(path)?),
                tokenizer: tokenizer.map(Path::to_owned),
            });
        }
        let model = Model::open(path, config, tokenizer)?;
        Ok(Self::Checkpoint(Box::new(model)))
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Bundle { bundle, .. } => &bundle.dir,
            Self::Checkpoint(model) => model.checkpoint.path(),
        }
    }

    /// What running needs to know about the model.
    pub fn facts(&self) -> ModelFacts {
        match self {
            Self::Bundle { bundle, .. } => bundle.manifest.model,
            Self::Checkpoint(model) => (&model.described.architecture).into(),
        }
    }

    /// The manifest, if this is a bundle.
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Bundle { bundle, .. } => Some(&bundle.manifest),
            Self::Checkpoint(_) => None,
        }
    }

    /// Loads the tokenizer.
    ///
    /// # Errors
    /// None is known, or it is damaged.
    pub fn tokenizer(&self) -> Result<TextTokenizer> {
        let dir = match self {
            Self::Bundle { bundle, tokenizer } => tokenizer.clone().or_else(|| {
                let inside = !bundle.manifest.tokenizer.is_empty();
                inside.then(|| bundle.tokenizer_dir())
            }),
            Self::Checkpoint(model) => model.tokenizer.clone(),
        };
        let dir = dir.ok_or_else(|| SourceError::NoTokenizer {
            path: self.path().to_owned(),
        })?;
        Ok(TextTokenizer::from_dir(&dir)?)
    }

    /// Compiles all stages for `request` on `engine`; `compiled` hears each stage's name when it is
    /// ready. A bundle has its own lowering, outputs and frames at once, whatever the request says of them.
    ///
    /// For an engine that runs plans, those of the bundle's stages are taken instead of the graphs.
    ///
    /// # Errors
    /// A bundle was exported for another clip, or has no plans where they are needed; a stage cannot be emitted or
    /// compiled.
    pub fn compile(
        &self,
        engine: impl Into<Arc<dyn Engine>>,
        request: &Request,
        compiled: &mut dyn FnMut(&str),
    ) -> Result<Pipeline> {
        let stages = STAGES.map(|(name, _)| (name, *request));
        self.compile_stages(engine, &stages, compiled)
    }

    /// Compiles some stages, in the order of the data, each for its own request; else as
    /// [`Source::compile`].
    ///
    /// # Errors
    /// As [`Source::compile`].
    pub fn compile_stages(
        &self,
        engine: impl Into<Arc<dyn Engine>>,
        wanted: &[(&str, Request)],
        compiled: &mut dyn FnMut(&str),
    ) -> Result<Pipeline> {
        let clip = wanted.iter().find(|(name, _)| *name == CLIP_STAGE);
        let kept_frame = clip.and_then(|(_, request)| request.kept_frame());
        let pipeline = match self {
            Self::Bundle { bundle, .. } => {
                let engine = engine.into();
                let files = match engine.plans() {
                    Some(target) => engines::plans(bundle, &target)?,
                    None => graphs(bundle),
                };
                let entries: Vec<_> = bundle.manifest.stages.iter().zip(files).collect();
                let stages = wanted.iter().filter_map(|(name, request)| {
                    let (entry, file) = entries.iter().find(|(entry, _)| entry.name == *name)?;
                    let fits = check_fixed(bundle, request);
                    Some(fits.map(|()| stage_input(entry, file.clone())))
                });
                Pipeline::compile(engine, stages, compiled)?
            }
            Self::Checkpoint(model) => {
                let engine = engine.into();
                if engine.plans().is_some() {
                    return Err(SourceError::NeedsPlans {
                        engine: engine.name().to_owned(),
                        path: self.path().to_owned(),
                    });
                }
                let arch = &model.described.architecture;
                let graphs = wanted.iter().map(|(name, request)| {
                    model::build_stage(&model.checkpoint, arch, request, name)
                });
                let graphs = graphs.collect::<std::result::Result<Vec<_>, _>>()?;
                let stages = graphs.into_iter().map(|stage| {
                    let memory = onnx::to_memory(&stage.graph)?;
                    Ok(StageInput {
                        name: stage.name.to_owned(),
                        rate: stage.rate,
                        inputs: stage.graph.inputs(),
                        outputs: stage.graph.outputs(),
                        source: ModelSource::Memory {
                            model: memory.model,
                            external: memory.external,
                        },
                    })
                });
                Pipeline::compile::<SourceError>(engine, stages, compiled)?
            }
        };
        Ok(pipeline.keep_frame(kept_frame))
    }

    /// Name, rate and graph of every stage: a bundle's own, whatever the request, or those of a checkpoint.
    ///
    /// # Errors
    /// A stage's file cannot be read, or a stage cannot be emitted.
    pub fn graphs(&self, request: &Request) -> Result<Vec<(String, Rate, Graph)>> {
        match self {
            Self::Bundle { bundle, .. } => {
                let stages = bundle.manifest.stages.iter();
                let load = |entry: &StageEntry| {
                    let graph = onnx::load(&bundle.model_path(entry))?;
                    Ok((entry.name.clone(), entry.rate, graph))
                };
                stages.map(load).collect()
            }
            Self::Checkpoint(model) => {
                let arch = &model.described.architecture;
                let stages = model::build(&model.checkpoint, arch, request)?.into_iter();
                let named = stages.map(|s| (s.name.to_owned(), s.rate, s.graph));
                Ok(named.collect())
            }
        }
    }

    /// What to compile for: a bundle's own clip, or `frames` of `height x width`.
    pub fn request(&self, frames: usize, height: usize, width: usize) -> Request {
        match self.manifest() {
            Some(manifest) => manifest.request(),
            None => Request {
                frames,
                height,
                width,
                deformable: Deformable::default(),
                frames_at_once: FRAMES_AT_ONCE,
                probe: false,
                annotated_frame: false,
            },
        }
    }

    /// Refuses a bundle that answers for one frame of a clip only.
    ///
    /// # Errors
    /// It was exported for that.
    pub fn check_whole_clips(&self) -> Result<()> {
        match self.manifest() {
            Some(manifest) if manifest.annotated_frame => Err(SourceError::AnnotatedFrame {
                path: self.path().to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a bundle that does not answer for the annotated frame in the middle of `frames`.
    ///
    /// # Errors
    /// It was exported for whole clips, or for another number of frames.
    pub fn check_annotated_frame(&self, frames: usize) -> Result<()> {
        let Self::Bundle { bundle, .. } = self else {
            return Ok(());
        };
        let manifest = &bundle.manifest;
        if !manifest.annotated_frame {
            return Err(SourceError::WholeClips {
                path: bundle.dir.clone(),
            });
        }
        if manifest.frames != frames {
            return Err(SourceError::Fixed {
                path: bundle.dir.clone(),
                got: manifest.clip(),
                wanted: format!("a window of {frames} frames"),
            });
        }
        Ok(())
    }
}

/// The stage that sees all frames, whatever the others take.
const CLIP_STAGE: &str = "visual_backbone";

/// The model file of each stage.
fn graphs(bundle: &Bundle) -> Vec<PathBuf> {
    let stages = bundle.manifest.stages.iter();
    stages.map(|entry| bundle.model_path(entry)).collect()
}

fn stage_input(entry: &StageEntry, file: PathBuf) -> StageInput {
    StageInput {
        name: entry.name.clone(),
        rate: entry.rate,
        inputs: entry.inputs.clone(),
        outputs: entry.outputs.clone(),
        source: ModelSource::File(file),
    }
}

fn check_fixed(bundle: &Bundle, request: &Request) -> Result<()> {
    let own = bundle.manifest.request();
    let dims = |r: &Request| (r.frames, r.height, r.width);
    if dims(&own) == dims(request) {
        return Ok(());
    }
    let (frames, height, width) = dims(request);
    Err(SourceError::Fixed {
        path: bundle.dir.clone(),
        got: bundle.manifest.clip(),
        wanted: format!("{frames} frames of {height}x{width}"),
    })
}
