//! Long videos in windows of as many frames as the graphs take.

use ndarray::{Array4, ArrayView4, Axis, concatenate, s};

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
}
