//! `socc run`.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use socc::host::frames::{Clip, Selection};
use socc::host::resize::detr_size;
use socc::source::Source;

use super::job::{Job, Sentences, encode, report, since_ms};
use super::{print, print_json};
use crate::args::{RunArgs, Size};

pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let selection = selection(args)?;
    let engine = args.engine.open()?;
    let source = args.source.open()?;
    source.check_whole_clips()?;
    let tokens = encode(&source, &args.expressions)?;
    let load_ms = since_ms(start);
    let reading = Instant::now();
    let clip = Clip::load(&args.video, &selection)?;
    let job = Job {
        source: &source,
        engine,
        video: args.video.display().to_string(),
        size: model_size(&source, &clip, args.no_resize)?,
        clip: &clip,
        deformable: args.deformable.into(),
        window: args.window.windowing(&source)?,
        sentences: Sentences {
            texts: &args.expressions,
            tokens: &tokens,
            truth: &[],
        },
        out: &args.output,
        start,
        load_ms,
        read_ms: since_ms(reading),
    };
    let result = job.execute()?;
    if args.json {
        print_json(&result)?;
    } else {
        print(&report(&result, &args.output))?;
    }
    Ok(ExitCode::SUCCESS)
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

/// Size that the model sees: a bundle's own, else by the official rule, or the frames' own.
fn model_size(source: &Source, clip: &Clip, no_resize: bool) -> anyhow::Result<Size> {
    let (width, height) = clip.size();
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
