//! The frames' way through the pipeline.

use std::collections::VecDeque;
use std::time::Instant;

use image::GrayImage;
use indicatif::ProgressBar;
use socc::host::frames::Frame;
use socc::metrics::score;
use socc::pipeline::Pipeline;
use socc::results::Results;
use socc::segment::{Answer, Found, Segmenter};

use super::intake::Intake;
use super::report::{ExpressionResult, Quality, StageTime};
use super::{Sentences, encode_texts, since_ms};
use crate::args::Size;
use crate::commands::write;
use crate::progress;

/// What takes in what is found.
pub struct Passage<'a> {
    results: Results,
    sentences: Sentences<'a>,
    /// Frames that are not answered yet, from number `answered` on.
    open: VecDeque<Frame>,
    answered: usize,
    /// Masks of each sentence, where they are to be compared with a ground truth.
    masks: Vec<Vec<GrayImage>>,
    echo: bool,
    write_ms: f64,
    bar: ProgressBar,
    /// Whether the bar counts masks; else it counts frames, of which nobody knows how many will come.
    counts_masks: bool,
}

/// What came of it.
pub struct Passed {
    pub results: Results,
    pub frames: usize,
    /// Names of the frames, with history.
    pub names: Vec<String>,
    pub expressions: Vec<ExpressionResult>,
    pub stages: Vec<StageTime>,
    pub write_ms: f64,
}

impl<'a> Passage<'a> {
    /// Begins; `frames` is how many will come, where that is known, and `echo` prints what `results` tell of each.
    pub fn new(
        results: Results,
        sentences: Sentences<'a>,
        frames: Option<usize>,
        echo: bool,
    ) -> Self {
        let texts = sentences.texts.len();
        Self {
            results,
            sentences,
            open: VecDeque::new(),
            answered: 0,
            masks: vec![Vec::new(); texts],
            echo,
            write_ms: 0.0,
            bar: match frames {
                Some(frames) => progress::steps(frames * texts, "segmenting"),
                None => progress::frames("segmenting"),
            },
            counts_masks: frames.is_some(),
        }
    }

    /// Runs every frame and sentence; `history` keeps what grows with the number of frames.
    pub fn run(
        mut self,
        pipeline: &mut Pipeline,
        intake: &mut Intake,
        size: Size,
        overlap: usize,
        history: bool,
    ) -> anyhow::Result<Passed> {
        let texts = encode_texts(pipeline, self.sentences.tokens)?;
        let mut segmenter = Segmenter::new(pipeline, &texts, overlap, history);
        let mut times = StageTimes::new(pipeline);
        let mut names = Vec::new();
        while let Some(frame) = intake.next()? {
            let resized = intake.resize(&frame, size);
            if history {
                names.push(frame.name.clone());
            }
            self.open.push_back(frame);
            let answered = segmenter.push(pipeline, resized, &mut |found| self.add(&found))?;
            self.forget(answered);
            times.take(pipeline);
        }
        let frames = self.answered + self.open.len();
        let answers = segmenter.finish(pipeline, &mut |found| self.add(&found))?;
        times.take(pipeline);
        self.bar.finish_and_clear();
        Ok(Passed {
            frames,
            names,
            expressions: self.expressions(answers)?,
            stages: times.stages,
            write_ms: self.write_ms,
            results: self.results,
        })
    }

    fn add(&mut self, found: &Found<'_>) -> anyhow::Result<()> {
        let begin = Instant::now();
        // Frames are answered in order, each once.
        let Some(frame) = self.open.get(found.frame - self.answered) else {
            return Ok(());
        };
        let added = self.results.add(frame, found)?;
        if let Some(line) = added.line.filter(|_| self.echo) {
            write(&line)?;
        }
        if !self.sentences.truth.is_empty() {
            self.masks[found.expression].push(added.mask);
        }
        self.write_ms += since_ms(begin);
        if self.counts_masks || found.expression == 0 {
            self.bar.inc(1);
        }
        Ok(())
    }

    /// Drops the frames before number `answered`.
    fn forget(&mut self, answered: usize) {
        let done = answered.saturating_sub(self.answered);
        self.open.drain(..done.min(self.open.len()));
        self.answered = answered;
    }

    fn expressions(&self, answers: Vec<Answer>) -> anyhow::Result<Vec<ExpressionResult>> {
        let Sentences { texts, truth, .. } = self.sentences;
        let all = texts.iter().zip(answers).enumerate();
        all.map(|(k, (text, answer))| {
            let quality = truth.get(k).map(|t| score(&self.masks[k], t)).transpose()?;
            Ok(ExpressionResult {
                text: text.clone(),
                answer,
                quality: quality.map(Quality::from),
            })
        })
        .collect()
    }
}

/// Sums of each stage's times, whatever the number of windows.
struct StageTimes {
    stages: Vec<StageTime>,
}

impl StageTimes {
    fn new(pipeline: &Pipeline) -> Self {
        let stages = pipeline.stages().map(|(name, _)| StageTime {
            name: name.to_owned(),
            runs: 0,
            total: 0.0,
        });
        Self {
            stages: stages.collect(),
        }
    }

    fn take(&mut self, pipeline: &mut Pipeline) {
        for run in pipeline.take_runs() {
            if let Some(stage) = self.stages.get_mut(run.stage) {
                stage.runs += 1;
                stage.total += run.duration.as_secs_f64() * 1e3;
            }
        }
    }
}
