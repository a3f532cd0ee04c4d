//! The clip and sentences that are measured, and one pass of them through a pipeline.

use std::time::{Duration, Instant};

use image::{GrayImage, Rgb, RgbImage};
use ndarray::{Array4, Axis};
use socc_engines::Breakdown;

use super::Result;
use crate::host::masks;
use crate::host::resize::{frames_tensor, resize};
use crate::host::tokenizer::TextTokenizer;
use crate::pipeline::{Pipeline, Segmentation, Values};

/// Name of the stage before the first: frames to the model's size, sentences to tokens.
pub const PREPROCESS: &str = "preprocess";
/// Name of the stage after the last: the answer to the CPU, logits to masks of the source's size.
pub const POSTPROCESS: &str = "postprocess";

/// What one run works on: one clip and its sentences.
pub struct Workload {
    /// Decoded frames, all of one size; as many as the graphs take.
    pub frames: Vec<RgbImage>,
    /// Height that the model sees, in pixels.
    pub height: usize,
    /// Width that the model sees, in pixels.
    pub width: usize,
    /// The sentences.
    pub expressions: Vec<String>,
    /// Turns sentences into tokens.
    pub tokenizer: TextTokenizer,
    /// Most tokens of a sentence.
    pub max_tokens: usize,
}

/// What the stages of the engine take.
pub struct Input {
    /// Frames `[T, 3, H, W]`.
    pub frames: Array4<u8>,
    /// Tokens of each sentence.
    pub tokens: Vec<Vec<i64>>,
}

/// Something that took time.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Number of the stage: 0 is preprocessing, the last is post-processing, the engine's are between.
    pub stage: usize,
    /// When it began.
    pub start: Instant,
    /// How long it took.
    pub duration: Duration,
    /// Where the time went, where the engine can tell.
    pub breakdown: Option<Breakdown>,
}

/// One clip with its sentences, from frames to masks.
#[derive(Debug, Clone)]
pub struct Lap {
    /// When it began.
    pub start: Instant,
    /// From frames to the last mask.
    pub duration: Duration,
    /// Every run of every stage.
    pub spans: Vec<Span>,
}

/// Frames that look like something, the same every time: travelling waves in three colours.
pub fn synthetic_frames(frames: usize, height: usize, width: usize) -> Vec<RgbImage> {
    const WAVES: [(f32, f32); 3] = [(37.0, 23.0), (11.0, 53.0), (71.0, 17.0)];
    let frame = |t: usize| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            Rgb(WAVES.map(|(a, b)| {
                let (x, y, t) = (x as f32, y as f32, t as f32);
                let wave = (x / a + t).sin() + (y / b - t / 2.0).cos();
                ((wave + 2.0) * 63.75) as u8
            }))
        })
    };
    (0..frames).map(frame).collect()
}

impl Workload {
    /// Resizes the frames and encodes `count` sentences, the known ones in turn.
    ///
    /// # Errors
    /// A sentence cannot be encoded.
    pub fn preprocess(&self, count: usize) -> Result<Input> {
        let (width, height) = (self.width as u32, self.height as u32);
        let resized: Vec<RgbImage> = self
            .frames
            .iter()
            .map(|f| resize(f, width, height))
            .collect();
        let texts = self.expressions.iter().cycle().take(count);
        let tokens = texts.map(|text| self.tokenizer.encode(text, self.max_tokens));
        Ok(Input {
            frames: frames_tensor(&resized),
            tokens: tokens.collect::<std::result::Result<_, _>>()?,
        })
    }

    /// Runs the engine's stages: the clip's once, the others for every sentence.
    ///
    /// # Errors
    /// The engine fails.
    pub fn infer(&self, pipeline: &mut Pipeline, input: Input) -> Result<Vec<Values>> {
        let clip = pipeline.encode_clip(input.frames)?;
        let mut found = Vec::with_capacity(input.tokens.len());
        for ids in &input.tokens {
            let text = pipeline.encode_text(ids)?;
            found.push(pipeline.segment(&clip, &text)?);
        }
        Ok(found)
    }

    /// The answers on the CPU, and masks of the source's size, for every sentence and frame.
    ///
    /// # Errors
    /// A device's copy fails.
    pub fn postprocess(&self, found: &[Values]) -> Result<Vec<GrayImage>> {
        let (width, height) = self.frames.first().map_or((0, 0), RgbImage::dimensions);
        let mut all = Vec::with_capacity(found.len() * self.frames.len());
        for values in found {
            let logits = Segmentation::read(values)?.logits;
            let of_frames = logits.axis_iter(Axis(0));
            all.extend(of_frames.map(|l| masks::from_logits(l, width, height)));
        }
        Ok(all)
    }

    /// One clip with `count` sentences, one thing after the other, timed.
    ///
    /// # Errors
    /// The engine fails.
    pub fn lap(&self, pipeline: &mut Pipeline, count: usize) -> Result<Lap> {
        pipeline.take_runs();
        let last = pipeline.stages().count() + 1;
        let start = Instant::now();
        let input = self.preprocess(count)?;
        let mut spans = vec![span(0, start)];
        let found = self.infer(pipeline, input)?;
        let after = Instant::now();
        std::hint::black_box(self.postprocess(&found)?);
        let post = span(last, after);
        let duration = start.elapsed();
        spans.extend(engine_spans(pipeline));
        spans.push(post);
        Ok(Lap {
            start,
            duration,
            spans,
        })
    }
}

/// From `start` until now.
pub(super) fn span(stage: usize, start: Instant) -> Span {
    Span {
        stage,
        start,
        duration: start.elapsed(),
        breakdown: None,
    }
}

/// What the engine ran since this was last asked.
pub(super) fn engine_spans(pipeline: &mut Pipeline) -> impl Iterator<Item = Span> + use<> {
    pipeline.take_runs().into_iter().map(|run| Span {
        stage: run.stage + 1,
        start: run.start,
        duration: run.duration,
        breakdown: run.breakdown,
    })
}
