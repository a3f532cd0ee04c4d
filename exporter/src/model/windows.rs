//! How a Video-Swin block cuts a map into windows (`models/video_swin_transformer.py`).
//!
//! In a shifted block the official code lets a window at the far edge hold up to eight regions that
//! must not see each other, and adds -100 to their mutual scores. Each region is therefore a smaller
//! window of its own, and no mask is needed: windows of equal extent form one [`Group`].

use std::ops::Range;

/// A set of windows of one extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Which of the kinds of windows that the whole clip has, whatever part of it this is.
    pub number: usize,
    /// Number of windows.
    pub windows: usize,
    /// For each token of such a window, its index within the full (shrunken) window: that selects
    /// its row of the relative-position bias.
    pub tokens: Vec<usize>,
}

/// The order in which tokens enter window attention, and leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Windows {
    /// The frames that these are the windows of.
    pub frames: Range<usize>,
    /// Groups in the order of their tokens.
    pub groups: Vec<Group>,
    /// For each token of the windows, its index in the map `[t, h, w]` of these frames; `t * h * w` is
    /// padding.
    pub from_map: Vec<usize>,
    /// For each token of the map, its index among the windows' tokens.
    pub to_map: Vec<usize>,
    /// Whether any token is padding.
    pub padded: bool,
}

impl Windows {
    /// Windows of `window` over a map of `size` (both `[t, h, w]`), shifted by half a window where
    /// `shifted` is true, in parts of at most `at_once` frames where that holds a window: no window is
    /// in two of them, and together the parts cover every frame once.
    ///
    /// An axis on which the map is not larger than the window has one window and no shift.
    pub(super) fn parts(
        size: [usize; 3],
        window: [usize; 3],
        shifted: bool,
        at_once: usize,
    ) -> Vec<Self> {
        if size[0] <= at_once.max(window[0]) {
            let axes = std::array::from_fn(|i| segments(size[i], window[i], shifted));
            return vec![Self::over(0..size[0], axes, size, window)];
        }
        let space = [1, 2].map(|i| segments(size[i], window[i], shifted));
        let parts = stretches(size[0], window[0], shifted, at_once).into_iter();
        let windows = parts.map(|(frames, time)| {
            let [height, width] = space.clone();
            Self::over(frames, [time, height, width], size, window)
        });
        windows.collect()
    }

    /// The windows over some frames of a map of `size`, by their segments along each axis.
    fn over(
        frames: Range<usize>,
        axes: [Vec<Segment>; 3],
        mut size: [usize; 3],
        window: [usize; 3],
    ) -> Self {
        let window: [usize; 3] = std::array::from_fn(|i| window[i].min(size[i]));
        size[0] = frames.len();
        let map_len = size.iter().product();
        let mut from_map = Vec::new();
        let mut to_map = vec![0; map_len];
        let mut groups = Vec::new();
        for_each_product(&axes, |[st, sh, sw]| {
            for_each_window([st, sh, sw], |starts| {
                for_each_token([st, sh, sw], |offset| {
                    let at: [Option<usize>; 3] = std::array::from_fn(|i| {
                        let seg = [st, sh, sw][i];
                        let position = starts[i] + offset[i] - seg.first;
                        let unshifted = (position + seg.shift) % seg.padded;
                        (unshifted < size[i]).then_some(unshifted)
                    });
                    let index = match at {
                        [Some(t), Some(h), Some(w)] => (t * size[1] + h) * size[2] + w,
                        _ => map_len,
                    };
                    if index < map_len {
                        to_map[index] = from_map.len();
                    }
                    from_map.push(index);
                });
            });
            let mut tokens = Vec::new();
            for_each_token([st, sh, sw], |o| {
                tokens.push((o[0] * window[1] + o[1]) * window[2] + o[2]);
            });
            groups.push(Group {
                number: (st.kind * axes[1].len() + sh.kind) * axes[2].len() + sw.kind,
                windows: st.starts.len() * sh.starts.len() * sw.starts.len(),
                tokens,
            });
        });
        let padded = from_map.contains(&map_len);
        Self {
            frames,
            groups,
            from_map,
            to_map,
            padded,
        }
    }
}

/// Windows of one extent along one axis.
#[derive(Debug, Clone)]
struct Segment {
    /// Its place among the kinds of segments that an axis has: whole windows, the part of the last
    /// window before the turn, the part behind it.
    kind: usize,
    /// Positions (after the shift) at which they start.
    starts: Vec<usize>,
    /// Offset of their first token within the full window.
    first: usize,
    /// Tokens.
    len: usize,
    /// Shift of the axis.
    shift: usize,
    /// Length of the padded axis.
    padded: usize,
}

fn segments(size: usize, window: usize, shifted: bool) -> Vec<Segment> {
    if size <= window {
        return vec![Segment {
            kind: 0,
            starts: vec![0],
            first: 0,
            len: size,
            shift: 0,
            padded: size,
        }];
    }
    let padded = size.next_multiple_of(window);
    let shift = if shifted { window / 2 } else { 0 };
    let segment = |kind: usize, starts: Vec<usize>, first: usize, len: usize| Segment {
        kind,
        starts,
        first,
        len,
        shift,
        padded,
    };
    let starts = |end: usize| (0..end).step_by(window).collect::<Vec<_>>();
    if shift == 0 {
        return vec![segment(0, starts(padded), 0, window)];
    }
    let last = padded - window;
    vec![
        segment(0, starts(last), 0, window),
        segment(1, vec![last], 0, window - shift),
        segment(2, vec![padded - shift], window - shift, shift),
    ]
}

/// The segments of an axis that is longer than a window, in stretches of at most `at_once` positions
/// (or a window, if that is longer), each with the positions of the map that it covers.
fn stretches(
    size: usize,
    window: usize,
    shifted: bool,
    at_once: usize,
) -> Vec<(Range<usize>, Vec<Segment>)> {
    let padded = size.next_multiple_of(window);
    let shift = if shifted { window / 2 } else { 0 };
    // What the shift turns to the end lies at the beginning: kind, first position, offset, length.
    let mut pieces = Vec::new();
    if shift > 0 {
        pieces.push((2, 0, window - shift, shift));
    }
    let whole = (shift..).step_by(window);
    let whole = whole.take_while(|start| start + window <= padded);
    pieces.extend(whole.map(|start| (0, start, 0, window)));
    if shift > 0 {
        pieces.push((1, padded - (window - shift), 0, window - shift));
    }
    // A window of nothing but padding is seen by no token.
    pieces.retain(|(_, start, ..)| *start < size);
    let mut out = Vec::new();
    let mut rest = pieces.as_slice();
    while let Some((_, begin, ..)) = rest.first().copied() {
        let fits = |(_, start, _, len): &&(usize, usize, usize, usize)| {
            *start == begin || start + len <= begin + at_once
        };
        let taken = rest.iter().take_while(fits).count();
        let (stretch, after) = rest.split_at(taken);
        let end = stretch
            .last()
            .map_or(begin, |(_, start, _, len)| start + len);
        let segments = (0..3).filter_map(|kind| {
            let own = stretch.iter().filter(|piece| piece.0 == kind);
            let (_, _, first, len) = own.clone().next().copied()?;
            Some(Segment {
                kind,
                starts: own.map(|(_, start, ..)| start - begin).collect(),
                first,
                len,
                shift: 0,
                padded: end - begin,
            })
        });
        out.push((begin..end.min(size), segments.collect()));
        rest = after;
    }
    out
}

fn for_each_product<'a>(axes: &'a [Vec<Segment>; 3], mut f: impl FnMut([&'a Segment; 3])) {
    for t in &axes[0] {
        for h in &axes[1] {
            for w in &axes[2] {
                f([t, h, w]);
            }
        }
    }
}

fn for_each_window(segments: [&Segment; 3], mut f: impl FnMut([usize; 3])) {
    for t in &segments[0].starts {
        for h in &segments[1].starts {
            for w in &segments[2].starts {
                f([*t, *h, *w]);
            }
        }
    }
}

/// Calls `f` with each token's offset within the full window.
fn for_each_token(segments: [&Segment; 3], mut f: impl FnMut([usize; 3])) {
    let range = |s: &Segment| s.first..s.first + s.len;
    for t in range(segments[0]) {
        for h in range(segments[1]) {
            for w in range(segments[2]) {
                f([t, h, w]);
            }
        }
    }
}
