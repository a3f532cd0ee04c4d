//! Exports in lower precision, `socc sensitivity`, and what both refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::args;
use crate::onnx_check::python;
use crate::support::{
    asset, case, engines, json as run_json, may_download, model, refused, root, socc, stderr,
};

/// The small model for the golden clip of three frames, and ranges measured on the clip that comes along.
pub struct Place {
    dir: tempfile::TempDir,
    lowering: &'static str,
}

impl Place {
    pub fn new(lowering: &'static str) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
            lowering,
        };
        place.export("fp32", &[]);
        place.dataset();
        place.calibrate();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, name: &str, extra: &[&str]) -> Vec<std::ffi::OsString> {
        let mut all = args![
            "export",
            model(),
            "-o",
            &self.path(name),
            "--frames",
            "3",
            "--size",
            "96x160",
            "--deformable",
            self.lowering,
            "--json"
        ];
        all.extend(extra.iter().map(Into::into));
        all
    }

    pub fn export(&self, name: &str, extra: &[&str]) -> Value {
        run_json(self.command(name, extra))
    }

    /// The clip that comes along as a data set of one annotated video, in the layout of Ref-YouTube-VOS.
    fn dataset(&self) {
        let clip: Value =
            serde_json::from_slice(&fs::read(asset("clip/clip.json")).unwrap()).unwrap();
        let frames = self.path("data/calib/JPEGImages/clip");
        let masks = self.path("data/calib/Annotations/clip");
        fs::create_dir_all(&frames).unwrap();
        fs::create_dir_all(&masks).unwrap();
        let names: Vec<String> = (0..3).map(|i| format!("{i:05}")).collect();
        for name in &names {
            let file = format!("{name}.png");
            fs::copy(asset("clip/frames").join(&file), frames.join(&file)).unwrap();
            // One object; any value above 0 is it.
            let mask = image::open(asset("clip/masks/0").join(&file))
                .unwrap()
                .into_luma8();
            write_indexed(&masks.join(&file), &mask);
        }
        let text = clip["expressions"][0]["text"].as_str().unwrap();
        let expressions = json!({"0": {"exp": text, "obj_id": "1"}});
        let videos = json!({"videos": {"clip": {"frames": names, "expressions": expressions}}});
        let folder = self.path("data/meta_expressions/calib");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("meta_expressions.json"), videos.to_string()).unwrap();
    }

    fn calibrate(&self) {
        let output = socc(args![
            "calibrate",
            &self.path("fp32"),
            "--data",
            &self.path("data"),
            "--split",
            "calib",
            "-o",
            &self.table()
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    pub fn table(&self) -> PathBuf {
        self.path("table.json")
    }
}

/// Writes a mask as a palette picture with the object as index 1.
fn write_indexed(path: &Path, mask: &image::GrayImage) {
    let file = fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, mask.width(), mask.height());
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(vec![0, 0, 0, 236, 95, 103]);
    let indices: Vec<u8> = mask.as_raw().iter().map(|v| u8::from(*v > 0)).collect();
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&indices)
        .unwrap();
}

pub const PRECISIONS: [&str; 3] = ["fp16", "int8", "int8-fp16"];

/// Engines that can run a bundle of this precision; tract has no Q/DQ with float16 scales.
fn able(precision: &str) -> Vec<&'static str> {
    let mut able = engines();
    able.retain(|engine| *engine != "tract" || precision != "int8-fp16");
    able
}

#[test]
fn lowered_bundles_give_the_official_masks_on_every_engine() {
    let place = Place::new("gather");
    let table = place.table();
    for precision in PRECISIONS {
        let manifest = place.export(
            precision,
            &[
                "--precision",
                precision,
                "--ranges",
                table.to_str().unwrap(),
            ],
        );
        assert_eq!(manifest["precision"], precision);
        for engine in able(precision) {
            let report = run_json(args![
                "verify",
                &place.path(precision),
                "--golden",
                &case("clip"),
                "--engine",
                engine,
                "--json"
            ]);
            assert_eq!(report["passed"], true, "{precision} {engine}");
            for expression in report["expressions"].as_array().unwrap() {
                let iou = expression["mask_iou"].as_f64().unwrap();
                let least = if precision == "fp16" { 0.995 } else { 0.98 };
                assert!(iou >= least, "{precision} {engine}: {iou}");
            }
        }
    }
}

/// Weights, scales, types and semantics before NumPy, ONNX's checker and its reference evaluator.
#[test]
fn passes_do_what_numpy_and_onnx_say() {
    if !may_download() {
        return;
    }
    let python = python();
    for lowering in ["grid-sample", "gather"] {
        let place = Place::new(lowering);
        let table = place.table();
        for precision in PRECISIONS {
            place.export(
                precision,
                &[
                    "--precision",
                    precision,
                    "--ranges",
                    table.to_str().unwrap(),
                ],
            );
            let mut check = Command::new(&python);
            check.arg(root().join("tests/cli/precision_check.py"));
            check.arg(place.path("fp32")).arg(place.path(precision));
            if precision != "fp16" {
                check.arg(&table);
            }
            let checked = check.output().unwrap();
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{lowering} {precision}: {said}");
            let checked = Command::new(&python)
                .arg(root().join("tests/cli/onnx_check.py"))
                .arg(place.path(precision))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{lowering} {precision}: {said}");
        }
    }
}

#[test]
fn stages_get_their_own_precision_and_reasons_are_told() {
    let place = Place::new("grid-sample");
    let manifest = place.export(
        "mixed",
        &[
            "--precision",
            "transformer=fp16,mask_head=fp16",
            "--keep-fp32",
            "spatial_decoder.lay1/",
        ],
    );
    assert_eq!(manifest["precision"], "mixed");
    let stages = manifest["stages"].as_array().unwrap();
    let stage = |name: &str| stages.iter().find(|s| s["name"] == name).unwrap();
    assert_eq!(stage("text_encoder")["precision"], "fp32");
    assert_eq!(stage("text_encoder")["lowering"], Value::Null);
    let islands = |name: &str| {
        stage(name)["lowering"]["islands"]
            .as_array()
            .unwrap()
            .clone()
    };
    let island = |name: &str, node: &str| {
        let all = islands(name);
        let has = |i: &&Value| i["nodes"].as_array().unwrap().iter().any(|n| n == node);
        let found = all
            .iter()
            .find(has)
            .unwrap_or_else(|| panic!("{node}: {all:?}"));
        found["reason"].as_str().unwrap().to_owned()
    };
    assert!(island("mask_head", "spatial_decoder.lay1/Conv").contains("--keep-fp32"));
    assert!(island("mask_head", "dynamic_mask_head/MatMul").contains("pixels"));
    let norm = "transformer.encoder.layers.0.norm1/LayerNormalization";
    assert!(island("transformer", norm).contains("sums"));
}

#[test]
fn a_search_writes_a_plan_that_exports_take() {
    let place = Place::new("grid-sample");
    let plan = place.path("plan.json");
    let report = run_json(args![
        "sensitivity",
        &place.path("fp32"),
        "--data",
        &place.path("data"),
        "--split",
        "calib",
        "--ranges",
        &place.table(),
        "--budget",
        "100",
        "--stage",
        "mask_head",
        "-o",
        &plan,
        "--json"
    ]);
    let groups = report["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!(groups[0]["group"], "spatial_decoder");
    assert!(groups[0]["loss"]["mask_change"].as_f64().unwrap() < 0.05);
    assert!(!place.path("plan.json.partial").exists());
    let manifest = place.export(
        "planned",
        &[
            "--precision-plan",
            plan.to_str().unwrap(),
            "--ranges",
            place.table().to_str().unwrap(),
        ],
    );
    assert_eq!(manifest["stages"][5]["precision"], "int8");
    assert_eq!(manifest["stages"][0]["precision"], "fp32");
    // Nothing fits a budget of nothing, unless it costs nothing.
    let mut kept: Value = serde_json::from_slice(&fs::read(&plan).unwrap()).unwrap();
    kept["stages"]["mask_head"]["keep"] = json!(["spatial_decoder"]);
    fs::write(&plan, kept.to_string()).unwrap();
    let manifest = place.export(
        "kept",
        &[
            "--precision-plan",
            plan.to_str().unwrap(),
            "--ranges",
            place.table().to_str().unwrap(),
        ],
    );
    assert_eq!(manifest["stages"][5]["lowering"], Value::Null);
}

#[test]
fn what_cannot_be_lowered_is_refused() {
    let place = Place::new("grid-sample");
    let table = place.table();
    let table = table.to_str().unwrap();
    let out = place.path("refused");
    let refuse = |extra: &[&str], parts: &[&str]| {
        refused(place.command("refused", extra), parts);
        assert!(!out.exists());
    };
    refuse(
        &["--precision", "int8"],
        &["needs measured ranges", "socc calibrate"],
    );
    refuse(
        &["--precision", "int8", "--ranges", "none.json"],
        &["none.json", "cannot read"],
    );
    refuse(
        &["--precision", "fp16", "--keep-fp32", "("],
        &["--keep-fp32", "regular expression"],
    );
    let broken = place.path("broken.json");
    let text = fs::read_to_string(place.table()).unwrap();
    fs::write(&broken, &text[..text.len() / 2]).unwrap();
    let broken = broken.to_str().unwrap();
    refuse(
        &["--precision", "int8", "--ranges", broken],
        &["broken.json is no range table"],
    );
    refuse(&["--precision-plan", table], &["is no precision plan"]);
    // Another clip length is another graph.
    let mut other = place.command("refused", &["--precision", "int8", "--ranges", table]);
    let frames = other.iter().position(|a| a == "3").unwrap();
    other[frames] = "2".into();
    refused(
        other,
        &["another graph of stage `visual_backbone`", "socc calibrate"],
    );
    // And another checkpoint another model.
    let foreign = text.replacen("\"checkpoint\": \"", "\"checkpoint\": \"0", 1);
    let path = place.path("foreign.json");
    fs::write(&path, foreign).unwrap();
    let path = path.to_str().unwrap();
    refuse(
        &["--precision", "int8", "--ranges", path],
        &["another checkpoint"],
    );
    let unknown = socc(place.command("refused", &["--precision", "backbone=fp16"]));
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stderr(&unknown).contains("there is no stage `backbone`"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn searches_that_would_tell_nothing_are_refused() {
    let place = Place::new("grid-sample");
    let (bundle, data, plan) = (
        place.path("fp32"),
        place.path("data"),
        place.path("plan.json"),
    );
    let search = |extra: &[&str], parts: &[&str]| {
        let mut all = args![
            "sensitivity",
            &bundle,
            "--data",
            &data,
            "--split",
            "calib",
            "-o",
            &plan
        ];
        all.extend(extra.iter().map(Into::into));
        refused(all, parts);
    };
    let table = place.table();
    let table = table.to_str().unwrap();
    search(&["--budget", "1"], &["needs measured ranges"]);
    search(
        &["--budget", "-1", "--ranges", table],
        &["--budget", "0 or more"],
    );
    search(
        &["--budget", "1", "--precision", "fp16"],
        &["widens float16", "onnxruntime"],
    );
    search(
        &["--budget", "1", "--precision", "fp32"],
        &["loses nothing"],
    );
    search(
        &["--budget", "1", "--ranges", table, "--stage", "fuse"],
        &["no stage `fuse`"],
    );
    search(
        &["--budget", "1", "--ranges", table, "--clips", "0"],
        &["at least one clip"],
    );
    fs::remove_dir_all(data.join("calib/Annotations")).unwrap();
    search(
        &["--budget", "1", "--ranges", table, "--stage", "mask_head"],
        &["annotations"],
    );
}
