//! A whole clip through a pipeline: windows, one backbone pass each, every expression.

use ndarray::{ArrayView2, ArrayView4, Axis};
use serde::Serialize;

use crate::pipeline::{
    Pipeline, PipelineError, Segmentation, Values, overlapping_windows, window_frames,
};

/// How a long clip is cut into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Windowing {
    /// Frames of a window.
    pub frames: usize,
    /// Frames that a window shares with the one before it, which answers for them.
    pub overlap: usize,
}

/// What was found for one expression.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Time-mean of each query's score over the whole clip.
    pub scores: Vec<f32>,
    /// The query with the highest of [`Answer::scores`].
    pub selected_query: usize,
    /// Box of each frame, `[cx, cy, w, h]` in 0..1 of the frame: that of the query which the frame's
    /// window selected.
    pub boxes: Vec<[f32; 4]>,
    /// The windows, where there is more than one. Queries are found anew in each, so that a number
    /// means nothing beyond its window.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowAnswer>,
}

/// What one window said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowAnswer {
    /// First frame that it answers for.
    pub start: usize,
    /// Frames that it answers for.
    pub frames: usize,
    /// The query that it selected.
    pub selected_query: usize,
    /// Time-mean of each query's score within it.
    pub scores: Vec<f32>,
}

/// What was found for one expression in one frame.
pub struct Found<'a> {
    /// Number of the expression.
    pub expression: usize,
    /// Number of the frame within the clip.
    pub frame: usize,
    /// Mask logits `[h, w]`.
    pub logits: ArrayView2<'a, f32>,
    /// `[cx, cy, w, h]` in 0..1 of the frame.
    pub bbox: [f32; 4],
}

/// Receives what is found, frame by frame.
pub type Sink<'a, E> = &'a mut dyn FnMut(Found<'_>) -> Result<(), E>;

/// Runs frames `[N, 3, H, W]` and encoded sentences through a pipeline, window by window, as
/// [`overlapping_windows`] cuts them: each window's backbone runs once, whatever the number of sentences.
///
/// # Errors
/// The engine fails, or `sink` does.
pub fn segment<E: From<PipelineError>>(
    pipeline: &mut Pipeline,
    frames: ArrayView4<u8>,
    texts: &[Values],
    overlap: usize,
    sink: Sink<'_, E>,
) -> Result<Vec<Answer>, E> {
    let length = pipeline.frames();
    let mut answers: Vec<Vec<(WindowAnswer, Vec<[f32; 4]>)>> = vec![Vec::new(); texts.len()];
    for window in overlapping_windows(frames.len_of(Axis(0)), length, overlap) {
        let clip = pipeline.encode_clip(window_frames(frames, window, length))?;
        let skip = window.start - window.first;
        for (k, text) in texts.iter().enumerate() {
            let found = Segmentation::read(&pipeline.segment(&clip, text)?)?;
            for i in 0..window.len {
                sink(Found {
                    expression: k,
                    frame: window.start + i,
                    logits: found.logits.index_axis(Axis(0), skip + i),
                    bbox: found.boxes[skip + i],
                })?;
            }
            let boxes = found.boxes[skip..skip + window.len].to_vec();
            let answer = WindowAnswer {
                start: window.start,
                frames: window.len,
                selected_query: found.selected_query,
                scores: found.scores,
            };
            answers[k].push((answer, boxes));
        }
    }
    Ok(answers.into_iter().map(join).collect())
}

fn join(parts: Vec<(WindowAnswer, Vec<[f32; 4]>)>) -> Answer {
    let boxes = parts.iter().flat_map(|(_, b)| b.iter().copied()).collect();
    let mut windows: Vec<WindowAnswer> = parts.into_iter().map(|(w, _)| w).collect();
    if windows.len() == 1 {
        let only = windows.remove(0);
        return Answer {
            scores: only.scores,
            selected_query: only.selected_query,
            boxes,
            windows,
        };
    }
    let scores = mean_scores(&windows);
    Answer {
        selected_query: argmax(&scores),
        scores,
        boxes,
        windows,
    }
}

fn mean_scores(windows: &[WindowAnswer]) -> Vec<f32> {
    let total: usize = windows.iter().map(|w| w.frames).sum();
    let queries = windows.first().map_or(0, |w| w.scores.len());
    (0..queries)
        .map(|q| {
            let sum: f32 = windows.iter().map(|w| w.scores[q] * w.frames as f32).sum();
            sum / total.max(1) as f32
        })
        .collect()
}

/// Index of the first highest value.
fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}
