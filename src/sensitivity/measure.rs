//! Clips through variants of the stages, against the float32 masks and the ground truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use image::GrayImage;
use ndarray::Axis;
use socc_engines::Stage;
use socc_exporter::model::Rate;

use super::groups::{Group, StageGraphs};
use super::{Loss, Result, SensitivityError};
use crate::dataset::{Dataset, Expression, Truth, Video};
use crate::evaluate::{EvaluateError, Judge, Scored, SizeRule, Texts, prepare};
use crate::host::masks::iou;
use crate::pipeline::{Pipeline, Segmentation, Values, Window, window_frames, windows};

/// Variants of one stage that are compiled and measured together, so that the float32 values that they start from are
/// computed once for all of them. More cost memory: each holds the stage's weights.
const BATCH: usize = 8;

/// Some stages in another form, by their place in the pipeline.
type Variant = BTreeMap<usize, Box<dyn Stage>>;

/// What variants are measured on.
pub struct Clips<'a> {
    /// The data set.
    pub dataset: &'a Dataset,
    /// How many clips of it, spread evenly; all at most.
    pub clips: usize,
    /// Size that the model sees frames in.
    pub rule: SizeRule,
}

/// Everything that measuring needs.
pub struct Measure<'a> {
    graphs: &'a StageGraphs,
    dataset: &'a Dataset,
    videos: Vec<&'a Video>,
    rule: SizeRule,
    pipeline: Pipeline,
    texts: Texts,
}

impl<'a> Measure<'a> {
    /// Measures with `pipeline`, the float32 stages behind `graphs`.
    pub fn new(
        graphs: &'a StageGraphs,
        clips: Clips<'a>,
        pipeline: Pipeline,
        texts: Texts,
    ) -> Self {
        let all = &clips.dataset.videos;
        let n = clips.clips.clamp(1, all.len().max(1));
        let videos = (0..n.min(all.len())).map(|i| &all[i * all.len() / n]);
        Self {
            graphs,
            dataset: clips.dataset,
            videos: videos.collect(),
            rule: clips.rule,
            pipeline,
            texts,
        }
    }

    /// Clips per measurement.
    pub fn clips(&self) -> usize {
        self.videos.len()
    }

    /// Groups, sorted by stage, in batches that [`Measure::alone`] takes.
    pub fn batches(groups: &[Group]) -> impl Iterator<Item = &[Group]> {
        let stages = groups.chunk_by(|a, b| a.stage == b.stage);
        stages.flat_map(|stage| stage.chunks(BATCH))
    }

    /// Loss of every group alone; one batch of [`Measure::batches`]. `progress` hears of every clip that was run.
    ///
    /// # Errors
    /// A variant cannot be compiled or run, or no clip has annotations.
    pub fn alone(&mut self, groups: &[Group], progress: &mut dyn FnMut()) -> Result<Vec<Loss>> {
        let variants = groups.iter().map(|group| self.variant(&[group]));
        let mut variants = variants.collect::<Result<Vec<_>>>()?;
        self.losses(&mut variants, progress)
    }

    /// Loss of groups of any stages together.
    ///
    /// # Errors
    /// As [`Measure::alone`].
    pub fn together(&mut self, groups: &[&Group], progress: &mut dyn FnMut()) -> Result<Loss> {
        let mut variants = [self.variant(groups)?];
        let losses = self.losses(&mut variants, progress)?;
        Ok(losses[0])
    }

    fn variant(&self, groups: &[&Group]) -> Result<Variant> {
        let stages: BTreeSet<usize> = groups.iter().map(|g| g.stage).collect();
        let compile = |stage: usize| {
            let low = groups.iter().filter(|g| g.stage == stage);
            let low = low.map(|g| g.name.as_str()).collect();
            let input = self.graphs.variant(stage, &low)?;
            Ok((stage, self.pipeline.prepare(input)?))
        };
        stages.into_iter().map(compile).collect()
    }

    fn losses(
        &mut self,
        variants: &mut [Variant],
        progress: &mut dyn FnMut(),
    ) -> Result<Vec<Loss>> {
        let mut reference = Tally::default();
        let mut tallies: Vec<Tally> = variants.iter().map(|_| Tally::default()).collect();
        for video in self.videos.clone() {
            let clip = self.float32(video)?;
            reference.scores.extend(clip.judge(video, &clip.masks)?);
            for (variant, tally) in variants.iter_mut().zip(&mut tallies) {
                let masks = self.masks(variant, &clip)?;
                tally.compare(&clip.masks, &masks);
                tally.scores.extend(clip.judge(video, &masks)?);
            }
            progress();
        }
        let videos = self.videos.len();
        let jf = reference.jf().ok_or(SensitivityError::NoTruth { videos })?;
        Ok(tallies.iter().map(|t| t.loss(jf)).collect())
    }

    /// Runs a clip in float32 and keeps every value that stages exchange. Sentences that cannot be encoded are left out.
    fn float32(&mut self, video: &Video) -> Result<ClipValues> {
        let prepared = prepare(self.dataset, video, self.rule, false)?;
        let length = self.pipeline.frames();
        let mut clip = ClipValues {
            size: prepared.size,
            truth: prepared.truth,
            windows: windows(prepared.frames.len_of(Axis(0)), length),
            expressions: Vec::new(),
            values: Vec::new(),
            masks: Vec::new(),
        };
        let mut texts = Vec::new();
        for (k, expression) in video.expressions.iter().enumerate() {
            if let Ok(values) = self.texts.get(&expression.text, &mut self.pipeline)? {
                clip.expressions.push(k);
                texts.push(values);
            }
        }
        for window in &clip.windows {
            let frames = window_frames(prepared.frames.view(), *window, length);
            let encoded = self.pipeline.encode_clip(frames)?;
            let values = texts
                .iter()
                .map(|text| self.pipeline.segment(&encoded, text));
            clip.values
                .push(values.collect::<std::result::Result<_, _>>()?);
        }
        clip.masks = clip.read_masks(&clip.values)?;
        Ok(clip)
    }

    /// Masks of a variant: its stages and those that depend on them run again, from the float32 values.
    fn masks(&mut self, variant: &mut Variant, clip: &ClipValues) -> Result<Masks> {
        let again: BTreeSet<usize> = variant
            .keys()
            .flat_map(|s| self.graphs.dependents(*s))
            .collect();
        let mut all = Vec::with_capacity(clip.windows.len());
        for window in &clip.values {
            // What depends on the clip alone is the same for every sentence.
            let mut of_clip = Values::new();
            let mut found = Vec::with_capacity(window.len());
            for (k, values) in window.iter().enumerate() {
                let mut values = values.clone();
                values.extend(of_clip.clone());
                for stage in &again {
                    let shared = self.graphs.rate(*stage) == Rate::Clip;
                    if shared && k > 0 {
                        continue;
                    }
                    match variant.get_mut(stage) {
                        Some(own) => {
                            let name = self.graphs.name(*stage);
                            self.pipeline
                                .run_prepared(own.as_mut(), name, &mut values)?
                        }
                        None => self
                            .pipeline
                            .run_stage(self.graphs.name(*stage), &mut values)?,
                    }
                    if shared {
                        let outputs = self.graphs.outputs(*stage);
                        of_clip.extend(
                            outputs.filter_map(|name| {
                                Some((name.clone(), values.get(&name)?.clone()))
                            }),
                        );
                    }
                }
                found.push(values);
            }
            all.push(found);
        }
        clip.read_masks(&all)
    }
}

/// Masks per expression and frame.
type Masks = Vec<Vec<GrayImage>>;

/// One clip in float32.
struct ClipValues {
    /// Width and height of the masks, in pixels.
    size: (u32, u32),
    truth: Option<Arc<Truth>>,
    windows: Vec<Window>,
    /// Numbers of the video's expressions that can be encoded.
    expressions: Vec<usize>,
    /// Every value that stages exchange, per window and expression.
    values: Vec<Vec<Values>>,
    masks: Masks,
}

impl ClipValues {
    fn read_masks(&self, values: &[Vec<Values>]) -> Result<Masks> {
        let mut masks = vec![Vec::new(); self.expressions.len()];
        for (window, values) in self.windows.iter().zip(values) {
            let skip = window.start - window.first;
            for (masks, values) in masks.iter_mut().zip(values) {
                let found = Segmentation::read(values)?;
                for i in skip..skip + window.len {
                    let logits = found.logits.index_axis(Axis(0), i);
                    let (width, height) = self.size;
                    masks.push(crate::host::masks::from_logits(logits, width, height));
                }
            }
        }
        Ok(masks)
    }

    /// Scores masks against the annotations.
    fn judge(&self, video: &Video, masks: &Masks) -> Result<Vec<Scored>> {
        let mut judge = Judge::new(self.size, self.truth.clone());
        let expressions = self.expressions.iter().map(|k| &video.expressions[*k]);
        for (expression, masks) in expressions.zip(masks) {
            let expression: &Expression = expression;
            for (frame, mask) in masks.iter().enumerate() {
                judge
                    .mask(expression, frame, mask)
                    .map_err(EvaluateError::from)?;
            }
        }
        Ok(judge.scores().into_values().collect())
    }
}

/// What a variant did on all clips.
#[derive(Default)]
struct Tally {
    scores: Vec<Scored>,
    /// 1 - IoU with the float32 mask, summed over masks.
    change: f64,
    masks: usize,
}

impl Tally {
    fn compare(&mut self, reference: &Masks, masks: &Masks) {
        let pairs = reference.iter().flatten().zip(masks.iter().flatten());
        for (a, b) in pairs {
            self.change += 1.0 - iou(a, b);
            self.masks += 1;
        }
    }

    /// Mean J&F of the expressions that have one.
    fn jf(&self) -> Option<f64> {
        let scores = self.scores.iter().filter_map(|s| s.j.zip(s.f));
        let scores: Vec<f64> = scores.map(|(j, f)| (j + f) / 2.0).collect();
        let n = scores.len() as f64;
        (n > 0.0).then(|| scores.iter().sum::<f64>() / n)
    }

    fn loss(&self, reference_jf: f64) -> Loss {
        Loss {
            jf_points: (reference_jf - self.jf().unwrap_or(0.0)) * 100.0,
            mask_change: self.change / self.masks.max(1) as f64,
        }
    }
}
