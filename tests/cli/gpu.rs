//! Engines that need a GPU, on a machine without one; and the plans that they run, as far as that needs none.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use socc::bundle::Bundle;
use socc::engines::{self, Job, Setting};
use socc_engines::PlanTarget;
use socc_engines::tensorrt::{BuildOptions, Sm};
use tempfile::TempDir;

use crate::args;
use crate::support::{asset, export_args, json, refused, socc};

const ENGINES: [&str; 4] = [
    "tensorrt-rtx",
    "tensorrt",
    "onnxruntime:cuda",
    "onnxruntime:tensorrt",
];

fn doctor(name: &str) -> Value {
    let status = json(["doctor", "--json"]);
    let mut all = status.as_array().unwrap().iter();
    all.find(|e| e["name"] == name).unwrap().clone()
}

/// What an engine that cannot be used here says, beside doctor's own words.
fn reason(name: &str) -> &'static str {
    let has_rtx = cfg!(feature = "tensorrt-rtx") && !cfg!(feature = "tensorrt");
    let has_library = |name| !doctor(name)["version"].is_null();
    match name {
        "tensorrt-rtx" if !has_rtx => "`--features tensorrt-rtx`",
        "tensorrt-rtx" if !has_library(name) => "`socc setup tensorrt-rtx`",
        "tensorrt" if !cfg!(feature = "tensorrt") => "`--features tensorrt`",
        "tensorrt" if !has_library(name) => "install TensorRT 11",
        "tensorrt-rtx" | "tensorrt" => "no CUDA device",
        _ => "onnxruntime-gpu",
    }
}

fn run(engine: &str, source: &Path, out: &Path) -> Vec<std::ffi::OsString> {
    args![
        "run",
        source,
        "--video",
        &asset("clip/frames"),
        "-e",
        "the white object",
        "--engine",
        engine,
        "-o",
        out
    ]
}

#[test]
fn without_a_gpu_each_engine_ends_in_one_sentence() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    for engine in ENGINES {
        let status = doctor(engine);
        if status["present"] == true {
            eprintln!("skipped: `{engine}` is usable here");
            continue;
        }
        let install = status["install"].as_str().unwrap();
        let parts = [
            &format!("engine `{engine}` cannot be used"),
            reason(engine),
            install,
        ];
        refused(run(engine, &asset("model.safetensors"), &out), &parts);
        assert!(!out.exists());
    }
}

#[test]
fn a_misspelt_engine_gets_the_nearest_name() {
    let temp = tempfile::tempdir().unwrap();
    for (name, nearest) in [
        ("tensorrt-rx", "did you mean `tensorrt-rtx`?"),
        ("onnxruntime-cuda", "did you mean `onnxruntime:cuda`?"),
        ("ort:tensor-rt", "did you mean `ort:tensorrt`?"),
    ] {
        let source = asset("model.safetensors");
        refused(run(name, &source, &temp.path().join("out")), &[nearest]);
    }
}

/// A small bundle.
fn bundle() -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("bundle");
    let export = export_args(&path, "1", "64x64");
    assert!(socc(export).status.success());
    (temp, path)
}

/// Fills a folder with files in plans' places, for SM 89.
fn fill(bundle: &Bundle, out: &Path) {
    let job = Job {
        bundle,
        stages: engines::chosen(bundle, &[]).unwrap(),
        setting: Setting {
            tool_version: "1".into(),
            backend: "tensorrt-rtx".into(),
            tensorrt_version: "1.7.1.116".into(),
            os: std::env::consts::OS.into(),
            arch: std::env::consts::ARCH.into(),
            options: BuildOptions {
                sms: vec![Sm(89)],
                ..BuildOptions::default()
            },
        },
    };
    let made = engines::build(&job, out, &mut |stage, _, path| {
        fs::write(path, &stage.name).unwrap();
        Ok(())
    });
    made.unwrap();
}

fn target(folder: Option<&Path>) -> PlanTarget {
    PlanTarget {
        backend: "tensorrt-rtx",
        tensorrt_version: "1.7.1.116".into(),
        sm: Sm(89),
        folder: folder.map(Path::to_owned),
    }
}

#[test]
fn plans_are_those_of_the_bundles_own_graphs() {
    let (temp, path) = bundle();
    let bundle = Bundle::open(&path).unwrap();
    let refusal = |bundle: &Bundle, target: &PlanTarget| {
        engines::plans(bundle, target).unwrap_err().to_string()
    };
    let absent = refusal(&bundle, &target(None));
    for part in ["there are no engines in", "socc build", "--engines"] {
        assert!(absent.contains(part), "{absent}");
    }

    // Beside the graphs, and elsewhere.
    fill(&bundle, &path.join("engines"));
    let elsewhere = temp.path().join("elsewhere");
    fill(&bundle, &elsewhere);
    for (target, folder) in [
        (target(None), path.join("engines")),
        (target(Some(&elsewhere)), elsewhere.clone()),
    ] {
        let plans = engines::plans(&bundle, &target).unwrap();
        let stages = bundle.manifest.stages.iter();
        let expected = stages.map(|s| folder.join(format!("{}.plan", s.name)));
        assert_eq!(plans, expected.collect::<Vec<_>>());
    }

    let mut other = Bundle::open(&path).unwrap();
    other.manifest.stages[2].files[1].sha256 = "0".repeat(64);
    let said = refusal(&other, &target(None));
    assert!(
        said.contains("stage `fusion`") && said.contains("another graph"),
        "{said}"
    );
    let mut older = target(None);
    older.sm = Sm(75);
    assert!(refusal(&bundle, &older).contains("--sm 75"));
}
