//! One video by a benchmark's protocol.

use std::collections::BTreeMap;

use image::GrayImage;
use ndarray::{Array2, ArrayView2, ArrayView4, Axis, s};
use serde::{Deserialize, Serialize};

use super::coco::{Detection, Detections};
use super::davis::{ANNOTATORS, CHUNK, ObjectScore, Unsupervised, merge};
use super::{EvaluateError, Judge, Listener, Pipelines, Prepared, Scored};
use crate::dataset::{Benchmark, Expression, Video};
use crate::host::masks::{from_logits_by_way_of, overlap};
use crate::pipeline::{PipelineError, Segmentation, Values, read_f32};
use crate::segment::{Answer, segment};

/// How a benchmark runs a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The whole video at once.
    WholeVideo,
    /// Ref-DAVIS: chunks of [`CHUNK`] frames, the last one shorter; the sentences of each annotator
    /// merged to one label per pixel.
    Chunks,
    /// A2D-Sentences and JHMDB-Sentences: the backbone sees the window, everything after it the annotated
    /// frame alone, and the masks of all queries count.
    AnnotatedFrame,
}

impl From<Benchmark> for Protocol {
    fn from(benchmark: Benchmark) -> Self {
        match benchmark {
            Benchmark::Mevis | Benchmark::RefYoutubeVos => Self::WholeVideo,
            Benchmark::RefDavis => Self::Chunks,
            Benchmark::A2dSentences | Benchmark::JhmdbSentences => Self::AnnotatedFrame,
        }
    }
}

/// What a video scores.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoScores {
    /// By expression id.
    pub expressions: BTreeMap<String, Scored>,
    /// Ref-DAVIS: by annotator and object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotators: Vec<Vec<ObjectScore>>,
    /// A2D-Sentences and JHMDB-Sentences: every expression's masks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<Detections>,
}

/// Runs one video that [`super::prepare`] made ready; `texts` has the encoded sentence of each expression,
/// or `None` where it cannot be encoded: its masks are empty.
///
/// # Errors
/// The pipeline fails, or the listener does.
pub fn evaluate_video<E: From<EvaluateError> + From<PipelineError>>(
    video: &Video,
    prepared: &Prepared,
    texts: &[Option<Values>],
    protocol: Protocol,
    pipelines: &mut dyn Pipelines,
    listener: &mut dyn Listener<E>,
) -> Result<VideoScores, E> {
    let clip = Clip {
        video,
        prepared,
        texts,
    };
    match (protocol, video.annotated) {
        (Protocol::AnnotatedFrame, Some(frame)) => clip.annotated(frame, pipelines, listener),
        (Protocol::Chunks, _) => clip.chunks(pipelines, listener),
        _ => clip.whole(pipelines, listener),
    }
}

/// A video with its sentences.
struct Clip<'a> {
    video: &'a Video,
    prepared: &'a Prepared,
    texts: &'a [Option<Values>],
}

impl Clip<'_> {
    /// Expressions that can be run, with their features.
    fn usable(&self) -> (Vec<&Expression>, Vec<Values>) {
        let all = self.video.expressions.iter().zip(self.texts);
        let usable = all.filter_map(|(e, text)| Some((e, text.clone()?)));
        usable.unzip()
    }

    fn judge(&self) -> Judge {
        Judge::new(self.prepared.size, self.prepared.truth.clone())
    }

    fn whole<E: From<EvaluateError> + From<PipelineError>>(
        &self,
        pipelines: &mut dyn Pipelines,
        listener: &mut dyn Listener<E>,
    ) -> Result<VideoScores, E> {
        let (t, _, h, w) = self.prepared.frames.dim();
        let overlap = pipelines.overlap();
        let pipeline = pipelines.get(t, h, w)?;
        let (usable, texts) = self.usable();
        let mut judge = self.judge();
        let frames = self.prepared.frames.view();
        let answers = segment::<E>(pipeline, frames, &texts, overlap, &mut |found| {
            let expression = usable[found.expression];
            let mask = judge.logits(expression, found.frame, found.logits);
            let mask = mask.map_err(EvaluateError::from)?;
            listener.mask(self.video, expression, found.frame, &mask)
        })?;
        self.nothing(&mut judge, 0..t, listener)?;
        let mut scores = judge.scores();
        for (expression, answer) in usable.into_iter().zip(answers) {
            put_query(&mut scores, expression, &answer);
        }
        Ok(VideoScores {
            expressions: scores,
            ..VideoScores::default()
        })
    }

    /// Empty masks for the expressions that cannot be run.
    fn nothing<E: From<EvaluateError>>(
        &self,
        judge: &mut Judge,
        frames: impl Iterator<Item = usize> + Clone,
        listener: &mut dyn Listener<E>,
    ) -> Result<(), E> {
        for (expression, text) in self.video.expressions.iter().zip(self.texts) {
            if text.is_some() {
                continue;
            }
            for frame in frames.clone() {
                let mask = judge
                    .nothing(expression, frame)
                    .map_err(EvaluateError::from)?;
                listener.mask(self.video, expression, frame, &mask)?;
            }
        }
        Ok(())
    }

    fn chunks<E: From<EvaluateError> + From<PipelineError>>(
        &self,
        pipelines: &mut dyn Pipelines,
        listener: &mut dyn Listener<E>,
    ) -> Result<VideoScores, E> {
        let (t, _, h, w) = self.prepared.frames.dim();
        let (usable, texts) = self.usable();
        let mut judge = self.judge();
        let mut merging = Merging::new(self);
        let mut answers: Vec<Answer> = Vec::new();
        for start in (0..t).step_by(CHUNK) {
            let end = (start + CHUNK).min(t);
            let overlap = pipelines.overlap();
            let pipeline = pipelines.get(end - start, h, w)?;
            let frames: ArrayView4<u8> = self.prepared.frames.slice(s![start..end, .., .., ..]);
            // By frame of the chunk and usable expression.
            let mut kept: Vec<Vec<Array2<f32>>> = vec![Vec::new(); end - start];
            answers = segment::<E>(pipeline, frames, &texts, overlap, &mut |found| {
                let expression = usable[found.expression];
                let frame = start + found.frame;
                let mask = judge.logits(expression, frame, found.logits);
                let mask = mask.map_err(EvaluateError::from)?;
                kept[found.frame].push(found.logits.to_owned());
                listener.mask(self.video, expression, frame, &mask)
            })?;
            for (i, logits) in kept.into_iter().enumerate() {
                merging.frame(start + i, &usable, &logits, listener)?;
            }
        }
        self.nothing(&mut judge, 0..t, listener)?;
        let mut scores = judge.scores();
        // A query's number means nothing beyond its chunk.
        if t <= CHUNK {
            for (expression, answer) in usable.into_iter().zip(answers) {
                put_query(&mut scores, expression, &answer);
            }
        }
        Ok(VideoScores {
            expressions: scores,
            annotators: merging.scores(),
            detections: Vec::new(),
        })
    }

    fn annotated<E: From<EvaluateError> + From<PipelineError>>(
        &self,
        frame: usize,
        pipelines: &mut dyn Pipelines,
        listener: &mut dyn Listener<E>,
    ) -> Result<VideoScores, E> {
        let (t, _, h, w) = self.prepared.frames.dim();
        let pipeline = pipelines.get(t, h, w)?;
        let clip = pipeline.encode_clip(self.prepared.frames.clone())?;
        let mut judge = self.judge();
        let mut detections = Vec::new();
        let mut queries = Vec::new();
        for (expression, text) in self.video.expressions.iter().zip(self.texts) {
            let Some(text) = text else { continue };
            let values = pipeline.segment(&clip, text)?;
            let found = Segmentation::read(&values)?;
            let masks = all_masks(&values, (w as u32, h as u32), self.prepared.size)?;
            if let Some(mask) = masks.get(found.selected_query) {
                judge
                    .mask(expression, frame, mask)
                    .map_err(EvaluateError::from)?;
                listener.mask(self.video, expression, frame, mask)?;
            }
            detections.extend(self.detections(expression, frame, &found.scores, &masks));
            queries.push((expression, found));
        }
        self.nothing(&mut judge, frame..frame + 1, listener)?;
        let mut scores = judge.scores();
        for (expression, found) in queries {
            if let Some(scored) = scores.get_mut(&expression.id) {
                scored.query = Some(found.selected_query);
                scored.score = found.scores.get(found.selected_query).copied();
            }
        }
        Ok(VideoScores {
            expressions: scores,
            annotators: Vec::new(),
            detections,
        })
    }

    /// All queries' masks against the object's.
    fn detections(
        &self,
        expression: &Expression,
        frame: usize,
        scores: &[f32],
        masks: &[GrayImage],
    ) -> Option<Detections> {
        let truth = self.prepared.truth.as_ref()?.mask(frame, expression)?;
        let queries = scores.iter().zip(masks).map(|(score, mask)| Detection {
            score: *score,
            area: overlap(mask, mask).0,
            both: overlap(mask, &truth).0,
        });
        Some(Detections {
            image: format!("{}_i_{}", self.video.name, expression.id),
            area: overlap(&truth, &truth).0,
            queries: queries.collect(),
        })
    }
}

fn put_query(scores: &mut BTreeMap<String, Scored>, expression: &Expression, answer: &Answer) {
    if let Some(scored) = scores.get_mut(&expression.id) {
        scored.query = Some(answer.selected_query);
        scored.score = answer.scores.get(answer.selected_query).copied();
    }
}

/// Masks of all queries in the one frame of `mask_logits`, by way of the model's size.
fn all_masks(
    values: &Values,
    model: (u32, u32),
    size: (u32, u32),
) -> Result<Vec<GrayImage>, PipelineError> {
    let logits = read_f32(values, "mask_logits")?;
    let got = logits.shape().to_vec();
    let bad = || PipelineError::Shape {
        tensor: "mask_logits".to_owned(),
        got: got.clone(),
    };
    if got.len() != 4 || got[0] != 1 {
        return Err(bad());
    }
    let first = logits.index_axis(Axis(0), 0);
    let masks = first.outer_iter().map(|logits| {
        let logits: ArrayView2<f32> = logits.into_dimensionality().map_err(|_| bad())?;
        Ok(from_logits_by_way_of(logits, model, size))
    });
    masks.collect()
}

/// Merging of each annotator's masks.
struct Merging<'a> {
    clip: &'a Clip<'a>,
    boards: Vec<Option<Unsupervised>>,
}

impl<'a> Merging<'a> {
    fn new(clip: &'a Clip<'a>) -> Self {
        let objects = clip.video.expressions.len() / ANNOTATORS;
        let truth = clip.prepared.truth.as_ref();
        let board = || truth.and_then(|t| Unsupervised::new(t, objects));
        Self {
            clip,
            boards: (0..ANNOTATORS).map(|_| board()).collect(),
        }
    }

    /// One frame: the usable expressions and their logits.
    fn frame<E>(
        &mut self,
        frame: usize,
        usable: &[&Expression],
        logits: &[Array2<f32>],
        listener: &mut dyn Listener<E>,
    ) -> Result<(), E> {
        let (video, prepared) = (self.clip.video, self.clip.prepared);
        let objects = video.expressions.len() / ANNOTATORS;
        let empty = Array2::zeros((0, 0));
        for annotator in 0..ANNOTATORS {
            let of = |object: usize| {
                let id = &video.expressions[object * ANNOTATORS + annotator].id;
                let place = usable.iter().position(|e| e.id == *id);
                place.map_or(empty.view(), |place| logits[place].view())
            };
            let views: Vec<ArrayView2<f32>> = (0..objects).map(of).collect();
            let labels = merge(&views, prepared.size);
            let truth = prepared.truth.as_ref().and_then(|t| t.labels(frame));
            if let (Some(board), Some(truth)) = (&mut self.boards[annotator], truth) {
                board.add(&labels, truth);
            }
            listener.merged(video, annotator, frame, &labels)?;
        }
        Ok(())
    }

    /// By annotator and object; empty without annotations.
    fn scores(&self) -> Vec<Vec<ObjectScore>> {
        let boards = self.boards.iter().flatten();
        boards.map(Unsupervised::scores).collect()
    }
}
