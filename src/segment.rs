//! Clips and streams through a pipeline: windows, one backbone pass each, every expression.

use ndarray::{Array3, Array4, ArrayView2, ArrayView4, Axis};
use serde::Serialize;

use crate::pipeline::{
    Cutter, Pipeline, PipelineError, Segmentation, Values, Window, overlapping_windows,
    window_frames,
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
    /// window selected. None for a stream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub boxes: Vec<[f32; 4]>,
    /// The windows of a clip, where there is more than one. Queries are found anew in each, so that a
    /// number means nothing beyond its window.
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
    /// The query that its window selected.
    pub query: usize,
    /// Time-mean of that query's score within the window.
    pub score: f32,
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
    let mut answers = Answers::new(texts, true);
    for window in overlapping_windows(frames.len_of(Axis(0)), length, overlap) {
        let clip = window_frames(frames, window, length);
        answers.run(pipeline, window, clip, sink)?;
    }
    Ok(answers.join())
}

/// A stream of frames and encoded sentences on their way through a pipeline: as [`segment`], but each window runs
/// when its frames are there, and no more than those of one window are held.
pub struct Segmenter<'a> {
    cutter: Cutter,
    answers: Answers<'a>,
}

impl<'a> Segmenter<'a> {
    /// Begins. With `history` the answers have the boxes of every frame and the scores of every window; without,
    /// nothing that is held grows with the stream.
    pub fn new(pipeline: &Pipeline, texts: &'a [Values], overlap: usize, history: bool) -> Self {
        Self {
            cutter: Cutter::new(pipeline.frames(), overlap),
            answers: Answers::new(texts, history),
        }
    }

    /// Takes the next frame `[3, H, W]`, runs the window that it completes, if any, and gives the number of frames
    /// answered by now.
    ///
    /// # Errors
    /// The frame has another shape than those before it, the engine fails, or `sink` does.
    pub fn push<E: From<PipelineError>>(
        &mut self,
        pipeline: &mut Pipeline,
        frame: Array3<u8>,
        sink: Sink<'_, E>,
    ) -> Result<usize, E> {
        if let Some((window, clip)) = self.cutter.push(frame)? {
            self.answers.run(pipeline, window, clip, sink)?;
        }
        Ok(self.answers.frames)
    }

    /// Runs the last window and gives what was found for each sentence.
    ///
    /// # Errors
    /// The engine fails, or `sink` does.
    pub fn finish<E: From<PipelineError>>(
        mut self,
        pipeline: &mut Pipeline,
        sink: Sink<'_, E>,
    ) -> Result<Vec<Answer>, E> {
        if let Some((window, clip)) = self.cutter.finish() {
            self.answers.run(pipeline, window, clip, sink)?;
        }
        Ok(self.answers.join())
    }
}

/// What was found in the windows so far.
struct Answers<'a> {
    texts: &'a [Values],
    history: bool,
    /// Frames that were answered for.
    frames: usize,
    /// Of each sentence. Without history one stands for all windows.
    windows: Vec<Vec<WindowAnswer>>,
    boxes: Vec<Vec<[f32; 4]>>,
}

impl<'a> Answers<'a> {
    fn new(texts: &'a [Values], history: bool) -> Self {
        Self {
            texts,
            history,
            frames: 0,
            windows: vec![Vec::new(); texts.len()],
            boxes: vec![Vec::new(); texts.len()],
        }
    }

    /// Runs one window of frames `[T, 3, H, W]`.
    fn run<E: From<PipelineError>>(
        &mut self,
        pipeline: &mut Pipeline,
        window: Window,
        frames: Array4<u8>,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let clip = pipeline.encode_clip(frames)?;
        let skip = window.start - window.first;
        for (k, text) in self.texts.iter().enumerate() {
            let found = Segmentation::read(&pipeline.segment(&clip, text)?)?;
            let query = found.selected_query;
            for i in 0..window.len {
                sink(Found {
                    expression: k,
                    frame: window.start + i,
                    logits: found.logits.index_axis(Axis(0), skip + i),
                    bbox: found.boxes[skip + i],
                    query,
                    score: found.scores.get(query).copied().unwrap_or(0.0),
                })?;
            }
            let boxes = &found.boxes[skip..skip + window.len];
            let answer = WindowAnswer {
                start: window.start,
                frames: window.len,
                selected_query: query,
                scores: found.scores,
            };
            let windows = &mut self.windows[k];
            windows.push(answer);
            if self.history {
                self.boxes[k].extend(boxes);
            } else {
                merge(windows);
            }
        }
        self.frames += window.len;
        Ok(())
    }

    fn join(self) -> Vec<Answer> {
        let answers = self.windows.into_iter().zip(self.boxes);
        answers
            .map(|(windows, boxes)| join(windows, boxes))
            .collect()
    }
}

/// One window in place of several.
fn merge(windows: &mut Vec<WindowAnswer>) {
    if windows.len() < 2 {
        return;
    }
    let scores = mean_scores(windows);
    let all = WindowAnswer {
        start: windows.first().map_or(0, |w| w.start),
        frames: windows.iter().map(|w| w.frames).sum(),
        selected_query: argmax(&scores),
        scores,
    };
    *windows = vec![all];
}

fn join(mut windows: Vec<WindowAnswer>, boxes: Vec<[f32; 4]>) -> Answer {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_window_stands_for_several() {
        let window = |start, frames, scores: [f32; 2]| WindowAnswer {
            start,
            frames,
            selected_query: argmax(&scores),
            scores: scores.into(),
        };
        let all = [
            window(0, 4, [0.5, 0.25]),
            window(4, 2, [0.25, 0.5]),
            window(6, 2, [0.0, 1.0]),
        ];
        let mut merged = Vec::new();
        for window in &all {
            merged.push(window.clone());
            merge(&mut merged);
        }
        // (4 * 0.5 + 2 * 0.25) / 8 and (4 * 0.25 + 2 * 0.5 + 2 * 1) / 8.
        assert_eq!(merged, [window(0, 8, [0.3125, 0.5])]);
        let (whole, short) = (join(all.into(), Vec::new()), join(merged, Vec::new()));
        assert_eq!((whole.scores, whole.selected_query), (short.scores, 1));
        assert!(short.windows.is_empty());
    }
}
