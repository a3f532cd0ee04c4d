//! Data sets of the benchmarks, as their authors lay them out on disk.
//!
//! A [`Dataset`] lists videos with their expressions; frames and annotations are read when asked for.
//! What is wrong or odd in it is noted as [`Finding`]s, with a substitute in its place.

mod a2d;
mod error;
mod expressions;
mod finding;
mod frames;
mod jhmdb;
mod rle;
mod truth;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

use crate::host::HostError;
use crate::host::frames::{Clip, Selection};
use rle::MaskDict;
use windows::Place;

pub use error::{DatasetError, Result};
pub use finding::{Finding, FindingKind, Findings, counts};
pub use truth::{Truth, VOID_LABEL};
pub use windows::WINDOW;

/// The benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Benchmark {
    /// MeViS.
    Mevis,
    /// Ref-YouTube-VOS, and whatever is laid out like it.
    RefYoutubeVos,
    /// Ref-DAVIS17, converted to the layout of Ref-YouTube-VOS by the official script.
    RefDavis,
    /// A2D-Sentences.
    A2dSentences,
    /// JHMDB-Sentences.
    JhmdbSentences,
}

impl Benchmark {
    /// The split that the official scripts evaluate.
    pub fn default_split(self) -> &'static str {
        match self {
            Self::Mevis | Self::RefYoutubeVos | Self::RefDavis => "valid",
            Self::A2dSentences | Self::JhmdbSentences => "test",
        }
    }
}

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
    /// Which benchmark.
    pub benchmark: Benchmark,
    /// Folder of the data set.
    pub root: PathBuf,
    /// Name of the split.
    pub split: String,
    /// Its videos.
    pub videos: Vec<Video>,
    /// What was odd about the lists of videos and expressions.
    pub findings: Vec<Finding>,
    layout: Layout,
}

/// Where frames and annotations are.
#[derive(Debug)]
enum Layout {
    /// A folder for each video's frames, and for its annotations.
    Folders {
        frames: PathBuf,
        annotations: PathBuf,
        masks: Option<Arc<MaskDict>>,
    },
    /// Annotated frames of videos, by the names of their windows.
    Windows(BTreeMap<String, Place>),
}

/// The list of expressions.
const META: &str = "meta_expressions.json";

impl Dataset {
    /// Opens a split in the layout of Ref-YouTube-VOS: see [`Dataset::open_as`].
    ///
    /// # Errors
    /// As [`Dataset::open_as`].
    pub fn open(root: &Path, split: &str) -> Result<Self> {
        Self::open_as(Benchmark::RefYoutubeVos, root, split, false)
    }

    /// Opens a split.
    ///
    /// - Ref-YouTube-VOS, MeViS, Ref-DAVIS: `SPLIT/JPEGImages/VIDEO/FRAME.jpg` (or `.png`),
    ///   `SPLIT/Annotations/VIDEO/FRAME.png` with object ids as palette indices (MeViS: ids plus 1, as the
    ///   official code has them, or `SPLIT/mask_dict.json`), and
    ///   `meta_expressions/SPLIT/meta_expressions.json` (or `SPLIT/meta_expressions.json`). Videos come
    ///   sorted by name; those of Ref-DAVIS in the order of the list. The lists of `valid` in MeViS and
    ///   Ref-YouTube-VOS name the videos of `test` too: they are left out where there is a list of `test`.
    /// - A2D-Sentences, JHMDB-Sentences: a video for each annotated frame, with the window around it.
    ///
    /// # Errors
    /// Folders or lists are missing or damaged, or a list has names that are no file names; or something
    /// is odd, and `strict` refuses it.
    pub fn open_as(benchmark: Benchmark, root: &Path, split: &str, strict: bool) -> Result<Self> {
        let mut findings = Findings::new(strict);
        let (videos, layout) = match benchmark {
            Benchmark::A2dSentences => {
                let (videos, places) = a2d::list(root, split, &mut findings)?;
                (videos, Layout::Windows(places))
            }
            Benchmark::JhmdbSentences => {
                let (videos, places) = jhmdb::list(root, &mut findings)?;
                (videos, Layout::Windows(places))
            }
            _ => folders(benchmark, root, split, &mut findings)?,
        };
        Ok(Self {
            benchmark,
            root: root.to_owned(),
            split: split.to_owned(),
            videos,
            findings: findings.take(),
            layout,
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

    /// Hands every frame of a video to `sink`, in order, with its index; only one is in memory, unless
    /// a video file is decoded for a window. What is missing, unreadable or of another size is noted and
    /// has a substitute.
    ///
    /// # Errors
    /// No frame is usable, findings are refused, or `sink` fails.
    pub fn each_frame(
        &self,
        video: &Video,
        findings: &mut Findings,
        sink: &mut dyn FnMut(usize, &RgbImage) -> Result<()>,
    ) -> Result<()> {
        let folder = match &self.layout {
            Layout::Folders { frames, .. } => frames.join(&video.name),
            Layout::Windows(places) => {
                let place = place(places, video)?;
                if !place.video.is_dir() {
                    return decoded(place, sink);
                }
                place.video.clone()
            }
        };
        frames::read(&video.name, &folder, &video.frames, findings, sink)
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
        let (annotations, masks) = match &self.layout {
            Layout::Folders {
                annotations, masks, ..
            } => (annotations, masks),
            Layout::Windows(places) => {
                let place = place(places, video)?;
                return match self.benchmark {
                    Benchmark::JhmdbSentences => jhmdb::truth(video, place),
                    _ => a2d::truth(video, place),
                };
            }
        };
        if let Some(masks) = masks {
            let truth = Truth::encoded(Arc::clone(masks), size);
            for expression in &video.expressions {
                if let Some(flaw) = truth.flaw(expression) {
                    let finding = Finding::new(FindingKind::AnnotationSize, &video.name, flaw);
                    findings.note(finding.expression(&expression.id))?;
                }
            }
            return Ok(truth);
        }
        let offset = u32::from(self.benchmark == Benchmark::Mevis);
        let folder = annotations.join(&video.name);
        truth::read(&video.name, &folder, &video.frames, size, offset, findings)
    }

    /// Masks (0 or 255) of an expression's objects in every annotated frame, in the size of the frames.
    ///
    /// # Errors
    /// A frame or annotation is missing, unreadable, or of another size.
    pub fn truth(&self, video: &Video, expression: &Expression) -> Result<Vec<GrayImage>> {
        let mut size = (0, 0);
        if let Layout::Folders { frames, .. } = &self.layout {
            let folder = frames.join(&video.name);
            let found = frames::size(&folder, &video.frames);
            size = found.ok_or_else(|| DatasetError::NoFrames {
                video: video.name.clone(),
                folder,
            })?;
        }
        let mut findings = Findings::default();
        let truth = self.annotations(video, size, &mut findings)?;
        findings.refuse_defects()?;
        let masks = (0..video.frames.len()).filter_map(|i| truth.mask(i, expression));
        Ok(masks.collect())
    }
}

fn place<'a>(places: &'a BTreeMap<String, Place>, video: &Video) -> Result<&'a Place> {
    places
        .get(&video.name)
        .ok_or_else(|| DatasetError::NoFrames {
            video: video.name.clone(),
            folder: PathBuf::from(&video.name),
        })
}

/// Frames of a window out of a video file: edge frames repeat beyond its ends, which is where all of the
/// window may be.
fn decoded(place: &Place, sink: &mut dyn FnMut(usize, &RgbImage) -> Result<()>) -> Result<()> {
    let mut file = place.video.clone().into_os_string();
    file.push(".mp4");
    let wanted = windows::window(place.frame, usize::MAX);
    let (first, last) = (wanted[0], wanted[WINDOW - 1]);
    let selection = Selection {
        start: first - 1,
        every: 1,
        frames: Some(last - first + 1),
    };
    let file = Path::new(&file);
    let (clip, first) = match Clip::load(file, &selection) {
        Err(HostError::NoFrames { .. }) if first > 1 => {
            (Clip::load(file, &Selection::default())?, 1)
        }
        clip => (clip?, first),
    };
    for (index, number) in wanted.into_iter().enumerate() {
        let at = (number - first).min(clip.frames.len() - 1);
        sink(index, &clip.frames[at])?;
    }
    Ok(())
}

/// A split in the layout of Ref-YouTube-VOS.
fn folders(
    benchmark: Benchmark,
    root: &Path,
    split: &str,
    findings: &mut Findings,
) -> Result<(Vec<Video>, Layout)> {
    let meta = |split: &str| {
        let beside = root.join("meta_expressions").join(split).join(META);
        let within = root.join(split).join(META);
        if !beside.exists() && within.exists() {
            within
        } else {
            beside
        }
    };
    let mut videos = expressions::read(&meta(split), findings)?;
    if benchmark != Benchmark::RefDavis {
        videos.sort_by(|a, b| a.name.cmp(&b.name));
        let test = meta("test");
        if split == "valid" && test.exists() {
            let hidden = expressions::read(&test, &mut Findings::default())?;
            let hidden: BTreeSet<String> = hidden.into_iter().map(|v| v.name).collect();
            videos.retain(|v| !hidden.contains(&v.name));
        }
    }
    let frames = root.join(split).join("JPEGImages");
    fs::read_dir(&frames).map_err(|source| DatasetError::Read {
        path: frames.clone(),
        source,
        expected: "it holds a folder of frames for every video",
    })?;
    let dict = root.join(split).join("mask_dict.json");
    let masks = match benchmark == Benchmark::Mevis && dict.is_file() {
        true => Some(Arc::new(MaskDict::read(&dict)?)),
        false => None,
    };
    let annotations = root.join(split).join("Annotations");
    let layout = Layout::Folders {
        frames,
        annotations,
        masks,
    };
    Ok((videos, layout))
}

#[cfg(test)]
mod tests;
