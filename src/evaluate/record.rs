//! What an evaluation keeps on disk about itself and about each video that is done.

use serde::{Deserialize, Serialize};

use super::VideoScores;
use crate::dataset::{Benchmark, Finding};

/// Version of the files' layout.
pub const FORMAT: u32 = 2;

/// What an evaluation is of; it goes on, and shards join, only where these agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The benchmark.
    pub benchmark: Benchmark,
    /// The split.
    pub split: String,
    /// Fingerprint of the checkpoint that the source was made from.
    pub checkpoint: String,
    /// What of it runs: `checkpoint`, or a bundle's clip and arithmetic.
    pub form: String,
    /// Name and version of the engine.
    pub engine: String,
    /// Which part this is, from 1, and of how many.
    pub shard: Option<(usize, usize)>,
    /// Videos of all shards, in order.
    pub videos: Vec<String>,
    /// What was odd about the lists of videos and expressions.
    pub findings: Vec<Finding>,
}

impl Identity {
    /// The first thing that differs, apart from the shard.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let same = [
            ("layout version", self.format == other.format),
            ("data set", self.benchmark == other.benchmark),
            ("split", self.split == other.split),
            ("checkpoint", self.checkpoint == other.checkpoint),
            ("form of the model", self.form == other.form),
            ("engine", self.engine == other.engine),
            ("list of videos", self.videos == other.videos),
        ];
        let mut different = same.into_iter().filter(|(_, same)| !same);
        different.next().map(|(what, _)| what)
    }

    /// Videos of this shard: every N-th.
    pub fn own(&self) -> impl Iterator<Item = &str> {
        let (part, parts) = self.shard.unwrap_or((1, 1));
        let own = self.videos.iter().skip(part.saturating_sub(1));
        own.step_by(parts.max(1)).map(String::as_str)
    }
}

/// A video that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The video.
    pub video: String,
    /// Frames that the model saw.
    pub frames: usize,
    /// Height and width of the masks, in pixels.
    pub height: u32,
    /// Width of the masks, in pixels.
    pub width: u32,
    /// What it scores; nothing where the video cannot be used.
    pub scores: VideoScores,
    /// What was wrong or odd.
    pub findings: Vec<Finding>,
    /// Where the time went.
    pub times_ms: VideoTimes,
}

/// Times of a video, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoTimes {
    /// Decoding and resizing frames and reading annotations, beside the computing of another video.
    pub read: f64,
    /// Compiling, the stages, scoring, and writing masks.
    pub run: f64,
    /// Of that, writing masks.
    pub write: f64,
}
