//! Why frames, sentences or results could not be handled.

use std::io;
use std::path::PathBuf;

/// Why frames, sentences or results could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file or folder is missing or unreadable.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {path}: {source}; check that the folder may be written and has room")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A result would replace what no earlier run left.
    #[error("{path} is there already and is no result of socc; name another folder with -o")]
    Foreign {
        /// What is there.
        path: PathBuf,
    },
    /// A picture cannot be decoded, or has no pixels.
    #[error("frame {path} cannot be used: {reason}")]
    Frame {
        /// The picture.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A picture cannot be encoded.
    #[error("cannot encode {path}: {reason}")]
    Encode {
        /// The picture.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Frames of one clip differ in size.
    #[error(
        "frame {path} is {got_width}x{got_height} where the frames before it are {width}x{height}; a clip's frames must be of one size"
    )]
    FrameSize {
        /// The first frame that differs.
        path: PathBuf,
        /// Width of the frames before it.
        width: u32,
        /// Height of the frames before it.
        height: u32,
        /// Its width.
        got_width: u32,
        /// Its height.
        got_height: u32,
    },
    /// What is to be watched is no folder.
    #[error("{path} is a file, which does not fill as a folder does; leave --follow out")]
    NoFolder {
        /// The file.
        path: PathBuf,
    },
    /// No frame is left to run on.
    #[error("{path} gives no frames: {reason}")]
    NoFrames {
        /// The video.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A video file could not be decoded.
    #[error("cannot decode video {path}: {reason}")]
    Video {
        /// The video.
        path: PathBuf,
        /// What was seen, and what to do.
        reason: String,
    },
    /// The tokenizer's files are missing or damaged.
    #[error(
        "cannot load a tokenizer from {path}: {reason}; give the folder with RoBERTa's tokenizer.json, or vocab.json and merges.txt"
    )]
    Tokenizer {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A sentence cannot be encoded.
    #[error("expression {text:?} cannot be used: {reason}")]
    Expression {
        /// The sentence, cut to a readable length.
        text: String,
        /// Why.
        reason: String,
    },
}

/// Result of host-side work.
pub type Result<T> = std::result::Result<T, HostError>;
