//! `socc calibrate`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use image::RgbImage;
use indicatif::ProgressBar;
use ndarray::Array4;
use serde::Serialize;
use socc::bundle::{Bundle, Manifest};
use socc::calibrate::{Calibrator, Options, Sentence, graphs, spread};
use socc::dataset::{Dataset, Video};
use socc::host::resize::{frames_tensor, resize};
use socc::pipeline::windows;
use socc::scratch::{self, Move, Scratch};
use socc::source::Source;
use socc_calibration::method::Method;
use socc_calibration::observations::Observations;
use socc_calibration::state::{ClipSettings, Settings, State};
use socc_calibration::table::{FORMAT_VERSION, RangeTable, StageRanges, TableError};

use super::table::Table;
use super::{print, print_json};
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
    let frames = bundle.manifest.frames;
    let mut calibrator =
        Calibrator::compile(&graphs, frames, engine, options, &mut |_| bar.inc(1))?;
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
    report(args, &table, start.elapsed())?;
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

/// The table, and the state beside it.
struct Files {
    table: PathBuf,
    state: PathBuf,
    folder: PathBuf,
}

impl Files {
    /// Refuses what could only fail at the end.
    fn new(args: &CalibrateArgs) -> anyhow::Result<Self> {
        let table = &args.output;
        if table.exists()
            && let Err(error) = RangeTable::read(table)
            && !matches!(error, TableError::Newer { .. })
        {
            bail!(
                "{} is there already and is no range table; name another file with -o",
                table.display()
            );
        }
        let folder = table.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        if !folder.is_dir() {
            bail!("{} is no folder; create it first", folder.display());
        }
        let mut state = table.clone().into_os_string();
        state.push(".partial");
        let files = Self {
            table: table.clone(),
            state: state.into(),
            folder: folder.to_owned(),
        };
        drop(files.scratch()?);
        Ok(files)
    }

    fn scratch(&self) -> anyhow::Result<Scratch> {
        Scratch::new_in(&self.folder)
            .map_err(|e| anyhow::anyhow!("cannot write in {}: {e}", self.folder.display()))
    }

    /// Where the calibration begins.
    fn begin(&self, begun: State, resume: bool) -> anyhow::Result<State> {
        if resume {
            return Ok(begun.resume(&self.state)?);
        }
        if self.state.exists() {
            bail!(
                "{} holds an interrupted calibration; pass --resume to go on from it, or delete it",
                self.state.display()
            );
        }
        Ok(begun)
    }

    fn keep(&self, state: &State) -> anyhow::Result<()> {
        self.place(&self.state, |path| state.write(path))
    }

    fn finish(&self, table: &RangeTable) -> anyhow::Result<()> {
        self.place(&self.table, |path| table.write(path))?;
        match fs::remove_file(&self.state) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                bail!("cannot delete {}: {e}", self.state.display())
            }
            _ => Ok(()),
        }
    }

    /// Writes a file elsewhere and moves it to `to`, so that an interrupt leaves nothing half-written.
    fn place(
        &self,
        to: &Path,
        write: impl FnOnce(&Path) -> Result<(), TableError>,
    ) -> anyhow::Result<()> {
        let scratch = self.scratch()?;
        let step = Move {
            from: scratch.path().join("new"),
            to: to.to_owned(),
            aside: scratch.path().join("old"),
        };
        write(&step.from)?;
        scratch::replace(&[step])
            .map_err(|(path, e)| anyhow::anyhow!("cannot write {}: {e}", path.display()))
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

#[derive(Serialize)]
struct Summary<'a> {
    output: &'a Path,
    method: Method,
    checkpoint: &'a str,
    clips: usize,
    expressions: usize,
    stages: BTreeMap<&'a str, StageSummary<'a>>,
    seconds: f64,
}

#[derive(Serialize)]
struct StageSummary<'a> {
    /// SHA-256 of the graph's structure.
    graph: &'a str,
    tensors: usize,
    samples: u64,
    /// The tensor with the largest magnitude, and that.
    largest: Option<(&'a str, f32)>,
}

impl<'a> StageSummary<'a> {
    fn new(stage: &'a StageRanges) -> Self {
        let peaks = stage.tensors.iter().map(|(name, r)| (&**name, r.peak()));
        Self {
            graph: &stage.graph,
            tensors: stage.tensors.len(),
            samples: stage.tensors.values().map(|r| r.samples).sum(),
            largest: peaks.max_by(|a, b| a.1.total_cmp(&b.1)),
        }
    }
}

fn report(args: &CalibrateArgs, table: &RangeTable, time: Duration) -> anyhow::Result<()> {
    let stages = table.stages.iter();
    let summary = Summary {
        output: &args.output,
        method: table.method,
        checkpoint: &table.checkpoint,
        clips: table.clips,
        expressions: table.expressions,
        stages: stages.map(|(k, v)| (&**k, StageSummary::new(v))).collect(),
        seconds: time.as_secs_f64(),
    };
    if args.json {
        return print_json(&summary);
    }
    let mut out = Table::new(&["stage", ">tensors", ">values", ">largest", "of"]);
    for (name, stage) in &summary.stages {
        let (tensor, peak) = stage.largest.unwrap_or(("", 0.0));
        let (tensors, samples) = (stage.tensors.to_string(), stage.samples.to_string());
        let name = (*name).to_owned();
        out.row([
            name,
            tensors,
            samples,
            format!("{peak:.4}"),
            tensor.to_owned(),
        ]);
    }
    print(&format!(
        "{}: {} clips, {} expressions, method {}, {:.1} s\n{}",
        args.output.display(),
        table.clips,
        table.expressions,
        table.method,
        summary.seconds,
        out.render()
    ))
}
