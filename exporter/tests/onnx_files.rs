//! Graphs as files and back.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use socc_exporter::checkpoint::Checkpoint;
use socc_exporter::config;
use socc_exporter::model::{Deformable, FRAMES_AT_ONCE, Request, StageGraph, build};
use socc_exporter::onnx::{load, save, structure_hash};

/// The stages of the small model that comes along.
fn stages(deformable: Deformable) -> Vec<StageGraph> {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
    let checkpoint = Arc::new(Checkpoint::open(&demo.join("model.safetensors")).unwrap());
    let config = demo.join("config.yaml");
    let described = config::read(&*checkpoint, Some(&config), None).unwrap();
    let request = Request {
        frames: 2,
        height: 64,
        width: 96,
        deformable,
        frames_at_once: FRAMES_AT_ONCE,
        probe: false,
        annotated_frame: false,
    };
    build(&checkpoint, &described.architecture, &request).unwrap()
}

#[test]
fn a_graph_that_is_read_is_the_one_that_was_written() {
    for deformable in [Deformable::GridSample, Deformable::Gather] {
        let temp = tempfile::tempdir().unwrap();
        let (first, second) = (temp.path().join("a"), temp.path().join("b"));
        fs::create_dir(&first).unwrap();
        fs::create_dir(&second).unwrap();
        for stage in stages(deformable) {
            let saved = save(&stage.graph, &first).unwrap();
            let read = load(&first.join(&saved.files[0].name)).unwrap();
            assert_eq!(structure_hash(&read), structure_hash(&stage.graph));
            // To the byte, weights included.
            assert_eq!(save(&read, &second).unwrap(), saved);
            assert_eq!(read.inputs(), stage.graph.inputs());
        }
    }
}

#[test]
fn every_node_has_a_module_scope_and_no_work_is_done_twice() {
    for stage in stages(Deformable::GridSample) {
        let mut seen = std::collections::HashSet::new();
        for node in stage.graph.nodes() {
            assert!(!node.scope().is_empty(), "{}", node.name);
            let work = format!("{} {:?} {:?}", node.op, node.inputs, node.attributes);
            assert!(seen.insert(work) || node.op == "Identity", "{}", node.name);
        }
    }
}

#[test]
fn another_file_is_refused_with_its_name() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("stage.onnx");
    for bytes in [&b"not a model"[..], b"", b"\x08\x08"] {
        fs::write(&path, bytes).unwrap();
        let message = load(&path).unwrap_err().to_string();
        assert!(
            message.contains("stage.onnx is no stage graph"),
            "{message}"
        );
    }
}

#[test]
fn a_shortened_data_file_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let saved = save(&stages(Deformable::GridSample)[1].graph, temp.path()).unwrap();
    let data = temp.path().join(&saved.files[1].name);
    let file = fs::OpenOptions::new().write(true).open(data).unwrap();
    file.set_len(saved.files[1].bytes / 2).unwrap();
    let message = load(&temp.path().join(&saved.files[0].name)).unwrap_err();
    assert!(
        message.to_string().contains("does not fit its data file"),
        "{message}"
    );
}
