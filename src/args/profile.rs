//! Arguments of `socc profile`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::{EngineArgs, Lowering, Size, SourceArgs};

/// A file of one stage, written `STAGE=FILE`.
#[derive(Debug, Clone)]
pub struct StageFile {
    pub stage: String,
    pub file: PathBuf,
}

impl FromStr for StageFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((stage, file)) if !stage.is_empty() && !file.is_empty() => Ok(Self {
                stage: stage.to_owned(),
                file: file.into(),
            }),
            _ => Err("expected a stage and a file, as in transformer=profile.json".to_owned()),
        }
    }
}

#[derive(Args)]
pub struct ProfileArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Clips to profile
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub runs: usize,
    /// Names of a module scope that are told apart: 2 of `transformer.encoder.layers.0`
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub depth: usize,
    /// Layer profile of a stage that `trtexec --exportProfile` wrote, instead of running an engine; may be repeated
    #[arg(long, value_name = "STAGE=FILE")]
    pub layer_profile: Vec<StageFile>,
    /// Times of a stage that `trtexec --exportTimes` wrote; may be repeated
    #[arg(long, value_name = "STAGE=FILE")]
    pub times: Vec<StageFile>,
    /// What `trtexec --exportLayerInfo --profilingVerbosity=detailed` wrote of a stage: leads layers back to modules
    /// whose names do not; may be repeated
    #[arg(long, value_name = "STAGE=FILE")]
    pub layer_info: Vec<StageFile>,
    /// A sentence that describes one object
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "the person who walks to the left"
    )]
    pub expression: String,
    /// Frames per clip, where a checkpoint is compiled
    #[arg(long, value_name = "T", default_value_t = 8)]
    pub frames: usize,
    /// Height and width that the model sees, where a checkpoint is compiled [default: 16:9 by the configuration's sizes]
    #[arg(long, value_name = "HxW")]
    pub size: Option<Size>,
    /// Lowering of deformable attention, where a checkpoint is compiled
    #[arg(long, value_enum, default_value = "grid-sample")]
    pub deformable: Lowering,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
