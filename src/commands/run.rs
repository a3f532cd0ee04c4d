//! `socc run`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use socc::host::frames::{Frames, Selection};

use super::job::{Job, Sentences, encode, report, since_ms};
use super::{print, print_json};
use crate::args::RunArgs;

/// What `--video` calls standard input.
const PIPE: &str = "-";
/// Seconds without a new picture after which a folder is taken to be full.
const IDLE_S: f64 = 10.0;

pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    check_video(args)?;
    let idle = idle(args)?;
    let selection = selection(args)?;
    let engine = args.engine.open()?;
    let source = args.source.open()?;
    source.check_whole_clips()?;
    let tokens = encode(&source, &args.expressions)?;
    let window = args.window.windowing(&source)?;
    let load_ms = since_ms(start);
    let frames = frames(args, &selection, idle)?;
    let live = frames.is_live();
    let job = Job {
        source: &source,
        engine,
        video: args.video.display().to_string(),
        frames,
        no_resize: args.no_resize,
        deformable: args.deformable.into(),
        window,
        sentences: Sentences {
            texts: &args.expressions,
            tokens: &tokens,
            truth: &[],
        },
        out: &args.output,
        echo: args.json,
        start,
        load_ms,
    };
    let result = job.execute()?;
    match (args.json, live) {
        (false, _) => print(&report(&result, &args.output))?,
        (true, false) => print_json(&result)?,
        // Its lines were printed as they came.
        (true, true) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses options that do not go together, before anything is opened.
fn check_video(args: &RunArgs) -> anyhow::Result<()> {
    let pipe = is_pipe(args);
    if pipe && args.follow {
        bail!("--follow watches a folder and --video {PIPE} is standard input; give one of them");
    }
    if pipe && io::stdin().is_terminal() {
        bail!(
            "--video {PIPE} reads a video from standard input, which is a terminal; pipe one into socc"
        );
    }
    Ok(())
}

fn is_pipe(args: &RunArgs) -> bool {
    args.video.as_os_str() == PIPE
}

/// How long a folder that is followed may stay as it is.
fn idle(args: &RunArgs) -> anyhow::Result<Duration> {
    if args.idle.is_some() && !args.follow {
        bail!("--idle ends --follow, which is not given; add it, or leave --idle out");
    }
    let seconds = args.idle.unwrap_or(IDLE_S);
    match Duration::try_from_secs_f64(seconds) {
        Ok(idle) => Ok(idle),
        Err(_) => bail!("--idle is {seconds}; give a number of seconds from 0 on"),
    }
}

fn frames(args: &RunArgs, selection: &Selection, idle: Duration) -> anyhow::Result<Frames> {
    let frames = match (is_pipe(args), args.follow) {
        (true, _) => Frames::pipe(io::stdin(), selection),
        (false, true) => Frames::follow(&args.video, selection, idle),
        (false, false) => Frames::open(&args.video, selection),
    };
    Ok(frames?)
}

fn selection(args: &RunArgs) -> anyhow::Result<Selection> {
    if args.every == 0 {
        bail!("--every is 0; give 1 to take every frame, 2 to take every other one");
    }
    if args.frames == Some(0) {
        bail!("--frames is 0; a clip needs at least one frame");
    }
    Ok(Selection {
        start: args.start,
        every: args.every,
        frames: args.frames,
    })
}
