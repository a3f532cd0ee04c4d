//! What `socc inspect` says of the small model and of damaged copies.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::args;
use crate::support::{asset, json, model, refused, socc, stderr};

#[test]
fn the_architecture_and_its_origins() {
    let report = json(args!["inspect", model(), "--json"]);
    assert_eq!(report["format"], "safetensors");
    assert_eq!(report["complete"], true);
    let arch = &report["architecture"];
    assert_eq!(arch["d_model"], 128);
    assert_eq!(arch["num_queries"], 5);
    assert_eq!(arch["transformer"]["dec_layers"], 3);
    assert_eq!(
        arch["backbone"]["video_swin"]["depths"],
        serde_json::json!([2, 2, 2, 2])
    );
    let facts = report["facts"].as_array().unwrap();
    let origin = |name: &str| {
        let fact = facts.iter().find(|f| f["name"] == name).unwrap();
        fact["origin"].as_str().unwrap().to_owned()
    };
    assert!(origin("DeformTransformer.d_model").starts_with("shape of"));
    assert!(origin("DeformTransformer.nheads").starts_with("YAML"));
    let stages = report["per_stage"].as_array().unwrap();
    assert_eq!(stages.len(), 6);
}

/// The small model with a tensor renamed or cut.
fn altered(path: &Path, alter: impl Fn(&str, &TensorView) -> (String, Vec<usize>)) {
    let bytes = fs::read(asset("model.safetensors")).unwrap();
    let model = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: HashMap<String, TensorView> = HashMap::new();
    for (name, view) in model.iter() {
        let (name, shape) = alter(name, &view);
        let size = view.dtype().bitsize() / 8;
        let data = &view.data()[..shape.iter().product::<usize>() * size];
        tensors.insert(name, TensorView::new(view.dtype(), shape, data).unwrap());
    }
    safetensors::serialize_to_file(&tensors, None, path).unwrap();
}

#[test]
fn a_misspelt_key_is_named_with_its_neighbour() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("model.safetensors");
    altered(&path, |name, view| {
        let name = name.replace(
            "spatial_decoder.lay1.weight",
            "spatial_decoder.layer1.weight",
        );
        (name, view.shape().to_vec())
    });
    let config = asset("config.yaml");
    let output = socc(args!["inspect", &path, "--config", &config]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("spatial_decoder.lay1.weight"), "{text}");
    assert!(text.contains("spatial_decoder.layer1.weight"), "{text}");
    assert!(stderr(&output).contains("nearest: `spatial_decoder.layer1.weight`"));
    let bundle = temp.path().join("bundle");
    let export = args!["export", &path, "--config", &config, "-o", &bundle];
    refused(export, &["spatial_decoder.lay1.weight", "missing"]);
    assert!(!bundle.exists());
}

#[test]
fn an_absurd_key_is_cut_and_shows_its_control_characters() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("model.safetensors");
    let absurd = format!("\u{1b}[31m{}", "x".repeat(100_000));
    altered(&path, |name, view| {
        let renamed = name == "voc.decoder_norm.bias";
        let name = if renamed { &absurd } else { name };
        (name.to_owned(), view.shape().to_vec())
    });
    let output = socc(args!["inspect", &path, "--config", &asset("config.yaml")]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("1 unused:"), "{text}");
    assert!(text.contains("\\u{1b}[31mxxx") && !text.contains('\u{1b}'));
    assert!(text.lines().all(|line| line.chars().count() < 600));
}

#[test]
fn a_wrong_shape_is_named_with_both_shapes() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("model.safetensors");
    altered(&path, |name, view| {
        let mut shape = view.shape().to_vec();
        if name == "voc.score_embd.0.weight" || name == "vlf.multihead_attn.out_proj.weight" {
            shape[0] -= 1;
        }
        (name.to_owned(), shape)
    });
    let config = asset("config.yaml");
    let video = asset("clip/frames");
    let out = temp.path().join("out");
    let run = args![
        "run",
        &path,
        "--config",
        &config,
        "--video",
        &video,
        "-e",
        "the white object",
        "-o",
        &out
    ];
    refused(
        run,
        &[
            "vlf.multihead_attn.out_proj.weight",
            "[128, 128]",
            "[127, 128]",
        ],
    );
    assert!(!out.exists());
}
