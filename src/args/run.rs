//! Arguments of `socc run`.

use std::path::PathBuf;

use clap::Args;

use super::{EngineArgs, Lowering, SourceArgs, WindowArgs};

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// A folder of pictures, a video file (needs ffmpeg), or `-`: standard input, a series of binary PPM pictures
    /// or a video (needs ffmpeg)
    #[arg(long, value_name = "PATH")]
    pub video: PathBuf,
    /// Take the pictures of a folder in the order of their names while it fills
    #[arg(long)]
    pub follow: bool,
    /// With --follow, seconds without a new picture after which the video has ended [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub idle: Option<f64>,
    /// A sentence that describes one object; may be repeated
    #[arg(short, long = "expression", value_name = "TEXT", required = true)]
    pub expressions: Vec<String>,
    /// Folder for masks, overlays and result.json, which get there together at the end. Of a stream (--video - or
    /// --follow) each gets there when its window is done, told by a line of OUT/frames.jsonl, and result.json marks the
    /// end
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// First frame
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub start: usize,
    /// Take every N-th frame
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub every: usize,
    /// Frames to take at most [default: all]
    #[arg(long, value_name = "N")]
    pub frames: Option<usize>,
    #[command(flatten)]
    pub window: WindowArgs,
    /// Give the model the frames in their own size
    #[arg(long)]
    pub no_resize: bool,
    /// Lowering of deformable attention, where a checkpoint is compiled
    #[arg(long, value_enum, default_value = "grid-sample")]
    pub deformable: Lowering,
    /// Print result.json; of a stream, the lines of frames.jsonl as they come
    #[arg(long)]
    pub json: bool,
}
