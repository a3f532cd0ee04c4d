//! `socc demo`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use image::GrayImage;
use include_dir::{Dir, include_dir};
use serde::Deserialize;
use socc::host::frames::{Clip, Selection, picture};
use socc::scratch::Scratch;
use socc::source::Source;

use super::job::{Job, Sentences, encode, report, since_ms};
use super::{print, print_json};
use crate::args::DemoArgs;

/// The small trained model and its clip.
static ASSETS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/demo");

#[derive(Deserialize)]
struct ClipJson {
    expressions: Vec<Expression>,
}

#[derive(Deserialize)]
struct Expression {
    text: String,
    masks: String,
}

pub fn demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let engine = args.engine.open()?;
    let temp = Scratch::new().context("the system has no place for temporary files")?;
    let dir = temp.path();
    ASSETS
        .extract(dir)
        .context("the demonstration model cannot be unpacked into the temporary folder")?;
    let (config, tokenizer) = (dir.join("config.yaml"), dir.join("roberta"));
    let checkpoint = dir.join("model.safetensors");
    let source = Source::open(&checkpoint, Some(&config), Some(&tokenizer))?;
    let json = std::fs::read(dir.join("clip/clip.json"))?;
    let json: ClipJson = serde_json::from_slice(&json)?;
    let texts: Vec<String> = json.expressions.iter().map(|e| e.text.clone()).collect();
    let tokens = encode(&source, &texts)?;
    let load_ms = since_ms(start);

    let clip = Clip::load(&dir.join("clip/frames"), &Selection::default())?;
    let truth = json.expressions.iter();
    let truth = truth.map(|e| masks(&dir.join("clip").join(&e.masks), &clip));
    let truth: Vec<Vec<GrayImage>> = truth.collect::<anyhow::Result<_>>()?;
    let job = Job {
        source: &source,
        engine,
        video: "the clip that comes along".to_owned(),
        frames: clip.into(),
        no_resize: true,
        deformable: Default::default(),
        window: None,
        sentences: Sentences {
            texts: &texts,
            tokens: &tokens,
            truth: &truth,
        },
        out: &args.output,
        echo: false,
        start,
        load_ms,
    };
    let result = job.execute()?;
    if args.json {
        print_json(&result)?;
    } else {
        print(&report(&result, &args.output))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn masks(folder: &Path, clip: &Clip) -> anyhow::Result<Vec<GrayImage>> {
    let names = clip.names.iter();
    let masks = names.map(|name| picture(&folder.join(format!("{name}.png"))));
    masks
        .map(|mask| Ok(image::DynamicImage::from(mask?).into_luma8()))
        .collect()
}
