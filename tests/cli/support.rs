//! What the tests share.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the small model.
pub fn asset(name: &str) -> PathBuf {
    root().join("assets/demo").join(name)
}

/// A golden case in the repository.
pub fn case(name: &str) -> PathBuf {
    root().join("tests/fixtures/cases").join(name)
}

/// The small model with its configuration, as arguments; the configuration names the tokenizer.
pub fn model() -> [String; 3] {
    [
        asset("model.safetensors"),
        "--config".into(),
        asset("config.yaml"),
    ]
    .map(|p| p.to_string_lossy().into_owned())
}

/// Runs the command.
pub fn socc<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_socc"))
        .args(args)
        .env("ORT_DISABLE_TELEMETRY", "1")
        .output()
        .unwrap()
}

/// Arguments of several kinds as one list.
#[macro_export]
macro_rules! args {
    ($($part:expr),* $(,)?) => {{
        let mut all: Vec<std::ffi::OsString> = Vec::new();
        $($crate::support::Arguments::add($part, &mut all);)*
        all
    }};
}

/// What [`args!`] takes.
pub trait Arguments {
    fn add(self, all: &mut Vec<std::ffi::OsString>);
}

impl Arguments for &str {
    fn add(self, all: &mut Vec<std::ffi::OsString>) {
        all.push(self.into());
    }
}

impl Arguments for &Path {
    fn add(self, all: &mut Vec<std::ffi::OsString>) {
        all.push(self.into());
    }
}

impl Arguments for &PathBuf {
    fn add(self, all: &mut Vec<std::ffi::OsString>) {
        all.push(self.into());
    }
}

impl<const N: usize> Arguments for [String; N] {
    fn add(self, all: &mut Vec<std::ffi::OsString>) {
        all.extend(self.map(Into::into));
    }
}

/// Export of the small model to `bundle`.
pub fn export_args(bundle: &Path, frames: &str, size: &str) -> Vec<std::ffi::OsString> {
    args![
        "export",
        model(),
        "-o",
        bundle,
        "--frames",
        frames,
        "--size",
        size
    ]
}

/// Evaluation of the small model on the data set at `root`.
pub fn eval_args(dataset: &str, root: &Path, out: &Path, more: &[&str]) -> Vec<std::ffi::OsString> {
    let mut all = args![
        "eval",
        model(),
        "--dataset",
        dataset,
        "--root",
        root,
        "-o",
        out
    ];
    all.extend(more.iter().map(Into::into));
    all
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the command, which must succeed, and parses the JSON that it prints.
pub fn json<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Value {
    let output = socc(args);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs the command, which must refuse its input: exit code 2, nothing printed, one sentence that
/// contains every one of `parts`.
pub fn refused<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, parts: &[&str]) {
    let output = socc(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("error: "), "{said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

/// Whether this is a build server, where a missing library is a failure.
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// Engines of this build that are present. On a build server ONNX Runtime must be.
pub fn engines() -> Vec<&'static str> {
    let status = json(["doctor", "--json"]);
    let present = |name: &str| {
        let mut all = status.as_array().unwrap().iter();
        all.any(|e| e["name"] == name && e["present"] == true)
    };
    let mut engines = vec!["embedded"];
    if present("onnxruntime") {
        engines.push("onnxruntime");
    } else {
        assert!(
            !is_ci(),
            "ONNX Runtime is missing; run `socc setup onnxruntime`"
        );
        eprintln!("skipped: ONNX Runtime is missing; run `socc setup onnxruntime`");
    }
    if cfg!(feature = "tract") {
        engines.push("tract");
    }
    engines
}

/// Whether tests may fetch Python packages; a build server must.
pub fn may_download() -> bool {
    let may = is_ci() || std::env::var_os("SOCC_TEST_DOWNLOADS").is_some();
    if !may {
        eprintln!("skipped: set SOCC_TEST_DOWNLOADS=1 to let tests fetch Python packages");
    }
    may
}

/// Files under a folder, relative, sorted.
pub fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let path = path.strip_prefix(dir).unwrap();
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}
