use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::GrayImage;
use socc_engines::{Options, engine};

use super::*;
use crate::host::masks::iou;
use crate::source::Source;

/// What the official model and metric say of a data set.
#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "J")]
    j: f64,
    #[serde(rename = "F")]
    f: f64,
    expressions: usize,
    videos: BTreeMap<String, BTreeMap<String, Expected>>,
}

#[derive(Deserialize)]
struct Expected {
    j: f64,
    f: f64,
    query: usize,
}

/// Compares masks with reference masks as they come.
struct Masks<'a> {
    folder: &'a Path,
    frames: usize,
    worst: f64,
}

impl Listener<EvaluateError> for Masks<'_> {
    fn mask(
        &mut self,
        video: &Video,
        expression: &Expression,
        frame: usize,
        mask: &GrayImage,
    ) -> Result<()> {
        let folder = self.folder.join(&video.name).join(&expression.id);
        let path = folder.join(format!("{}.png", video.frames[frame]));
        let reference = image::open(&path).unwrap().into_luma8();
        self.worst = self.worst.min(iou(mask, &reference));
        self.frames += 1;
        Ok(())
    }
}

/// Evaluates a data set whose clips have one shape and compares it with the reference beside it.
fn check(name: &str, model: [PathBuf; 3], dataset: &Dataset, shape: [usize; 3], truth: &Path) {
    let [checkpoint, config, roberta] = model;
    let source = Source::open(&checkpoint, Some(&config), Some(&roberta)).unwrap();
    let backend = engine(name, &Options::default()).unwrap();
    let request = source.request(shape[0], shape[1], shape[2]);
    let mut pipeline = source.compile(backend, &request, &mut |_| ()).unwrap();
    let mut texts = Texts::new(source.tokenizer().unwrap(), source.facts().max_tokens);
    let folder = truth.join("reference_masks");
    let mut masks = Masks {
        folder: &folder,
        frames: 0,
        worst: 1.0,
    };
    let rule = SizeRule::from(source.facts());
    let got = evaluate(dataset, &mut pipeline, &mut texts, rule, &mut masks).unwrap();

    let json = std::fs::read(truth.join("valid.reference.json")).unwrap();
    let reference: Reference = serde_json::from_slice(&json).unwrap();
    assert_eq!(got.expressions, reference.expressions);
    for (video, expressions) in &reference.videos {
        for (id, expected) in expressions {
            let scored = &got.videos[video][id];
            assert_eq!(scored.query, Some(expected.query), "{name} {video} {id}");
            let near = |got: Option<f64>, expected: f64| (got.unwrap() - expected).abs() < 1e-4;
            let near = near(scored.j, expected.j) && near(scored.f, expected.f);
            let (j, f) = (expected.j, expected.f);
            assert!(
                near,
                "{name} {video} {id}: {scored:?}, expected {j} and {f}"
            );
        }
    }
    assert!((got.j.unwrap() - reference.j).abs() < 1e-5);
    assert!((got.f.unwrap() - reference.f).abs() < 1e-5);
    assert!(masks.worst >= 0.999, "{name}: {}", masks.worst);
    let frames = dataset
        .videos
        .iter()
        .map(|v| v.frames.len() * v.expressions.len());
    assert_eq!(masks.frames, frames.sum::<usize>());
    let all = pipeline.take_runs();
    let runs = |stage: &str| {
        let number = pipeline.stages().position(|(name, _)| name == stage);
        all.iter().filter(|run| Some(run.stage) == number).count()
    };
    let mut distinct: Vec<&str> = Vec::new();
    for video in &dataset.videos {
        distinct.extend(video.expressions.iter().map(|e| e.text.as_str()));
    }
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(runs("text_encoder"), distinct.len());
    assert_eq!(runs("visual_backbone"), dataset.videos.len());
    assert_eq!(runs("mask_head"), got.expressions);
    println!(
        "{name}: J {:.6}, F {:.6}, worst mask IoU {:.6} over {} masks",
        got.j.unwrap(),
        got.f.unwrap(),
        masks.worst,
        masks.frames
    );
}

/// The trained model on a whole split, where `SOCC_GOLDEN` names the folder that holds both; on the
/// engines in `SOCC_EVAL_ENGINES` (names with commas; by default the embedded one).
#[test]
fn a_whole_split_scores_as_the_official_model() {
    let Some(root) = std::env::var_os("SOCC_GOLDEN") else {
        println!("SKIPPED: SOCC_GOLDEN is not set");
        return;
    };
    let root = PathBuf::from(root).join("shapes");
    let set = root.join("dataset");
    let dataset = Dataset::open(&set, "valid").unwrap();
    assert!(dataset.findings.iter().all(|f| !f.kind.is_defect()));
    let engines = std::env::var("SOCC_EVAL_ENGINES").unwrap_or("embedded".to_owned());
    for name in engines.split(',') {
        let model = ["checkpoint.tar", "config.yaml", "roberta"].map(|n| root.join(n));
        check(name, model, &dataset, [8, 96, 160], &set);
    }
}
