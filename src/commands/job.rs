//! A clip with its sentences through a source, and the result folder: what `run` and `demo` share.

use std::path::Path;
use std::time::Instant;

use image::{GrayImage, RgbImage};
use ndarray::{Array4, ArrayView4};
use serde::Serialize;
use socc::host::frames::Clip;
use socc::host::resize::{frames_tensor, resize};
use socc::metrics::{Score, score};
use socc::pipeline::{Pipeline, Values};
use socc::results::Results;
use socc::segment::{Answer, Windowing, segment};
use socc::source::Source;
use socc_engines::Engine;
use socc_exporter::model::{Deformable, Request, STAGES};

use super::table::Table;
use crate::args::Size;
use crate::progress;

/// What to do.
pub struct Job<'a> {
    pub source: &'a Source,
    pub engine: Box<dyn Engine>,
    /// Where the frames came from.
    pub video: String,
    pub clip: &'a Clip,
    /// Size that the model sees.
    pub size: Size,
    pub deformable: Deformable,
    /// Cuts a longer clip into windows.
    pub window: Option<Windowing>,
    pub sentences: Sentences<'a>,
    pub out: &'a Path,
    /// When the command began, and what was spent so far.
    pub start: Instant,
    pub load_ms: f64,
    pub read_ms: f64,
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

/// `result.json`.
#[derive(Serialize)]
pub struct JobResult {
    /// Version of socc.
    pub socc: &'static str,
    pub source: String,
    pub engine: String,
    pub engine_version: String,
    pub video: String,
    /// Names of the frames.
    pub frames: Vec<String>,
    /// Size of the masks, in pixels.
    pub height: u32,
    pub width: u32,
    /// Size that the model saw, in pixels.
    pub model_height: usize,
    pub model_width: usize,
    pub expressions: Vec<ExpressionResult>,
    pub times_ms: Times,
}

#[derive(Serialize)]
pub struct ExpressionResult {
    pub text: String,
    #[serde(flatten)]
    pub answer: Answer,
    /// Against the ground truth, where that is known.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

/// Region similarity, boundary accuracy, and their mean.
#[derive(Clone, Copy, Serialize)]
pub struct Quality {
    pub j: f64,
    pub f: f64,
    pub jf: f64,
}

impl From<Score> for Quality {
    fn from(score: Score) -> Self {
        Self {
            j: score.j,
            f: score.f,
            jf: score.jf(),
        }
    }
}

/// Where the time went, in milliseconds.
#[derive(Serialize)]
pub struct Times {
    /// Opening the source and compiling the stages.
    pub load: f64,
    /// Decoding and resizing frames.
    pub read: f64,
    /// Each stage.
    pub stages: Vec<StageTime>,
    /// Masks and pictures.
    pub write: f64,
    /// From start to end.
    pub total: f64,
}

#[derive(Serialize)]
pub struct StageTime {
    pub name: String,
    pub runs: usize,
    pub total: f64,
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
    /// Runs the clip and writes the result folder.
    pub fn execute(mut self) -> anyhow::Result<JobResult> {
        let sentences = self.sentences;
        let mut results = Results::begin(self.out, self.clip, sentences.texts.len())?;
        let compiling = Instant::now();
        let request = self.request();
        let bar = progress::steps(STAGES.len(), "compiling stages");
        let source = self.source;
        let mut pipeline = source.compile(self.engine, &request, &mut |_| bar.inc(1))?;
        bar.finish_and_clear();
        self.load_ms += since_ms(compiling);
        // Only now: an absurd size was refused above.
        let resizing = Instant::now();
        let frames = model_frames(self.clip, self.size);
        self.read_ms += since_ms(resizing);
        let overlap = self.window.map_or(0, |w| w.overlap);
        let (expressions, write) = segment_all(
            &mut pipeline,
            frames.view(),
            sentences,
            overlap,
            &mut results,
        )?;
        let (width, height) = self.clip.size();
        let result = JobResult {
            socc: env!("CARGO_PKG_VERSION"),
            source: self.source.path().display().to_string(),
            engine: pipeline.engine_name().to_owned(),
            engine_version: pipeline.engine_version(),
            video: self.video,
            frames: self.clip.names.clone(),
            height,
            width,
            model_height: self.size.height,
            model_width: self.size.width,
            expressions,
            times_ms: Times {
                load: self.load_ms,
                read: self.read_ms,
                stages: stage_times(&pipeline),
                write,
                total: since_ms(self.start),
            },
        };
        results.finish(&result)?;
        Ok(result)
    }

    /// What to compile for.
    fn request(&self) -> Request {
        let most = self.window.map_or(usize::MAX, |w| w.frames);
        let (frames, size) = (self.clip.frames.len().min(most), self.size);
        let mut request = self.source.request(frames, size.height, size.width);
        if self.source.manifest().is_none() {
            request.deformable = self.deformable;
        }
        request
    }
}

/// Runs every sentence, hands what is found to `results`, and gives the answers with the milliseconds that writing
/// took.
fn segment_all(
    pipeline: &mut Pipeline,
    frames: ArrayView4<u8>,
    sentences: Sentences<'_>,
    overlap: usize,
    results: &mut Results<'_>,
) -> anyhow::Result<(Vec<ExpressionResult>, f64)> {
    let Sentences {
        texts,
        tokens,
        truth,
    } = sentences;
    let bar = progress::steps(results.frames() * texts.len(), "segmenting");
    let encoded = encode_texts(pipeline, tokens)?;
    let mut write = 0.0;
    let mut masks: Vec<Vec<GrayImage>> = vec![Vec::new(); texts.len()];
    let answers = segment::<anyhow::Error>(pipeline, frames, &encoded, overlap, &mut |found| {
        let begin = Instant::now();
        let mask = results.add(&found)?;
        if !truth.is_empty() {
            masks[found.expression].push(mask);
        }
        write += since_ms(begin);
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();
    let mut expressions = Vec::new();
    for (k, (text, answer)) in texts.iter().zip(answers).enumerate() {
        let quality = truth.get(k).map(|t| score(&masks[k], t)).transpose()?;
        expressions.push(ExpressionResult {
            text: text.clone(),
            answer,
            quality: quality.map(Quality::from),
        });
    }
    Ok((expressions, write))
}

fn model_frames(clip: &Clip, size: Size) -> Array4<u8> {
    let resized = clip.frames.iter();
    let resized: Vec<RgbImage> = resized
        .map(|f| resize(f, size.width as u32, size.height as u32))
        .collect();
    frames_tensor(&resized)
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

fn stage_times(pipeline: &Pipeline) -> Vec<StageTime> {
    let times = pipeline.times_ms().into_iter();
    times
        .map(|(name, runs)| StageTime {
            name,
            runs: runs.len(),
            total: runs.iter().sum(),
        })
        .collect()
}

/// What was found, as a table.
pub fn answer_table(result: &JobResult) -> Table {
    let scored = result.expressions.iter().any(|e| e.quality.is_some());
    let headers = ["", "expression", ">query", ">score", ">J&F"];
    let mut table = Table::new(&headers[..if scored { 5 } else { 4 }]);
    for (k, expression) in result.expressions.iter().enumerate() {
        let answer = &expression.answer;
        let score = answer.scores.get(answer.selected_query);
        let score = score.map_or(String::new(), |s| format!("{s:.3}"));
        let jf = expression.quality.map(|q| format!("{:.3}", q.jf));
        let query = answer.selected_query.to_string();
        let text = expression.text.clone();
        table.row([k.to_string(), text, query, score, jf.unwrap_or_default()]);
    }
    table
}

/// Times as a table.
pub fn time_table(times: &Times) -> Table {
    let mut table = Table::new(&["stage", ">runs", ">ms"]);
    let ms = |v: f64| format!("{v:.1}");
    table.row(["load".to_owned(), String::new(), ms(times.load)]);
    table.row(["read frames".to_owned(), String::new(), ms(times.read)]);
    for stage in &times.stages {
        table.row([stage.name.clone(), stage.runs.to_string(), ms(stage.total)]);
    }
    table.row(["write results".to_owned(), String::new(), ms(times.write)]);
    table.row(["in all".to_owned(), String::new(), ms(times.total)]);
    table
}

/// Both tables and where the files are.
pub fn report(result: &JobResult, out: &Path) -> String {
    format!(
        "{}\n{}\nmasks, overlays, animation.gif and result.json are in {}\n",
        answer_table(result).render(),
        time_table(&result.times_ms).render(),
        out.display()
    )
}
