//! `socc calibrate`.

mod files;
mod report;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use image::RgbImage;
use indicatif::ProgressBar;
use ndarray::Array4;
use socc::bundle::{Bundle, Manifest};
use socc::calibrate::{Calibrator, Options, Sentence, graphs, spread};
use socc::dataset::{Dataset, Video};
use socc::host::resize::{frames_tensor, resize};
use socc::pipeline::windows;
use socc::source::Source;
use socc_calibration::method::Method;
use socc_calibration::observations::Observations;
use socc_calibration::state::{ClipSettings, Settings, State};
use socc_calibration::table::{FORMAT_VERSION, RangeTable};

use self::files::Files;
use crate::args::CalibrateArgs;
use crate::progress;

/// A state is written when this many times as long as that takes has gone by.
const STATE_INTERVAL: u32 = 20;

pub fn calibrate(args: &CalibrateArgs) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let method = args.method()?;
    let files = Files::new(args)?;
    let source = open(args)?;
    let Source::Bundle { bundle, .. } = &source else {
        bail!(
            "{} is no bundle; give the folder that `socc export` wrote",
            args.bundle.display()
        );
    };
    let dataset = Dataset::open(&args.data, &args.split)?;
    let clips = clips(args, &dataset, &source)?;
    let graphs = graphs(bundle)?;
    let engine = args.engine.open()?;
    let begun = State {
        settings: Settings {
            checkpoint: bundle.manifest.checkpoint.fingerprint.clone(),
            engine: format!("{} {}", engine.name(), engine.version()),
            data: absolute(&args.data),
            split: args.split.clone(),
            clips: clips.iter().map(|clip| clip.settings()).collect(),
        },
        clips_done: 0,
        observations: Observations::of(graphs.iter().map(|(graph, _)| graph)),
    };
    let state = files.begin(begun, args.resume)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        segment_bytes: args.memory.saturating_mul(1 << 20),
        threads: args.engine.threads.unwrap_or(threads),
    };
    let bar = progress::steps(graphs.len(), "compiling stages");
    let request = bundle.manifest.request();
    let mut calibrator =
        Calibrator::compile(&graphs, &request, engine, options, &mut |_| bar.inc(1))?;
    bar.finish_and_clear();
    let run = Run {
        dataset: &dataset,
        clips: &clips,
        manifest: &bundle.manifest,
        files: &files,
    };
    let state = run.execute(&mut calibrator, state)?;
    let table = table(args, bundle, &state, method);
    files.finish(&table)?;
    report::report(args, &table, start.elapsed())?;
    Ok(ExitCode::SUCCESS)
}

fn open(args: &CalibrateArgs) -> anyhow::Result<Source> {
    if args.bundle.is_file() {
        bail!(
            "{} is no bundle; run `socc export` and give the folder that it writes",
            args.bundle.display()
        );
    }
    Ok(Source::open(&args.bundle, None, args.tokenizer.as_deref())?)
}

fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

/// A clip that is to run, with those of its sentences that can.
struct Clip<'a> {
    video: &'a Video,
    sentences: Vec<Sentence>,
}

impl Clip<'_> {
    fn settings(&self) -> ClipSettings {
        ClipSettings {
            name: self.video.name.clone(),
            frames: self.video.frames.clone(),
            expressions: self.sentences.iter().map(|s| s.text.clone()).collect(),
        }
    }
}

/// The clips to run. Every sentence is encoded here, before anything long begins.
fn clips<'a>(
    args: &CalibrateArgs,
    dataset: &'a Dataset,
    source: &Source,
) -> anyhow::Result<Vec<Clip<'a>>> {
    if args.clips == Some(0) {
        bail!("--clips is 0; ranges need at least one clip");
    }
    let tokenizer = source.tokenizer()?;
    let max_tokens = source.facts().max_tokens;
    let total = dataset.videos.len();
    let mut left_out = Vec::new();
    let mut clips = Vec::new();
    for i in spread(total, args.clips.unwrap_or(total)) {
        let video = &dataset.videos[i];
        let mut sentences = Vec::new();
        for expression in &video.expressions {
            match tokenizer.encode(&expression.text, max_tokens) {
                Ok(tokens) => sentences.push(Sentence {
                    text: expression.text.clone(),
                    tokens,
                }),
                Err(error) => left_out.push(error),
            }
        }
        clips.push(Clip { video, sentences });
    }
    if clips.iter().all(|clip| clip.sentences.is_empty()) {
        bail!(
            "split `{}` of {} has no clip with a usable expression; ranges need at least one",
            args.split,
            args.data.display()
        );
    }
    if let Some(first) = left_out.first() {
        eprintln!(
            "note: {} expressions are left out, the first because {first}",
            left_out.len()
        );
    }
    Ok(clips)
}

/// A calibration under way.
struct Run<'a> {
    dataset: &'a Dataset,
    clips: &'a [Clip<'a>],
    manifest: &'a Manifest,
    files: &'a Files,
}

impl Run<'_> {
    /// Runs the clips that are not done yet.
    fn execute(&self, calibrator: &mut Calibrator, mut state: State) -> anyhow::Result<State> {
        let bar = self.bar(state.clips_done);
        let (mut written, mut cost) = (Instant::now(), Duration::ZERO);
        for clip in &self.clips[state.clips_done..] {
            let frames = self.frames(clip.video)?;
            let seen = &mut state.observations;
            let name = &clip.video.name;
            calibrator.run_clip(name, frames.view(), &clip.sentences, seen, &mut || {
                bar.inc(1);
            })?;
            state.clips_done += 1;
            let last = state.clips_done == self.clips.len();
            if !last && written.elapsed() >= cost * STATE_INTERVAL {
                let begin = Instant::now();
                self.files.keep(&state)?;
                (written, cost) = (Instant::now(), begin.elapsed());
            }
        }
        bar.finish_and_clear();
        Ok(state)
    }

    fn bar(&self, clips_done: usize) -> ProgressBar {
        let steps = |clips: &[Clip]| -> usize {
            let windows = |clip: &Clip| windows(clip.video.frames.len(), self.manifest.frames);
            clips
                .iter()
                .map(|clip| windows(clip).len() * clip.sentences.len())
                .sum()
        };
        let bar = progress::steps(steps(self.clips), "observing");
        bar.inc(steps(&self.clips[..clips_done]) as u64);
        bar
    }

    /// Frames in the size that the bundle takes.
    fn frames(&self, video: &Video) -> anyhow::Result<Array4<u8>> {
        let (height, width) = (self.manifest.height as u32, self.manifest.width as u32);
        let clip = self.dataset.frames(video)?;
        let frames = clip.frames.iter().map(|f| resize(f, width, height));
        Ok(frames_tensor(&frames.collect::<Vec<RgbImage>>()))
    }
}

fn table(args: &CalibrateArgs, bundle: &Bundle, state: &State, method: Method) -> RangeTable {
    let clips = &state.settings.clips;
    RangeTable {
        format_version: FORMAT_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        method,
        checkpoint: bundle.manifest.checkpoint.fingerprint.clone(),
        data: args.data.display().to_string(),
        split: args.split.clone(),
        clips: clips.len(),
        expressions: clips.iter().map(|clip| clip.expressions.len()).sum(),
        stages: state.observations.ranges(method),
    }
}
