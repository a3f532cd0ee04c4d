//! Arguments of `socc bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use socc::bench::Mode;

use super::{EngineArgs, Lowering, Size, SourceArgs};

/// How clips follow each other.
#[derive(Clone, Copy, ValueEnum)]
pub enum BenchMode {
    /// One after the other
    Latency,
    /// Overlapped: clips and frames per second
    Throughput,
    /// Each from nothing: load, first run, time to the first mask
    Cold,
}

impl From<BenchMode> for Mode {
    fn from(mode: BenchMode) -> Self {
        match mode {
            BenchMode::Latency => Self::Latency,
            BenchMode::Throughput => Self::Throughput,
            BenchMode::Cold => Self::Cold,
        }
    }
}

#[derive(Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// A folder of pictures, or a video file (needs ffmpeg), whose first frames are taken [default: synthetic frames]
    #[arg(long, value_name = "PATH")]
    pub video: Option<PathBuf>,
    /// A sentence that describes one object; may be repeated
    #[arg(
        short,
        long = "expression",
        value_name = "TEXT",
        default_value = "the person who walks to the left"
    )]
    pub expressions: Vec<String>,
    /// Least time of runs before the first that counts, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub warmup_ms: u64,
    /// Least time of runs that count, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 3000)]
    pub duration_ms: u64,
    /// Least number of runs that count
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub iterations: usize,
    /// How clips follow each other
    #[arg(long, value_enum, default_value = "latency")]
    pub mode: BenchMode,
    /// File to write: .json, .csv, .md, .trace.json (Perfetto) or .html; may be repeated
    #[arg(long, value_name = "FILE")]
    pub export: Vec<PathBuf>,
    /// Read the machine's power sensors beside the runs: watts, joules per clip, temperatures
    #[arg(long)]
    pub power: bool,
    /// Only the timed runs: no amortisation, no watched run, no roofline
    #[arg(long)]
    pub quick: bool,
    /// Frames per clip, where a checkpoint is compiled
    #[arg(long, value_name = "T", default_value_t = 8)]
    pub frames: usize,
    /// Height and width that the model sees, where a checkpoint is compiled [default: by the frames of the video, or
    /// 16:9, and the configuration's sizes]
    #[arg(long, value_name = "HxW")]
    pub size: Option<Size>,
    /// Lowering of deformable attention, where a checkpoint is compiled
    #[arg(long, value_enum, default_value = "grid-sample")]
    pub deformable: Lowering,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}
