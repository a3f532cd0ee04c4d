//! The graphs before ONNX's own checker, from PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::args;
use crate::support::{may_download, model, root, socc};

/// A Python with ONNX and ONNX Runtime, installed once.
pub fn python() -> PathBuf {
    static READY: Mutex<()> = Mutex::new(());
    // Tests run side by side; a panic of another one leaves nothing half-made that `works` would not notice.
    let _one = READY.lock().unwrap_or_else(PoisonError::into_inner);
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("onnx-1.23.2-ort-1.32.0");
    let python = venv.join("bin/python");
    let works = |code: &str| {
        let status = Command::new(&python).args(["-c", code]).output();
        status.is_ok_and(|o| o.status.success())
    };
    if !works("import onnx, onnxruntime") {
        let done = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&venv)
            .status();
        assert!(done.unwrap().success());
        let pip = ["-m", "pip", "install", "--quiet"];
        let packages = ["onnx==1.23.2", "onnxruntime==1.32.0"];
        let done = Command::new(&python).args(pip).args(packages).status();
        assert!(done.unwrap().success());
    }
    python
}

#[test]
fn every_graph_passes_onnx_full_check() {
    if !may_download() {
        return;
    }
    let python = python();
    // The last one in sections of a longer clip.
    for (lowering, probe, frames) in [
        ("grid-sample", false, "3"),
        ("gather", true, "3"),
        ("grid-sample", false, "20"),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let bundle = temp.path().join("bundle");
        let mut export = args![
            "export",
            model(),
            "-o",
            &bundle,
            "--frames",
            frames,
            "--frames-at-once",
            "6",
            "--size",
            "97x131",
            "--deformable",
            lowering
        ];
        if probe {
            export.push("--probe".into());
        }
        assert!(socc(export).status.success());
        let script = root().join("tests/cli/onnx_check.py");
        let checked = Command::new(&python)
            .arg(script)
            .arg(&bundle)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{lowering}: {said}");
    }
}
