//! Frames with their sentences through a source, and the result folder: what `run` and `demo` share.

mod intake;
mod passage;
mod report;

use std::path::Path;
use std::time::Instant;

use anyhow::bail;
use image::GrayImage;
use serde::Serialize;
use socc::host::frames::Frames;
use socc::host::resize::detr_size;
use socc::pipeline::{Pipeline, Values};
use socc::results::{Delivery, Results};
use socc::segment::Windowing;
use socc::source::Source;
use socc_engines::Engine;
use socc_exporter::model::{Deformable, Request, STAGES};

use super::write;
use crate::args::Size;
use crate::progress;

use intake::Intake;
use passage::Passage;

pub use report::{JobResult, report};

use report::Times;

/// What to do.
pub struct Job<'a> {
    pub source: &'a Source,
    pub engine: Box<dyn Engine>,
    /// Where the frames come from.
    pub video: String,
    pub frames: Frames,
    /// Gives the model the frames in their own size.
    pub no_resize: bool,
    pub deformable: Deformable,
    /// Cuts a longer clip into windows, of which only one is held.
    pub window: Option<Windowing>,
    pub sentences: Sentences<'a>,
    pub out: &'a Path,
    /// Prints the lines of `frames.jsonl` too, of a stream.
    pub echo: bool,
    /// When the command began, and what was spent until the source was open.
    pub start: Instant,
    pub load_ms: f64,
}

/// What to look for.
#[derive(Clone, Copy)]
pub struct Sentences<'a> {
    pub texts: &'a [String],
    /// Tokens of each.
    pub tokens: &'a [Vec<i64>],
    /// Ground truth of each, if known.
    pub truth: &'a [Vec<GrayImage>],
}

/// First line of `frames.jsonl`.
#[derive(Serialize)]
struct Header<'a> {
    /// Version of socc.
    socc: &'static str,
    video: &'a str,
    expressions: &'a [String],
    /// Size of the masks, in pixels.
    height: u32,
    width: u32,
}

/// Milliseconds since `start`.
pub fn since_ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Tokens of every sentence, so that a bad one is refused before anything long begins.
pub fn encode(source: &Source, expressions: &[String]) -> anyhow::Result<Vec<Vec<i64>>> {
    let tokenizer = source.tokenizer()?;
    let max_tokens = source.facts().max_tokens;
    let ids = expressions.iter().map(|e| tokenizer.encode(e, max_tokens));
    Ok(ids.collect::<Result<_, _>>()?)
}

impl Job<'_> {
    /// Runs the frames and writes the result folder.
    pub fn execute(mut self) -> anyhow::Result<JobResult> {
        let delivery = match self.frames.is_live() {
            true => Delivery::AsTheyCome,
            false => Delivery::Whole,
        };
        let mut intake = Intake::new(self.frames);
        let frames = intake.read_ahead(frames_ahead(self.source, self.window))?;
        let (width, height) = intake.size();
        let size = model_size(self.source, (width, height), self.no_resize)?;
        let texts = self.sentences.texts;
        let mut results = Results::begin(self.out, texts.len(), delivery)?;

        let compiling = Instant::now();
        let mut request = self.source.request(frames, size.height, size.width);
        if self.source.manifest().is_none() {
            request.deformable = self.deformable;
        }
        let mut pipeline = compile(self.source, self.engine, &request)?;
        self.load_ms += since_ms(compiling);

        let header = results.open(&Header {
            socc: env!("CARGO_PKG_VERSION"),
            video: &self.video,
            expressions: texts,
            height,
            width,
        })?;
        let echo = header.filter(|_| self.echo);
        if let Some(header) = &echo {
            write(header)?;
        }
        let passage = Passage::new(results, self.sentences, intake.left(), echo.is_some());
        let overlap = self.window.map_or(0, |w| w.overlap);
        let history = delivery == Delivery::Whole;
        let passed = passage.run(&mut pipeline, &mut intake, size, overlap, history)?;
        let read = intake.read_ms;
        let late = intake.finish()?;
        let result = JobResult {
            socc: env!("CARGO_PKG_VERSION"),
            source: self.source.path().display().to_string(),
            engine: pipeline.engine_name().to_owned(),
            engine_version: pipeline.engine_version(),
            video: self.video,
            frame_count: passed.frames,
            frames: passed.names,
            late: (!history).then_some(late),
            height,
            width,
            model_height: size.height,
            model_width: size.width,
            expressions: passed.expressions,
            times_ms: Times {
                load: self.load_ms,
                read,
                stages: passed.stages,
                write: passed.write_ms,
                total: since_ms(self.start),
            },
        };
        passed.results.finish(&result)?;
        Ok(result)
    }
}

/// How many frames to read before compiling: what a checkpoint is compiled for, and of a bundle one, for its size.
fn frames_ahead(source: &Source, window: Option<Windowing>) -> usize {
    match (source.manifest(), window) {
        (Some(_), _) => 1,
        (None, Some(window)) => window.frames,
        (None, None) => usize::MAX,
    }
}

fn compile(
    source: &Source,
    engine: Box<dyn Engine>,
    request: &Request,
) -> anyhow::Result<Pipeline> {
    let bar = progress::steps(STAGES.len(), "compiling stages");
    let pipeline = source.compile(engine, request, &mut |_| bar.inc(1))?;
    bar.finish_and_clear();
    Ok(pipeline)
}

/// Text features of every sentence; equal sentences are encoded once.
fn encode_texts(pipeline: &mut Pipeline, tokens: &[Vec<i64>]) -> anyhow::Result<Vec<Values>> {
    let mut texts: Vec<Values> = Vec::with_capacity(tokens.len());
    for (i, ids) in tokens.iter().enumerate() {
        let known = tokens[..i].iter().position(|other| other == ids);
        texts.push(match known {
            Some(same) => texts[same].clone(),
            None => pipeline.encode_text(ids)?,
        });
    }
    Ok(texts)
}

/// Size that the model sees: a bundle's own, else by the official rule, or the frames' own.
fn model_size(
    source: &Source,
    (width, height): (u32, u32),
    no_resize: bool,
) -> anyhow::Result<Size> {
    let size = |(width, height): (u32, u32)| Size {
        height: height as usize,
        width: width as usize,
    };
    let own = size((width, height));
    if let Some(manifest) = source.manifest() {
        let fixed = Size {
            height: manifest.height,
            width: manifest.width,
        };
        if no_resize && own != fixed {
            bail!(
                "the frames are {height}x{width} and the bundle takes {}x{}; drop --no-resize, or export with --size {height}x{width}",
                fixed.height,
                fixed.width
            );
        }
        return Ok(fixed);
    }
    if no_resize {
        return Ok(own);
    }
    let facts = source.facts();
    let (short, long) = (facts.eval_short_size, facts.eval_max_size);
    Ok(size(detr_size(width, height, short, long)))
}
