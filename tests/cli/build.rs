//! `socc build`: bad input, and the real builder of TensorRT-RTX where this build has it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::args;
use crate::support::{json, model, refused};

/// Exports the small model.
pub fn bundle(lowering: &str) -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("bundle");
    let options = [
        "--frames",
        "8",
        "--size",
        "96x160",
        "--deformable",
        lowering,
    ]
    .map(String::from);
    json(args!["export", model(), options, "-o", &path, "--json"]);
    (temp, path)
}

#[test]
fn what_cannot_be_built_is_refused_in_one_sentence() {
    let (temp, bundle) = bundle("grid-sample");
    let out = temp.path().join("engines");
    let rtx = ["--backend", "tensorrt-rtx"].map(String::from);
    for (sm, what) in [
        ("87", "SM 87 (a Jetson)"),
        ("86,90", "SM 90 (an H100 or H200)"),
    ] {
        refused(
            args!["build", &bundle, "-o", &out, rtx.clone(), "--sm", sm],
            &[
                what,
                "builds for 75, 80, 86, 89, 120, 121",
                "--backend trtexec",
            ],
        );
    }
    refused(
        args![
            "build",
            &bundle,
            "-o",
            &out,
            rtx.clone(),
            "--stage",
            "backbone"
        ],
        &["no stage `backbone`", "visual_backbone"],
    );
    refused(
        args!["build", temp.path(), "-o", &out, rtx.clone()],
        &["manifest.json", "run `socc export` again"],
    );
    refused(
        args![
            "build",
            &bundle,
            "-o",
            &out,
            "--backend",
            "trtexec",
            "--sm",
            "87"
        ],
        &["builds for the GPU that is present", "--sm 87"],
    );
    refused(
        args!["build", &bundle, "--check", "--backend", "trtexec"],
        &["--check"],
    );
    let absent = temp.path().join("libtensorrt_rtx.so.1");
    let part = match cfg!(all(feature = "tensorrt-rtx", not(feature = "tensorrt"))) {
        true => "is not a file; run `socc setup tensorrt-rtx`",
        false => "--features tensorrt-rtx",
    };
    refused(
        args![
            "build",
            &bundle,
            "-o",
            &out,
            rtx,
            "--tensorrt-library",
            &absent
        ],
        &["engine `tensorrt-rtx` cannot be used", part],
    );
    assert!(!out.exists());
}

/// Changes a JSON file.
pub fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

#[cfg(all(feature = "tensorrt-rtx", not(feature = "tensorrt")))]
mod real {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::precision::{PRECISIONS, Place};
    use crate::support::{is_ci, socc, stderr};

    const STAGES: [&str; 6] = [
        "text_encoder",
        "visual_backbone",
        "fusion",
        "transformer",
        "temporal",
        "mask_head",
    ];

    /// Whether the library is there. On a build server it must be.
    fn present() -> bool {
        let status = json(["doctor", "--json"]);
        let mut all = status.as_array().unwrap().iter();
        // Without a GPU the engine is absent, but its builder is not.
        let present = all.any(|e| e["name"] == "tensorrt-rtx" && e["version"].is_string());
        let advice = "TensorRT-RTX is missing; run `socc setup tensorrt-rtx`";
        assert!(present || !is_ci(), "{advice}");
        if !present {
            eprintln!("skipped: {advice}");
        }
        present
    }

    fn build(bundle: &Path, out: &Path, more: &[&str]) -> Value {
        let more: Vec<&str> = [&["--backend", "tensorrt-rtx", "--json"], more].concat();
        json(
            args!["build", bundle, "-o", out]
                .into_iter()
                .chain(more.into_iter().map(Into::into)),
        )
    }

    fn stages(engines: &Value) -> Vec<&str> {
        let stages = engines["stages"].as_array().unwrap().iter();
        stages.map(|s| s["name"].as_str().unwrap()).collect()
    }

    /// A bundle whose stage has another operator in one's place, of a name of equal length, in file and manifest.
    fn with_operator(bundle: &Path, stage: &str, from: &str, to: &str) {
        let name = format!("{stage}.onnx");
        let mut bytes = fs::read(bundle.join(&name)).unwrap();
        assert_eq!(from.len(), to.len());
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from.as_bytes() {
                bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
        fs::write(bundle.join(&name), &bytes).unwrap();
        edit(&bundle.join("manifest.json"), |manifest| {
            let stages = manifest["stages"].as_array_mut().unwrap();
            let entry = stages.iter_mut().find(|s| s["name"] == stage).unwrap();
            let sum: String = Sha256::digest(&bytes)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            entry["files"][0]["sha256"] = sum.into();
        });
    }

    fn modified(path: &Path) -> std::time::SystemTime {
        fs::metadata(path).unwrap().modified().unwrap()
    }

    #[test]
    fn every_stage_builds_for_three_gpus_in_both_lowerings() {
        if !present() {
            return;
        }
        for lowering in ["grid-sample", "gather"] {
            let (temp, bundle) = bundle(lowering);
            let out = temp.path().join("engines");
            let engines = build(&bundle, &out, &["--sm", "86,89,120"]);
            assert_eq!(stages(&engines), STAGES);
            assert_eq!(engines["options"]["sms"], serde_json::json!([86, 89, 120]));
            assert!(
                engines["tensorrt_version"]
                    .as_str()
                    .unwrap()
                    .starts_with("1.7.")
            );
            for entry in engines["stages"].as_array().unwrap() {
                let plan = fs::read(out.join(entry["plan"]["name"].as_str().unwrap())).unwrap();
                let sum: String = Sha256::digest(&plan)
                    .iter()
                    .map(|b| format!("{b:02x}"))
                    .collect();
                assert_eq!(entry["plan"]["sha256"], sum.as_str());
                // The mark at the head of TensorRT-RTX's plans.
                assert_eq!(&plan[..4], b"vtrt", "{entry}");
            }
            let text = &engines["stages"][0]["profile"];
            assert_eq!(text["min"], 2);
            assert!(engines["stages"][1]["profile"].is_null());
        }
    }

    #[test]
    fn every_precision_builds_for_three_gpus_in_both_lowerings() {
        if !present() {
            return;
        }
        for lowering in ["grid-sample", "gather"] {
            let place = Place::new(lowering);
            let table = place.table();
            for precision in PRECISIONS {
                let lower = ["--precision", precision, "--ranges"];
                place.export(
                    precision,
                    &[&lower[..], &[table.to_str().unwrap()]].concat(),
                );
                let out = place.path(&format!("{precision}-engines"));
                // The other stages are the same in both.
                let (some, expected) = match lowering {
                    "gather" => (&["--stage", "transformer"][..], &STAGES[3..4]),
                    _ => (&[][..], &STAGES[..]),
                };
                let engines = build(&place.path(precision), &out, some);
                assert_eq!(stages(&engines), expected);
                for entry in engines["stages"].as_array().unwrap() {
                    assert_eq!(entry["precision"], precision);
                }
            }
        }
    }

    /// In one precision, on a build server: it takes minutes and gigabytes.
    #[test]
    fn the_full_size_builds() {
        if !is_ci() {
            eprintln!("skipped: set CI=1 to build the full-size model");
            return;
        }
        if !present() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let (checkpoint, bundle) = (
            temp.path().join("full.safetensors"),
            temp.path().join("full"),
        );
        let done = socc(args![
            "synth",
            "--backbone",
            "video-swin-t",
            "-o",
            &checkpoint
        ]);
        assert!(done.status.success(), "{}", stderr(&done));
        let done = socc(args![
            "export",
            &checkpoint,
            "-o",
            &bundle,
            "--precision",
            "fp16"
        ]);
        assert!(done.status.success(), "{}", stderr(&done));
        fs::remove_file(&checkpoint).unwrap();
        let out = temp.path().join("engines");
        let engines = build(&bundle, &out, &["--sm", "89"]);
        assert_eq!(stages(&engines), STAGES);
    }

    #[test]
    fn the_parser_takes_every_operator() {
        if !present() {
            return;
        }
        let (_temp, bundle) = bundle("gather");
        let check = json(args![
            "build",
            &bundle,
            "--check",
            "--backend",
            "tensorrt-rtx",
            "--json"
        ]);
        for line in check.as_array().unwrap() {
            assert_eq!(line["supported"], true, "{line}");
            for row in line["operators"].as_array().unwrap() {
                assert_eq!(row["verdict"], "supported", "{line}");
            }
        }
    }

    #[test]
    fn a_second_build_takes_what_is_there_and_nothing_stale() {
        if !present() {
            return;
        }
        let (temp, bundle) = bundle("grid-sample");
        let out = temp.path().join("engines");
        let small = ["--stage", "fusion", "--stage", "mask_head", "--sm", "89"];
        let first = build(&bundle, &out, &small);
        let (fusion, mask) = (out.join("fusion.plan"), out.join("mask_head.plan"));
        let times = [modified(&fusion), modified(&mask)];
        assert_eq!(build(&bundle, &out, &small), first);
        assert_eq!([modified(&fusion), modified(&mask)], times);
        // A damaged plan is built again, and it alone.
        let mut bytes = fs::read(&fusion).unwrap();
        bytes[100] ^= 1;
        fs::write(&fusion, bytes).unwrap();
        let second = build(&bundle, &out, &small);
        assert_eq!(modified(&mask), times[1]);
        assert_eq!(second["stages"][1], first["stages"][1]);
        assert_ne!(
            second["stages"][0]["build_seconds"],
            first["stages"][0]["build_seconds"]
        );
        // Another option leaves nothing of before.
        let third = build(&bundle, &out, &["--stage", "fusion", "--sm", "86"]);
        assert_eq!(stages(&third), ["fusion"]);
        assert_ne!(third["stages"][0]["key"], first["stages"][0]["key"]);
        assert!(!mask.exists());
    }

    #[test]
    fn a_refused_node_is_named_with_its_module_and_reason() {
        if !present() {
            return;
        }
        let (temp, bundle) = bundle("grid-sample");
        let out = temp.path().join("engines");
        with_operator(&bundle, "fusion", "Softmax", "NonZero");
        let rtx = ["--backend", "tensorrt-rtx"].map(String::from);
        let parts = [
            "stage `fusion`",
            "/NonZero",
            "(NonZero, module `",
            "NonZero plugin creator",
        ];
        refused(args!["build", &bundle, "-o", &out, rtx.clone()], &parts);
        assert!(!out.exists());
        let output = socc(args!["build", &bundle, "--check", rtx, "--stage", "fusion"]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let said = String::from_utf8(output.stdout).unwrap();
        let mut lines = said.lines().filter(|l| l.contains("NonZero"));
        assert!(lines.next().unwrap().ends_with("refused"), "{said}");
        assert!(lines.next().unwrap().contains("NonZero plugin"), "{said}");
    }
}
