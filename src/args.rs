//! Command line arguments, as they are parsed.

mod bench;
mod build;
mod calibrate;
mod compare;
mod eval;
mod precision;
mod profile;
mod roofline;
mod run;
mod sensitivity;
mod window;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use socc::source::Source;
use socc_engines::{Engine, Options, engine};
use socc_exporter::model::{Deformable, FRAMES_AT_ONCE};

pub use bench::BenchArgs;
pub use build::{Backend, BuildArgs};
pub use calibrate::CalibrateArgs;
pub use compare::CompareArgs;
pub use eval::{EvalArgs, EvalCommand, EvalMergeArgs, EvalRunArgs};
pub use precision::PrecisionArgs;
pub use profile::{ProfileArgs, StageFile};
pub use roofline::RooflineArgs;
pub use run::RunArgs;
pub use sensitivity::SensitivityArgs;
pub use window::WindowArgs;

/// Deployment compiler for SOC++: segments, in every frame of a video, the object that a sentence
/// describes.
#[derive(Parser)]
#[command(name = "socc", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Segment a small clip with the small model that comes along, and show what was found
    Demo(DemoArgs),
    /// Print what a checkpoint is: architecture, sizes, missing and unused keys; or what a bundle is
    Inspect(InspectArgs),
    /// Write one ONNX graph per pipeline stage, the tokenizer, and a manifest
    Export(ExportArgs),
    /// Measure the range of every tensor on clips and sentences, for `export --ranges`
    Calibrate(CalibrateArgs),
    /// Segment a video
    Run(RunArgs),
    /// Score a model on a benchmark's data set, by its official protocol
    Eval(EvalArgs),
    /// Compare every tensor of a golden case with the official model's
    Verify(VerifyArgs),
    /// Measure every stage: percentiles, memory, what several expressions cost
    Bench(BenchArgs),
    /// Set two reports of `bench` against each other; exit code 1 on a regression
    Compare(CompareArgs),
    /// Count operations and bytes, and say how fast a machine could be at most
    Roofline(RooflineArgs),
    /// Say where the time goes: by operator and by module
    Profile(ProfileArgs),
    /// Find which layers bear low precision within a budget of J&F, and write a precision plan
    Sensitivity(SensitivityArgs),
    /// Write a full-size checkpoint with made-up weights, to measure the real size
    Synth(SynthArgs),
    /// Build TensorRT engines of a bundle's stages
    Build(BuildArgs),
    /// Fetch the library of an optional engine
    Setup(SetupArgs),
    /// List the engines: present or not, version, what to install
    Doctor(DoctorArgs),
}

impl Command {
    /// Whether running it may load ONNX Runtime's library.
    pub fn loads_onnxruntime(&self) -> bool {
        let engine = match self {
            Self::Doctor(_) | Self::Setup(_) => return true,
            Self::Calibrate(args) => &args.engine,
            Self::Demo(args) => &args.engine,
            Self::Run(args) => &args.engine,
            Self::Verify(args) => &args.engine,
            Self::Sensitivity(args) => &args.engine,
            Self::Bench(args) => &args.engine,
            Self::Profile(args) => &args.engine,
            Self::Roofline(args) => &args.engine,
            Self::Eval(EvalArgs::Run(args)) => &args.engine,
            Self::Eval(EvalArgs::Sub(_)) => return false,
            Self::Build(_)
            | Self::Inspect(_)
            | Self::Export(_)
            | Self::Synth(_)
            | Self::Compare(_) => return false,
        };
        let name = engine.engine.split(':').next();
        matches!(name, Some("onnxruntime" | "ort"))
    }
}

#[derive(Args)]
pub struct SourceArgs {
    /// A bundle that `socc export` wrote, or a checkpoint
    pub source: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
}

impl SourceArgs {
    /// Opens it.
    pub fn open(&self) -> anyhow::Result<Source> {
        let (config, tokenizer) = self.beside();
        Ok(Source::open(&self.source, config, tokenizer)?)
    }

    /// Configuration and tokenizer, where they were given.
    pub fn beside(&self) -> (Option<&Path>, Option<&Path>) {
        let model = &self.model;
        (model.config.as_deref(), model.tokenizer.as_deref())
    }
}

#[derive(Args)]
pub struct ModelArgs {
    /// The official configuration file (`key: {value: ...}`) that the checkpoint was trained with
    #[arg(long, value_name = "YAML")]
    pub config: Option<PathBuf>,
    /// Folder of the text encoder: tokenizer files and config.json
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
}

/// More threads than any machine has cores for are a slip of the finger, and cost memory each.
const MAX_THREADS: usize = 1024;

#[derive(Clone, Args)]
pub struct EngineArgs {
    /// Back end: embedded, onnxruntime, onnxruntime:cuda, onnxruntime:tensorrt, tensorrt-rtx, tensorrt
    /// or tract; `socc doctor` tells which are there
    #[arg(long, value_name = "NAME", default_value = "embedded")]
    pub engine: String,
    /// CPU threads [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// ONNX Runtime's shared library, instead of the one that is found
    #[arg(long, value_name = "FILE")]
    pub onnxruntime_library: Option<PathBuf>,
    /// Folder that `socc build` wrote, for tensorrt-rtx and tensorrt [default: BUNDLE/engines]
    #[arg(long, value_name = "ENGINES")]
    pub engines: Option<PathBuf>,
    /// Which GPU, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub gpu: usize,
    /// Capture runs that repeat as CUDA graphs, with tensorrt-rtx and tensorrt
    #[arg(long)]
    pub cuda_graphs: bool,
}

impl EngineArgs {
    /// Finds the engine.
    pub fn open(&self) -> anyhow::Result<Box<dyn Engine>> {
        Ok(engine(&self.engine, &self.options()?)?)
    }

    /// How the engine is to run.
    pub fn options(&self) -> anyhow::Result<Options> {
        if let Some(threads) = self.threads
            && !(1..=MAX_THREADS).contains(&threads)
        {
            anyhow::bail!("--threads is {threads}; give 1 to {MAX_THREADS}");
        }
        Ok(Options {
            threads: self.threads,
            onnxruntime_library: self.onnxruntime_library.clone(),
            device: self.gpu,
            plans: self.engines.clone(),
            cuda_graphs: self.cuda_graphs,
            profile: false,
        })
    }
}

#[derive(Args)]
pub struct InspectArgs {
    /// A checkpoint, or a bundle that `socc export` wrote
    pub source: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How deformable attention is spelled in the graphs.
#[derive(Clone, Copy, ValueEnum)]
pub enum Lowering {
    /// ONNX's GridSample
    GridSample,
    /// Gather and arithmetic
    Gather,
}

impl From<Lowering> for Deformable {
    fn from(lowering: Lowering) -> Self {
        match lowering {
            Lowering::GridSample => Self::GridSample,
            Lowering::Gather => Self::Gather,
        }
    }
}

/// Height and width in pixels, written `HxW`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub height: usize,
    pub width: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once(['x', 'X']);
        let parsed = sides.and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
        match parsed {
            Some((height, width)) => Ok(Self { height, width }),
            None => Err("expected height and width in pixels, as in 360x640".to_owned()),
        }
    }
}

#[derive(Args)]
pub struct ExportArgs {
    /// The checkpoint
    pub checkpoint: PathBuf,
    /// Folder to write
    #[arg(short, long, value_name = "BUNDLE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Frames per clip
    #[arg(long, value_name = "T", default_value_t = 8)]
    pub frames: usize,
    /// Height and width of the frames that the graphs take, in pixels [default: 16:9 by the
    /// configuration's sizes, 360x640 without one]
    #[arg(long, value_name = "HxW")]
    pub size: Option<Size>,
    /// Lowering of deformable attention
    #[arg(long, value_enum, default_value = "grid-sample")]
    pub deformable: Lowering,
    /// Frames of a longer clip for which wide tensors are made at once: fewer need less memory
    #[arg(long, value_name = "N", default_value_t = FRAMES_AT_ONCE)]
    pub frames_at_once: NonZeroUsize,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    /// Have what follows the backbone take one frame of the T, the annotated one in their middle, and give the
    /// masks of all queries, for `socc eval` of a2d-sentences and jhmdb-sentences
    #[arg(long)]
    pub annotated_frame: bool,
    /// Add the golden intermediates and the masks of all queries as outputs, for `socc verify`
    #[arg(long)]
    pub probe: bool,
    /// Replace what lies at BUNDLE
    #[arg(long)]
    pub force: bool,
    /// Print the manifest as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Folder of a golden case
    #[arg(long, value_name = "CASE_DIR")]
    pub golden: PathBuf,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Lowering of deformable attention, where a checkpoint is compiled
    #[arg(long, value_enum, default_value = "grid-sample")]
    pub deformable: Lowering,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct DemoArgs {
    /// Folder for masks, overlays and result.json
    #[arg(short, long, value_name = "OUT", default_value = "socc-demo")]
    pub output: PathBuf,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct SynthArgs {
    /// video-swin-t, video-swin-s, video-swin-b or resnet50
    #[arg(long, value_name = "NAME")]
    pub backbone: String,
    /// The safetensors file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Args)]
pub struct SetupArgs {
    /// onnxruntime, tensorrt-rtx, or libclang, whose environment variables are printed for `eval`
    pub engine: String,
}

#[derive(Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
