//! Frames on their way in.

use std::collections::VecDeque;
use std::time::Instant;

use ndarray::{Array3, Axis};
use socc::host::HostError;
use socc::host::frames::{Frame, Frames};
use socc::host::resize::{frames_tensor, resize};

use super::since_ms;
use crate::args::Size;
use crate::progress;

/// Frames one by one, some of which may be read ahead.
pub struct Intake {
    frames: Frames,
    ahead: VecDeque<Frame>,
    /// Whether there was a frame, and whether there are no more.
    some: bool,
    ended: bool,
    /// What ended a stream. What came before is used all the same.
    damage: Option<HostError>,
    /// What reading and resizing took.
    pub read_ms: f64,
}

impl Intake {
    pub fn new(frames: Frames) -> Self {
        Self {
            frames,
            ahead: VecDeque::new(),
            some: false,
            ended: false,
            damage: None,
            read_ms: 0.0,
        }
    }

    /// Reads up to `most` frames ahead and gives how many there are.
    pub fn read_ahead(&mut self, most: usize) -> anyhow::Result<usize> {
        let bar = progress::frames("reading frames");
        while self.ahead.len() < most {
            let Some(frame) = self.read()? else { break };
            self.ahead.push_back(frame);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(self.ahead.len())
    }

    /// Width and height of the frames that were read ahead.
    pub fn size(&self) -> (u32, u32) {
        let first = self.ahead.front();
        first.map_or((0, 0), |frame| frame.image.dimensions())
    }

    /// How many frames are left, where that is known.
    pub fn left(&self) -> Option<usize> {
        match self.ended {
            true => Some(self.ahead.len()),
            false => Some(self.ahead.len() + self.frames.left()?),
        }
    }

    /// The next frame.
    pub fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        match self.ahead.pop_front() {
            Some(frame) => Ok(Some(frame)),
            None => self.read(),
        }
    }

    /// The frame as the model sees it, `[3, H, W]`.
    pub fn resize(&mut self, frame: &Frame, size: Size) -> Array3<u8> {
        let begin = Instant::now();
        let resized = resize(&frame.image, size.width as u32, size.height as u32);
        let tensor = frames_tensor(&[resized]).index_axis_move(Axis(0), 0);
        self.read_ms += since_ms(begin);
        tensor
    }

    /// Ends: how many pictures came too late, or what ended the stream before its time.
    pub fn finish(self) -> anyhow::Result<usize> {
        match self.damage {
            Some(damage) => Err(damage.into()),
            None => Ok(self.frames.late()),
        }
    }

    fn read(&mut self) -> anyhow::Result<Option<Frame>> {
        if self.ended {
            return Ok(None);
        }
        let begin = Instant::now();
        let next = self.frames.next();
        self.read_ms += since_ms(begin);
        self.ended = !matches!(next, Some(Ok(_)));
        match next.transpose() {
            Ok(frame) => {
                self.some |= frame.is_some();
                Ok(frame)
            }
            Err(damage) if self.frames.is_live() && self.some => {
                self.damage = Some(damage);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
