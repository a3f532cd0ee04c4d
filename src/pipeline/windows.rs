//! Long videos in windows of as many frames as the graphs take.

use std::collections::VecDeque;

use ndarray::{Array3, Array4, ArrayView4, Axis, concatenate, s};

use super::{PipelineError, Result};

/// Frames `start..start + len` that a window answers for, and where they lie within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First frame of the window.
    pub first: usize,
    /// First frame that it answers for.
    pub start: usize,
    /// Frames that it answers for.
    pub len: usize,
}

/// Windows of `length` frames over `total`: side by side, the last one moved back so that it ends
/// with the video. A shorter video is one window, completed by its last frame.
pub fn windows(total: usize, length: usize) -> Vec<Window> {
    overlapping_windows(total, length, 0)
}

/// Windows as by [`windows`], but each begins `overlap` frames before the first that it answers for (at
/// most `length - 1`), the first one excepted: a window answers for what the one before it has not seen.
pub fn overlapping_windows(total: usize, length: usize, overlap: usize) -> Vec<Window> {
    let length = length.max(1);
    let step = length - overlap.min(length - 1);
    let mut windows = Vec::new();
    let mut start = 0;
    while start < total {
        let own = if start == 0 { length } else { step };
        let end = (start + own).min(total);
        windows.push(Window {
            first: end.saturating_sub(length),
            start,
            len: end - start,
        });
        start = end;
    }
    windows
}

/// Frames of a window, `[length, 3, H, W]`.
pub fn window_frames(frames: ArrayView4<u8>, window: Window, length: usize) -> Array4<u8> {
    let total = frames.len_of(Axis(0));
    let end = (window.first + length).min(total);
    let mut taken = frames.slice(s![window.first..end, .., .., ..]).to_owned();
    while taken.len_of(Axis(0)) < length {
        let last = frames.slice(s![total - 1.., .., .., ..]);
        taken = concatenate(Axis(0), &[taken.view(), last]).unwrap_or(taken);
    }
    taken
}

/// Cuts frames into the windows of [`overlapping_windows`] as they come, without knowing how many there will be.
/// It holds as many as a window has.
#[derive(Debug)]
pub struct Cutter {
    length: usize,
    step: usize,
    /// The last frames, at most `length`.
    held: VecDeque<Array3<u8>>,
    seen: usize,
    answered: usize,
}

impl Cutter {
    /// Windows of `length` frames that each begin `overlap` frames before the first that they answer for.
    pub fn new(length: usize, overlap: usize) -> Self {
        let length = length.max(1);
        Self {
            length,
            step: length - overlap.min(length - 1),
            held: VecDeque::new(),
            seen: 0,
            answered: 0,
        }
    }

    /// Adds a frame `[3, H, W]` and gives the window that it completes, with its frames `[length, 3, H, W]`.
    ///
    /// # Errors
    /// The frame has another shape than those before it.
    pub fn push(&mut self, frame: Array3<u8>) -> Result<Option<(Window, Array4<u8>)>> {
        if self.held.back().is_some_and(|f| f.dim() != frame.dim()) {
            return Err(PipelineError::Shape {
                tensor: "frames".to_owned(),
                got: frame.shape().to_vec(),
            });
        }
        if self.held.len() == self.length {
            self.held.pop_front();
        }
        self.held.push_back(frame);
        self.seen += 1;
        let own = match self.answered {
            0 => self.length,
            _ => self.step,
        };
        let complete = self.seen - self.answered == own;
        Ok(complete.then(|| self.cut()))
    }

    /// The last window, where frames are left that none answered for: moved back so that it ends with them, or
    /// completed by the last one.
    pub fn finish(mut self) -> Option<(Window, Array4<u8>)> {
        (self.seen > self.answered).then(|| self.cut())
    }

    fn cut(&mut self) -> (Window, Array4<u8>) {
        let window = Window {
            first: self.seen.saturating_sub(self.length),
            start: self.answered,
            len: self.seen - self.answered,
        };
        self.answered = self.seen;
        let (channels, height, width) = self.held.back().map_or((0, 0, 0), |f| f.dim());
        let mut frames = Array4::zeros((self.length, channels, height, width));
        let last = self.held.len().saturating_sub(1);
        for (i, mut slot) in frames.outer_iter_mut().enumerate() {
            slot.assign(&self.held[i.min(last)]);
        }
        (window, frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_frame_once() {
        for (total, length) in [(8, 8), (20, 8), (3, 8), (17, 1), (16, 8)] {
            let all = windows(total, length);
            let covered: Vec<usize> = all.iter().flat_map(|w| w.start..w.start + w.len).collect();
            assert_eq!(
                covered,
                (0..total).collect::<Vec<_>>(),
                "{total} in {length}"
            );
            for w in all {
                assert!(w.first <= w.start && w.start + w.len <= (w.first + length).min(total));
            }
        }
    }

    #[test]
    fn windows_overlap_by_what_was_asked_for() {
        let all = overlapping_windows(20, 8, 3);
        let places: Vec<[usize; 3]> = all.iter().map(|w| [w.first, w.start, w.len]).collect();
        assert_eq!(places, [[0, 0, 8], [5, 8, 5], [10, 13, 5], [12, 18, 2]]);
        for (total, length, overlap) in [(20, 8, 7), (3, 8, 2), (9, 8, 100), (16, 8, 0), (5, 1, 0)]
        {
            let mut next = 0;
            for w in overlapping_windows(total, length, overlap) {
                assert_eq!(w.start, next);
                assert!(w.first <= w.start && w.start + w.len <= w.first + length);
                assert!(w.start == 0 || w.start - w.first >= overlap.min(length - 1).min(w.start));
                next += w.len;
            }
            assert_eq!(next, total);
        }
    }

    #[test]
    fn frames_that_come_one_by_one_are_cut_alike() {
        for total in 1..25usize {
            let all =
                Array4::from_shape_fn((total, 3, 1, 2), |(t, c, _, x)| (t * 6 + c * 2 + x) as u8);
            for (length, overlap) in [(1, 0), (4, 0), (4, 1), (4, 3), (8, 4), (8, 100), (30, 2)] {
                let mut cutter = Cutter::new(length, overlap);
                let mut got = Vec::new();
                for (i, frame) in all.outer_iter().enumerate() {
                    let cut = cutter.push(frame.to_owned()).unwrap();
                    // As soon as it can be, with the last frame that it needs.
                    assert!(cut.iter().all(|(w, _)| w.start + w.len == i + 1));
                    assert!(cutter.held.len() <= length);
                    got.extend(cut);
                }
                got.extend(cutter.finish());
                let windows = overlapping_windows(total, length, overlap);
                assert_eq!(got.len(), windows.len());
                for ((window, frames), expected) in got.into_iter().zip(windows) {
                    assert_eq!(window, expected, "{total} in {length} by {overlap}");
                    assert_eq!(frames, window_frames(all.view(), expected, length));
                }
            }
        }
    }

    #[test]
    fn frames_of_two_shapes_are_refused() {
        let mut cutter = Cutter::new(4, 0);
        cutter.push(Array3::zeros((3, 2, 2))).unwrap();
        assert!(cutter.push(Array3::zeros((3, 2, 1))).is_err());
    }
}
