//! Frames one by one: from folders of pictures, video files, a pipe, or a folder that fills.

mod folder;
mod follow;
mod ppm;
mod video;

use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, vec};

use image::RgbImage;

use super::{HostError, Result};

pub use folder::picture;

use folder::Folder;
use follow::Follow;
use ppm::Pictures;
use video::Decoder;

/// What messages call the pipe.
const PIPE: &str = "standard input";

/// Which frames of a video to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Index of the first.
    pub start: usize,
    /// Distance from one to the next, at least 1.
    pub every: usize,
    /// How many at most.
    pub frames: Option<usize>,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            start: 0,
            every: 1,
            frames: None,
        }
    }
}

/// A selection on its way through a video.
#[derive(Debug)]
struct Picker {
    selection: Selection,
    seen: usize,
    taken: usize,
}

impl Picker {
    fn new(selection: &Selection) -> Self {
        Self {
            selection: *selection,
            seen: 0,
            taken: 0,
        }
    }

    /// Whether nothing that follows is taken.
    fn is_done(&self) -> bool {
        self.selection.frames.is_some_and(|most| self.taken >= most)
    }

    /// Index of the next frame.
    fn index(&self) -> usize {
        self.seen
    }

    /// Whether the next frame is taken.
    fn takes(&self) -> bool {
        let Selection { start, every, .. } = self.selection;
        !self.is_done() && self.seen >= start && (self.seen - start).is_multiple_of(every.max(1))
    }

    /// Goes past the next frame.
    fn pass(&mut self) {
        self.taken += usize::from(self.takes());
        self.seen += 1;
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Its name, without file ending.
    pub name: String,
    /// Its pixels.
    pub image: RgbImage,
}

/// Where frames come from.
enum Origin {
    Loaded(vec::IntoIter<Frame>),
    Folder(Folder),
    Video(Decoder),
    Pipe(Pictures<Box<dyn BufRead>>),
    Follow(Follow),
}

/// Frames of one size in order, each read when it is asked for and held by nobody else.
///
/// The iterator ends after an error, of which it gives one where there is no frame at all.
pub struct Frames {
    path: PathBuf,
    origin: Origin,
    start: usize,
    live: bool,
    size: Option<(u32, u32)>,
    ended: bool,
}

impl Frames {
    fn new(path: &Path, selection: &Selection, live: bool, origin: Origin) -> Self {
        Self {
            path: path.to_owned(),
            origin,
            start: selection.start,
            live,
            size: None,
            ended: false,
        }
    }

    /// Opens a folder of pictures, in the order of their names (`2.png` before `10.png`), or a video file through
    /// ffmpeg.
    ///
    /// # Errors
    /// The path is missing, the folder has no pictures or two of the same name, or ffmpeg does not start.
    pub fn open(path: &Path, selection: &Selection) -> Result<Self> {
        let origin = match is_dir(path)? {
            true => Origin::Folder(Folder::open(path, selection)?),
            false => Origin::Video(Decoder::file(path, selection)?),
        };
        Ok(Self::new(path, selection, false, origin))
    }

    /// Reads a pipe: a series of binary PPM pictures as it is, anything else through ffmpeg. Waits for the first
    /// bytes.
    ///
    /// # Errors
    /// The pipe cannot be read or is empty, or ffmpeg is needed and does not start.
    pub fn pipe(mut input: impl Read + Send + 'static, selection: &Selection) -> Result<Self> {
        let path = Path::new(PIPE);
        let mut head = Vec::new();
        let mut first = input.by_ref().take(ppm::MAGIC.len() as u64);
        first
            .read_to_end(&mut head)
            .map_err(|source| HostError::Read {
                path: path.to_owned(),
                source,
            })?;
        if head.is_empty() {
            return Err(HostError::NoFrames {
                path: path.to_owned(),
                reason: "it ended before the first one".to_owned(),
            });
        }
        let is_ppm = head == ppm::MAGIC;
        let input = Cursor::new(head).chain(input);
        let origin = match is_ppm {
            true => Origin::Pipe(Pictures::new(Box::new(BufReader::new(input)), selection)),
            false => Origin::Video(Decoder::pipe(path, input, selection)?),
        };
        Ok(Self::new(path, selection, true, origin))
    }

    /// Takes the pictures of a folder that fills, in the order of their names, until for `idle` no new one came.
    ///
    /// A picture is taken when it has kept its size and time for a moment and decodes; see [`Frames::late`] on what
    /// comes behind one that was taken.
    ///
    /// # Errors
    /// The path is missing or no folder.
    pub fn follow(path: &Path, selection: &Selection, idle: Duration) -> Result<Self> {
        if !is_dir(path)? {
            return Err(HostError::NoFolder {
                path: path.to_owned(),
            });
        }
        let origin = Origin::Follow(Follow::new(path, selection, idle));
        Ok(Self::new(path, selection, true, origin))
    }

    /// Whether the frames come as they are made, so that nobody knows how many there will be.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// How many frames are left, where that is known.
    pub fn left(&self) -> Option<usize> {
        match &self.origin {
            Origin::Loaded(frames) => Some(frames.len()),
            Origin::Folder(folder) => Some(folder.left()),
            Origin::Video(_) | Origin::Pipe(_) | Origin::Follow(_) => None,
        }
    }

    /// Pictures that came to a folder behind one that was taken already, and were left out.
    pub fn late(&self) -> usize {
        match &self.origin {
            Origin::Follow(follow) => follow.late(),
            _ => 0,
        }
    }

    /// The next frame and what messages call it.
    fn read(&mut self) -> Result<Option<(PathBuf, Frame)>> {
        let frame = match &mut self.origin {
            Origin::Loaded(frames) => frames.next(),
            Origin::Folder(folder) => return folder.read(),
            Origin::Follow(follow) => return follow.read(),
            Origin::Video(decoder) => decoder.read()?,
            Origin::Pipe(pictures) => pictures.read().map_err(|e| HostError::Video {
                path: self.path.clone(),
                reason: e.to_string(),
            })?,
        };
        Ok(frame.map(|frame| (self.path.join(&frame.name), frame)))
    }

    fn checked(&mut self) -> Result<Option<Frame>> {
        let Some((path, frame)) = self.read()? else {
            return match self.size {
                Some(_) => Ok(None),
                None => Err(HostError::NoFrames {
                    path: self.path.clone(),
                    reason: format!("none is left from frame {} on", self.start),
                }),
            };
        };
        let (got_width, got_height) = frame.image.dimensions();
        let (width, height) = *self.size.get_or_insert((got_width, got_height));
        if (width, height) != (got_width, got_height) {
            return Err(HostError::FrameSize {
                path,
                width,
                height,
                got_width,
                got_height,
            });
        }
        Ok(Some(frame))
    }
}

impl Iterator for Frames {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.checked().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl From<Clip> for Frames {
    fn from(clip: Clip) -> Self {
        let frames = clip.names.into_iter().zip(clip.frames);
        let frames: Vec<Frame> = frames.map(|(name, image)| Frame { name, image }).collect();
        let origin = Origin::Loaded(frames.into_iter());
        Self::new(Path::new("the clip"), &Selection::default(), false, origin)
    }
}

fn is_dir(path: &Path) -> Result<bool> {
    let meta = fs::metadata(path).map_err(|source| HostError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(meta.is_dir())
}

/// Frames of one size, RGB, and their names.
#[derive(Debug, Clone)]
pub struct Clip {
    /// The frames in order.
    pub frames: Vec<RgbImage>,
    /// A name for each, without file ending.
    pub names: Vec<String>,
}

impl Clip {
    /// Loads all that [`Frames::open`] gives.
    ///
    /// # Errors
    /// The path is missing; a frame cannot be decoded, is empty or of another size; two would have
    /// the same name; none is left.
    pub fn load(path: &Path, selection: &Selection) -> Result<Self> {
        let mut clip = Self {
            frames: Vec::new(),
            names: Vec::new(),
        };
        for frame in Frames::open(path, selection)? {
            let Frame { name, image } = frame?;
            clip.names.push(name);
            clip.frames.push(image);
        }
        Ok(clip)
    }

    /// Width and height of every frame.
    pub fn size(&self) -> (u32, u32) {
        self.frames.first().map_or((0, 0), RgbImage::dimensions)
    }
}
