//! What `socc build --backend trtexec` writes, run with a stand-in for `trtexec` that notes how it is called.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::args;
use crate::build::bundle;
use crate::support::stderr;

/// A tool that has the banner of a version, appends its arguments to `calls`, and makes the file that it is to save.
fn stand_in(dir: &Path, number: &str) -> PathBuf {
    let path = dir.join("trtexec");
    let text = format!(
        r#"#!/usr/bin/env bash
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v{number}] [b1] # trtexec $*"
[ "$1" = --help ] && exit 0
printf '%s\n' "$@" >> "{0}/calls"
for word in "$@"; do
  case "$word" in --saveEngine=*) echo plan > "${{word#--saveEngine=}}" ;; esac
done
if [ -e "{0}/broken" ]; then echo "[E] Error[9]: no kernel"; exit 1; fi
"#,
        dir.display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn socc(args: Vec<std::ffi::OsString>, trtexec: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_socc"));
    command.args(args).env("TRTEXEC", trtexec).output().unwrap()
}

fn calls(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn without_the_tool_a_script_and_instructions_are_written() {
    let (temp, bundle) = bundle("grid-sample");
    let out = temp.path().join("engines");
    let call = || {
        args![
            "build",
            &bundle,
            "-o",
            &out,
            "--backend",
            "trtexec",
            "--workspace",
            "512"
        ]
    };
    for _ in 0..2 {
        let output = socc(call(), Path::new("/nowhere/trtexec"));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let script = out.join("build_on_device.sh");
    let syntax = Command::new("bash")
        .arg("-n")
        .arg(&script)
        .output()
        .unwrap();
    assert!(syntax.status.success(), "{}", stderr(&syntax));
    let runbook = fs::read_to_string(out.join("RUNBOOK.md")).unwrap();
    for part in [
        "8 frames of 96x160",
        "build_on_device.sh BUNDLE",
        "--loadEngine=ENGINES/fusion.plan --shapes=",
    ] {
        assert!(runbook.contains(part), "{runbook}");
    }
    assert!(!runbook.contains('@'), "{runbook}");
    assert!(!out.join("engines.json").exists());
}

#[test]
fn the_script_says_what_each_version_needs() {
    let (temp, bundle) = bundle("grid-sample");
    let out = temp.path().join("engines");
    let call = args![
        "build",
        &bundle,
        "-o",
        &out,
        "--backend",
        "trtexec",
        "--opt-level",
        "4"
    ];
    assert!(socc(call, Path::new("/nowhere/trtexec")).status.success());
    let script = |number: &str, bundle: &Path| {
        let _ = fs::remove_file(temp.path().join("calls"));
        let tool = stand_in(temp.path(), number);
        let mut command = Command::new("bash");
        let command = command.arg(out.join("build_on_device.sh")).arg(bundle);
        command.env("TRTEXEC", tool).output().unwrap()
    };
    for (number, typed) in [("100300", 6), ("110400", 0)] {
        let output = script(number, &bundle);
        assert!(output.status.success(), "{}", stderr(&output));
        let calls = calls(temp.path());
        let count = |word: &str| calls.iter().filter(|c| *c == word).count();
        assert_eq!(count("--stronglyTyped"), typed, "{number}");
        assert_eq!(count("--skipInference"), 6);
        assert_eq!(count("--builderOptimizationLevel=4"), 6);
        assert_eq!(count("--minShapes=input_ids:1x2"), 1, "{calls:?}");
        assert_eq!(count("--optShapes=input_ids:1x12"), 1);
        assert!(calls.contains(&format!("--onnx={}/temporal.onnx", bundle.display())));
        assert!(out.join("temporal.plan").exists() && !out.join("temporal.plan.part").exists());
    }
    let output = script("8502", &bundle);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("TensorRT 8.5.2 chooses precisions by itself"));
    fs::write(bundle.join("fusion.onnx"), "another").unwrap();
    let output = script("100300", &bundle);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("are not those of this script"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn where_the_tool_is_it_builds_once() {
    let (temp, bundle) = bundle("grid-sample");
    let out = temp.path().join("engines");
    let tool = stand_in(temp.path(), "100300");
    let call = || {
        args![
            "build",
            &bundle,
            "-o",
            &out,
            "--backend",
            "trtexec",
            "--json"
        ]
    };
    let output = socc(call(), &tool);
    assert!(output.status.success(), "{}", stderr(&output));
    let engines: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(engines["backend"], "trtexec");
    assert_eq!(engines["tensorrt_version"], "10.3.0");
    assert_eq!(engines["stages"].as_array().unwrap().len(), 6);
    let count = calls(temp.path()).len();
    assert!(socc(call(), &tool).status.success());
    assert_eq!(
        calls(temp.path()).len(),
        count,
        "a second build calls nothing"
    );
    // Another version of the tool: all anew, and a failure leaves what was there.
    let tool = stand_in(temp.path(), "110400");
    fs::write(temp.path().join("broken"), "").unwrap();
    let output = socc(call(), &tool);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("stage `text_encoder`: [E] Error[9]: no kernel"),
        "{said}"
    );
    let kept: Value = serde_json::from_slice(&fs::read(out.join("engines.json")).unwrap()).unwrap();
    assert_eq!(kept, engines);
}
