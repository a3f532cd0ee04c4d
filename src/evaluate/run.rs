//! Many videos at once: one thread reads and resizes while others compute.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use socc_engines::Engine;
use socc_exporter::model::Deformable;

use super::record::{Record, VideoTimes};
use super::store::Store;
use super::{
    Compiler, EvaluateError, Prepared, Protocol, Result, SizeRule, Texts, VideoScores,
    evaluate_video, prepare,
};
use crate::dataset::{Dataset, DatasetError, Finding, FindingKind, Video};
use crate::pipeline::{Pipeline, Values};
use crate::segment::Windowing;
use crate::source::Source;

/// What to run, and how.
pub struct Job<'a> {
    /// The data set.
    pub dataset: &'a Dataset,
    /// The model.
    pub source: &'a Source,
    /// Runs it.
    pub engine: Arc<dyn Engine>,
    /// Lowering of deformable attention, where a checkpoint is compiled.
    pub deformable: Deformable,
    /// How longer clips are cut, if they are.
    pub window: Option<Windowing>,
    /// Which size the model sees frames in.
    pub rule: SizeRule,
    /// Videos that are computed at the same time, each with pipelines of its own.
    pub jobs: usize,
    /// Pipelines that each of them keeps for clips of other shapes.
    pub pipelines: usize,
    /// Whether anything odd in the data set ends the evaluation.
    pub strict: bool,
}

/// The sentences, shared by all that compute.
struct SharedTexts {
    texts: Texts,
    pipeline: Option<Pipeline>,
}

fn since_ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

impl Job<'_> {
    /// Runs `videos`, puts each into `store` when it is done, and tells `done`, in the order in which they
    /// end. A video that cannot be used at all is noted and has no scores.
    ///
    /// # Errors
    /// The model cannot run; the store cannot be written; the data set is odd and that is refused. What is
    /// in the store by then is whole.
    pub fn run(
        &self,
        videos: &[&Video],
        store: &Store,
        done: &mut dyn FnMut(Record),
    ) -> Result<()> {
        let protocol = Protocol::from(self.dataset.benchmark);
        // Refused before anything long begins.
        self.compiler(protocol)?;
        let texts = Mutex::new(SharedTexts {
            texts: Texts::new(self.source.tokenizer()?, self.source.facts().max_tokens),
            pipeline: None,
        });
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let (ready, prepared) = sync_channel(self.jobs.max(1));
            // The workers alone hold it: without them the reader ends.
            let prepared = Arc::new(Mutex::new(prepared));
            let (results, outcomes) = channel();
            let (texts, stop) = (&texts, &stop);
            scope.spawn(move || {
                for video in videos {
                    let start = Instant::now();
                    let result = prepare(self.dataset, video, self.rule, self.strict);
                    let item = (*video, result, since_ms(start));
                    if stop.load(Ordering::Relaxed) || ready.send(item).is_err() {
                        break;
                    }
                }
            });
            for _ in 0..self.jobs.max(1) {
                let (results, prepared) = (results.clone(), Arc::clone(&prepared));
                scope.spawn(move || self.work(protocol, &prepared, texts, store, stop, &results));
            }
            drop((results, prepared));
            let mut first = Ok(());
            for outcome in outcomes {
                match outcome {
                    Ok(record) => done(record),
                    Err(e) => {
                        stop.store(true, Ordering::Relaxed);
                        if first.is_ok() {
                            first = Err(e);
                        }
                    }
                }
            }
            first
        })
    }

    fn compiler(&self, protocol: Protocol) -> Result<Compiler<'_>> {
        let engine = Arc::clone(&self.engine);
        let compiler = Compiler::new(
            self.source,
            engine,
            self.deformable,
            protocol,
            self.pipelines,
        );
        Ok(compiler?.in_windows(self.window))
    }

    /// Computes whatever is ready until nothing more comes, or something went wrong.
    fn work(
        &self,
        protocol: Protocol,
        prepared: &Mutex<Receiver<(&Video, Result<Prepared>, f64)>>,
        texts: &Mutex<SharedTexts>,
        store: &Store,
        stop: &AtomicBool,
        results: &Sender<Result<Record>>,
    ) {
        let mut compiler = match self.compiler(protocol) {
            Ok(compiler) => compiler,
            Err(e) => {
                // Nobody listens only after another error.
                let _ = results.send(Err(e));
                return;
            }
        };
        loop {
            let next = prepared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            let Ok((video, ready, read_ms)) = next else {
                break;
            };
            // After an error the rest is received only so that the reader ends.
            if stop.load(Ordering::Relaxed) {
                continue;
            }
            let outcome = match ready {
                Ok(ready) => self.one(video, ready, read_ms, &mut compiler, texts, store),
                Err(e) => self.unusable(video, e, store),
            };
            if results.send(outcome).is_err() {
                break;
            }
        }
    }

    /// A video that cannot be used.
    fn unusable(&self, video: &Video, error: EvaluateError, store: &Store) -> Result<Record> {
        let of_the_data = match &error {
            EvaluateError::Dataset(DatasetError::Refused(_)) => false,
            EvaluateError::Dataset(_) | EvaluateError::Host(_) => !self.strict,
            _ => false,
        };
        if !of_the_data {
            return Err(error);
        }
        let record = Record {
            video: video.name.clone(),
            frames: 0,
            height: 0,
            width: 0,
            scores: VideoScores::default(),
            findings: vec![Finding::new(
                FindingKind::UnusableVideo,
                &video.name,
                error.to_string(),
            )],
            times_ms: VideoTimes::default(),
        };
        store.commit(store.begin(&video.name)?, &record)?;
        Ok(record)
    }

    fn one(
        &self,
        video: &Video,
        mut ready: Prepared,
        read: f64,
        compiler: &mut Compiler<'_>,
        texts: &Mutex<SharedTexts>,
        store: &Store,
    ) -> Result<Record> {
        let start = Instant::now();
        let encoded = encode(video, &mut ready.findings, compiler, texts)?;
        let refused = |f: &&Finding| self.strict && f.kind == FindingKind::UnusableExpression;
        if let Some(finding) = ready.findings.iter().find(refused) {
            return Err(DatasetError::Refused(Box::new(finding.clone())).into());
        }
        let mut files = store.begin(&video.name)?;
        let protocol = Protocol::from(self.dataset.benchmark);
        let scores = evaluate_video::<EvaluateError>(
            video, &ready, &encoded, protocol, compiler, &mut files,
        )?;
        let record = Record {
            video: video.name.clone(),
            frames: video.frames.len(),
            height: ready.size.1,
            width: ready.size.0,
            scores,
            findings: ready.findings,
            times_ms: VideoTimes {
                read,
                run: since_ms(start),
                write: files.write_ms,
            },
        };
        store.commit(files, &record)?;
        Ok(record)
    }
}

/// Features of a video's expressions.
fn encode(
    video: &Video,
    findings: &mut Vec<Finding>,
    compiler: &Compiler<'_>,
    texts: &Mutex<SharedTexts>,
) -> Result<Vec<Option<Values>>> {
    let mut shared = texts.lock().unwrap_or_else(PoisonError::into_inner);
    let SharedTexts { texts, pipeline } = &mut *shared;
    let pipeline = match pipeline {
        Some(pipeline) => pipeline,
        None => pipeline.insert(compiler.text_pipeline()?),
    };
    Ok(texts.of(video, pipeline, findings)?)
}

/// Videos of a shard (from 1) that have no record yet.
pub fn pending<'a>(
    dataset: &'a Dataset,
    own: &[&str],
    done: impl Fn(&str) -> bool,
) -> Vec<&'a Video> {
    let wanted: BTreeSet<&str> = own.iter().copied().filter(|v| !done(v)).collect();
    let videos = dataset.videos.iter();
    videos
        .filter(|v| wanted.contains(v.name.as_str()))
        .collect()
}
