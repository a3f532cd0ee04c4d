//! A device's own TensorRT, through its tool `trtexec`: a script that calls it, and what to do on the device.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use socc_engines::tensorrt::{BuildOptions, Profile};
use socc_exporter::tensor::TensorSpec;

use super::build::present;
use super::{EnginesError, Result};
use crate::bundle::{Bundle, StageEntry};
use crate::host::output::{create_dir, write_file};

/// Name of the script.
pub const SCRIPT: &str = "build_on_device.sh";
/// Name of the instructions.
pub const RUNBOOK: &str = "RUNBOOK.md";
/// A line of every script, by which a folder is known as ours.
pub(super) const MARK: &str = "# Written by `socc build --backend trtexec`";

const SCRIPT_FRAME: &str = include_str!("trtexec/build_on_device.sh");
const RUNBOOK_FRAME: &str = include_str!("trtexec/RUNBOOK.md");

/// `trtexec` on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The tool.
    pub trtexec: PathBuf,
    /// TensorRT's version, as in `10.3.0`.
    pub version: String,
}

/// The tool that is on `PATH`, or that the variable `TRTEXEC` names.
///
/// # Errors
/// It is there but does not tell its version.
pub fn installed() -> Result<Option<Device>> {
    let named = std::env::var_os("TRTEXEC").filter(|v| !v.is_empty());
    let trtexec = PathBuf::from(named.unwrap_or_else(|| "trtexec".into()));
    let Ok(output) = Command::new(&trtexec).arg("--help").output() else {
        return Ok(None);
    };
    let text = [output.stdout, output.stderr].concat();
    match version(&String::from_utf8_lossy(&text)) {
        Some(version) => Ok(Some(Device { trtexec, version })),
        None => Err(EnginesError::Trtexec {
            reason: format!("{} does not tell its version", trtexec.display()),
            remedy: "point the environment variable TRTEXEC at TensorRT's own trtexec".into(),
        }),
    }
}

/// The version in trtexec's banner, `[TensorRT v100300]`.
fn version(text: &str) -> Option<String> {
    let rest = text.split_once("TensorRT v")?.1;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let number: u32 = digits.parse().ok()?;
    let (major, minor) = match number {
        100_000.. => (number / 10_000, number / 100 % 100),
        _ => (number / 1000, number / 100 % 10),
    };
    Some(format!("{major}.{minor}.{}", number % 100))
}

/// Writes the script and the instructions for a bundle into `out`; returns the script.
///
/// # Errors
/// `out` holds something else, or cannot be written.
pub fn hand_over(
    bundle: &Bundle,
    stages: &[&StageEntry],
    options: &BuildOptions,
    out: &Path,
) -> Result<PathBuf> {
    present(out)?;
    create_dir(out)?;
    let profile = Profile::tokens(bundle.manifest.model.max_tokens);
    let path = out.join(SCRIPT);
    let text = script(stages, options, profile);
    write_file(&path, |file| file.write_all(text.as_bytes()))?;
    let text = runbook(bundle, stages, profile);
    write_file(&out.join(RUNBOOK), |file| file.write_all(text.as_bytes()))?;
    Ok(path)
}

impl Device {
    /// Builds a stage by the script that [`hand_over`] wrote.
    ///
    /// # Errors
    /// `trtexec` fails.
    pub fn build(&self, script: &Path, bundle: &Bundle, stage: &str, plan: &Path) -> Result<()> {
        let dir = plan.parent().unwrap_or(Path::new("."));
        let fail = |reason: String| EnginesError::Trtexec {
            reason: format!("stage `{stage}`: {reason}"),
            remedy: "try the other `--deformable` or another `--precision` of `socc export`".into(),
        };
        let output = Command::new("bash")
            .arg(script)
            .args([&*bundle.dir, dir])
            .arg(stage)
            .env("TRTEXEC", &self.trtexec)
            .output()
            .map_err(|e| fail(format!("`bash` cannot be started ({e})")))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(fail(last_words(&String::from_utf8_lossy(&output.stderr)))),
        }
    }
}

/// trtexec's own last error where the script printed one, else the script's.
fn last_words(stderr: &str) -> String {
    let lines = || {
        stderr
            .lines()
            .rev()
            .map(str::trim)
            .filter(|l| !l.is_empty())
    };
    let own = lines().find(|l| l.contains("[E]"));
    own.or_else(|| lines().next())
        .unwrap_or("it gave no reason")
        .to_owned()
}

fn script(stages: &[&StageEntry], options: &BuildOptions, profile: Profile) -> String {
    let files = stages.iter().flat_map(|s| &s.files);
    let sums: Vec<String> = files.map(|f| format!("{}  {}", f.sha256, f.name)).collect();
    let mut calls = String::new();
    for stage in stages {
        let model = stage.files.first().map_or("", |f| &f.name);
        // Writing to a string cannot fail.
        let _ = write!(calls, "build {} {}", quote(&stage.name), quote(model));
        for flag in flags(&stage.inputs, options, profile) {
            let _ = write!(calls, " \\\n  {}", quote(&flag));
        }
        calls.push('\n');
    }
    SCRIPT_FRAME
        .replace("@SUMS@", &sums.join("\n"))
        .replace("@STAGES@\n", &calls)
}

/// What `trtexec` is to be told of a stage, whatever its version.
fn flags(inputs: &[TensorSpec], options: &BuildOptions, profile: Profile) -> Vec<String> {
    let mut flags = Vec::new();
    for (i, word) in ["min", "opt", "max"].into_iter().enumerate() {
        let shapes = shapes(inputs, profile, i);
        if !shapes.is_empty() {
            flags.push(format!("--{word}Shapes={shapes}"));
        }
    }
    if let Some(mib) = options.workspace_mib {
        flags.push(format!("--memPoolSize=workspace:{mib}M"));
    }
    if let Some(level) = options.opt_level {
        flags.push(format!("--builderOptimizationLevel={level}"));
    }
    flags
}

/// `name:2x128,other:2` for the inputs with a symbolic axis, at the least, usual or most length.
fn shapes(inputs: &[TensorSpec], profile: Profile, which: usize) -> String {
    let shape = |spec: &TensorSpec| {
        let sides: Vec<String> = profile.shapes(spec)?[which]
            .iter()
            .map(ToString::to_string)
            .collect();
        Some(format!("{}:{}", spec.name, sides.join("x")))
    };
    let shapes: Vec<String> = inputs.iter().filter_map(shape).collect();
    shapes.join(",")
}

/// A word for a shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn runbook(bundle: &Bundle, stages: &[&StageEntry], profile: Profile) -> String {
    let manifest = &bundle.manifest;
    let what = format!(
        "The graphs take {}, and sentences of {} to {} tokens; they are exported as {}.",
        manifest.clip(),
        profile.min,
        profile.max,
        manifest.precision
    );
    let line = |stage: &&&StageEntry, flags: &str| {
        let shapes = shapes(&stage.inputs, profile, 1);
        let shapes = match shapes.is_empty() {
            true => String::new(),
            false => format!(" --shapes={shapes}"),
        };
        format!(
            "    trtexec --loadEngine=ENGINES/{}.plan{shapes}{flags}\n",
            stage.name
        )
    };
    let lines = |flags: &str| stages.iter().map(|s| line(&s, flags)).collect::<String>();
    let mut table = String::from("| stage | inputs | outputs |\n|---|---|---|\n");
    let list = |specs: &[TensorSpec]| {
        let specs: Vec<String> = specs.iter().map(|s| format!("`{s}`")).collect();
        specs.join("<br>")
    };
    for stage in stages {
        let (inputs, outputs) = (list(&stage.inputs), list(&stage.outputs));
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{}` | {inputs} | {outputs} |", stage.name);
    }
    RUNBOOK_FRAME
        .replace("@WHAT@", &what)
        .replace("@RUN@\n", &lines(""))
        .replace("@PROFILE@\n", &lines(" --dumpProfile --separateProfileRun"))
        .replace("@SHAPES@\n", &table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socc_exporter::tensor::{DType, Dim};

    #[test]
    fn banners_of_both_numberings() {
        let banner = |v: &str| {
            version(&format!(
                "&&&& RUNNING TensorRT.trtexec [TensorRT {v}] [b26] # trtexec --help"
            ))
        };
        assert_eq!(banner("v100300").as_deref(), Some("10.3.0"));
        assert_eq!(banner("v110400").as_deref(), Some("11.4.0"));
        assert_eq!(banner("v8502").as_deref(), Some("8.5.2"));
        assert_eq!(version("no such tool"), None);
    }

    #[test]
    fn flags_name_shapes_workspace_and_effort() {
        let spec = |name: &str, shape: Vec<Dim>| TensorSpec {
            name: name.into(),
            dtype: DType::F32,
            shape,
        };
        let symbol = || Dim::Symbol("S".into());
        let inputs = [
            spec("words", vec![symbol(), 128.into()]),
            spec("level", vec![8.into(), 4.into()]),
            spec("positions", vec![symbol(), 128.into()]),
        ];
        let options = BuildOptions {
            workspace_mib: Some(512),
            opt_level: Some(4),
            ..BuildOptions::default()
        };
        assert_eq!(
            flags(&inputs, &options, Profile::tokens(64)),
            [
                "--minShapes=words:2x128,positions:2x128",
                "--optShapes=words:12x128,positions:12x128",
                "--maxShapes=words:64x128,positions:64x128",
                "--memPoolSize=workspace:512M",
                "--builderOptimizationLevel=4",
            ]
        );
        assert!(flags(&inputs[1..2], &BuildOptions::default(), Profile::tokens(64)).is_empty());
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quote("it's $x"), r"'it'\''s $x'");
    }
}
