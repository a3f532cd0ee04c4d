//! Arguments of `socc build`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use socc_engines::tensorrt::Sm;

/// What builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// TensorRT-RTX 1.7; needs no GPU
    TensorrtRtx,
    /// TensorRT 11, for the GPU that is present
    Tensorrt,
    /// The device's own TensorRT, by a script that calls trtexec
    Trtexec,
}

#[derive(Args)]
pub struct BuildArgs {
    /// The bundle that `socc export` wrote
    pub bundle: PathBuf,
    /// Folder for the plans and engines.json; what is there and still fits is not built again
    #[arg(short, long, value_name = "ENGINES", required_unless_present = "check")]
    pub output: Option<PathBuf>,
    /// What builds
    #[arg(long, value_enum)]
    pub backend: Backend,
    /// Compute capabilities of the GPUs that the plans are to run on, such as 86,89,120 [default for
    /// tensorrt-rtx: 86,89,120; the others build for the GPU that is present]
    #[arg(long, value_name = "SM", value_delimiter = ',')]
    pub sm: Vec<Sm>,
    /// Most memory that a kernel may use beside its tensors, in MiB [default: TensorRT's]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub workspace: Option<u64>,
    /// Effort, from 0 to 5 [default: TensorRT's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=5))]
    pub opt_level: Option<u8>,
    /// A stage to build; may be repeated [default: all]
    #[arg(long = "stage", value_name = "NAME")]
    pub stages: Vec<String>,
    /// Only parse the graphs, and print which operators are supported
    #[arg(long)]
    pub check: bool,
    /// TensorRT's shared library, instead of the one that is found
    #[arg(long, value_name = "FILE")]
    pub tensorrt_library: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
