//! Arguments of `socc roofline`.

use std::path::PathBuf;

use clap::Args;

use super::{EngineArgs, Lowering, Size, SourceArgs};

#[derive(Args)]
pub struct RooflineArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// cpu (this machine, measured on the spot), orin-nano, orin-nx, agx-orin, thor, rtx-4090, a100 or h100; may be
    /// repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub device: Vec<String>,
    /// Report of `socc bench` on this machine: shows what was measured over what is possible
    #[arg(long, value_name = "FILE")]
    pub bench: Option<PathBuf>,
    /// Names of a module scope that are told apart: 2 of `transformer.encoder.layers.0`
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub depth: usize,
    /// Tokens of the sentence
    #[arg(long, value_name = "S", default_value_t = 12)]
    pub tokens: usize,
    /// Frames per clip, where a checkpoint is counted
    #[arg(long, value_name = "T", default_value_t = 8)]
    pub frames: usize,
    /// Height and width that the model sees, where a checkpoint is counted [default: 16:9 by the configuration's sizes]
    #[arg(long, value_name = "HxW")]
    pub size: Option<Size>,
    /// Lowering of deformable attention, where a checkpoint is counted
    #[arg(long, value_enum, default_value = "grid-sample")]
    pub deformable: Lowering,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
