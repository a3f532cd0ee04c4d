//! Data sets of the benchmarks, as their authors lay them out on disk.
//!
//! A [`Dataset`] lists videos with their expressions; frames and annotations are read when asked for.
//! What is wrong or odd in it is noted as [`Finding`]s, with a substitute in its place.

mod error;
mod expressions;
mod finding;
mod frames;
mod truth;

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage};

use crate::host::frames::Clip;

pub use error::{DatasetError, Result};
pub use finding::{Finding, FindingKind, Findings, counts};
pub use truth::{Truth, VOID_LABEL};

/// One video, or one window of a video around an annotated frame.
#[derive(Debug, Clone)]
pub struct Video {
    /// Its name, good as a file name.
    pub name: String,
    /// Names of its frames in order, without endings.
    pub frames: Vec<String>,
    /// What is to be found in it.
    pub expressions: Vec<Expression>,
    /// Index of the only frame that is annotated and answered for, where the others are its context.
    pub annotated: Option<usize>,
}

/// A sentence that describes an object of a video.
#[derive(Debug, Clone)]
pub struct Expression {
    /// Its id, unique within the video and good as a file name.
    pub id: String,
    /// The sentence, as the tokenizer is to see it.
    pub text: String,
    /// Ids of the objects that it means; empty where that is hidden.
    pub objects: Vec<u32>,
    /// Ids of their masks in `mask_dict.json` (MeViS).
    pub masks: Vec<u32>,
}

/// A split of a data set.
#[derive(Debug)]
pub struct Dataset {
    /// Folder of the data set.
    pub root: PathBuf,
    /// Name of the split.
    pub split: String,
    /// Its videos.
    pub videos: Vec<Video>,
    /// What was odd about the lists of videos and expressions.
    pub findings: Vec<Finding>,
    /// Folders of all videos' frames and annotations.
    frames: PathBuf,
    annotations: PathBuf,
}

impl Dataset {
    /// Opens a split in the layout of Ref-YouTube-VOS: `SPLIT/JPEGImages/VIDEO/FRAME.jpg` (or `.png`),
    /// `SPLIT/Annotations/VIDEO/FRAME.png` with object ids as palette indices, and
    /// `meta_expressions/SPLIT/meta_expressions.json` (or `SPLIT/meta_expressions.json`). Videos come
    /// sorted by name.
    ///
    /// # Errors
    /// Folders or the list of expressions are missing or damaged, or the list has names that are no
    /// file names.
    pub fn open(root: &Path, split: &str) -> Result<Self> {
        let mut findings = Findings::default();
        let beside = root.join("meta_expressions").join(split).join(META);
        let within = root.join(split).join(META);
        let meta = if !beside.exists() && within.exists() {
            within
        } else {
            beside
        };
        let mut videos = expressions::read(&meta, &mut findings)?;
        videos.sort_by(|a, b| a.name.cmp(&b.name));
        let frames = root.join(split).join("JPEGImages");
        fs::read_dir(&frames).map_err(|source| DatasetError::Read {
            path: frames.clone(),
            source,
            expected: "it holds a folder of frames for every video",
        })?;
        Ok(Self {
            root: root.to_owned(),
            split: split.to_owned(),
            videos,
            findings: findings.take(),
            frames,
            annotations: root.join(split).join("Annotations"),
        })
    }

    /// Expressions of all videos.
    pub fn expressions(&self) -> usize {
        self.videos.iter().map(|v| v.expressions.len()).sum()
    }

    /// The frames of a video, RGB, in their own size.
    ///
    /// # Errors
    /// One is missing, unreadable, or of another size.
    pub fn frames(&self, video: &Video) -> Result<Clip> {
        let mut clip = Clip {
            frames: Vec::with_capacity(video.frames.len()),
            names: video.frames.clone(),
        };
        let mut findings = Findings::default();
        self.each_frame(video, &mut findings, &mut |_, frame| {
            clip.frames.push(frame.clone());
            Ok(())
        })?;
        findings.refuse_defects()?;
        Ok(clip)
    }

    /// Hands every frame of a video to `sink`, in order, with its index; only one is in memory. What is
    /// missing, unreadable or of another size is noted and has a substitute.
    ///
    /// # Errors
    /// No frame is usable, findings are refused, or `sink` fails.
    pub fn each_frame(
        &self,
        video: &Video,
        findings: &mut Findings,
        sink: &mut dyn FnMut(usize, &RgbImage) -> Result<()>,
    ) -> Result<()> {
        let folder = self.frames.join(&video.name);
        frames::read(&video.name, &folder, &video.frames, findings, sink)
    }

    /// Whether a video comes with annotations.
    pub fn is_annotated(&self, video: &Video) -> bool {
        self.annotations.join(&video.name).is_dir()
    }

    /// Annotations of a video whose frames have `size` (width, height).
    ///
    /// # Errors
    /// It has none, or findings are refused.
    pub fn annotations(
        &self,
        video: &Video,
        size: (u32, u32),
        findings: &mut Findings,
    ) -> Result<Truth> {
        let folder = self.annotations.join(&video.name);
        truth::read(&video.name, &folder, &video.frames, size, findings)
    }

    /// Masks (0 or 255) of an expression's objects in every frame, in the size of the frames.
    ///
    /// # Errors
    /// A frame or annotation is missing, unreadable, or of another size.
    pub fn truth(&self, video: &Video, expression: &Expression) -> Result<Vec<GrayImage>> {
        let folder = self.frames.join(&video.name);
        let size = frames::size(&folder, &video.frames).ok_or_else(|| DatasetError::NoFrames {
            video: video.name.clone(),
            folder,
        })?;
        let mut findings = Findings::default();
        let truth = self.annotations(video, size, &mut findings)?;
        findings.refuse_defects()?;
        let masks = (0..video.frames.len()).filter_map(|i| truth.mask(i, expression));
        Ok(masks.collect())
    }
}

/// The list of expressions.
const META: &str = "meta_expressions.json";
