//! `socc build`.

mod check;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use indicatif::ProgressBar;
use socc::bundle::{Bundle, StageEntry};
use socc::engines::{self, EnginesError, EnginesManifest, Job, Made, Setting};
use socc::host::HostError;
use socc_engines::tensorrt::{BuildOptions, Builder, Network, Profile, Progress, Sm, Variant};

use super::table::Table;
use super::{megabytes, print, print_json};
use crate::args::{Backend, BuildArgs};
use crate::progress;

/// GPUs that a plan of TensorRT-RTX is for where none is named: the GeForce RTX 30, 40 and 50 series.
const USUAL_SMS: [Sm; 3] = [Sm(86), Sm(89), Sm(120)];
/// Steps of a stage's progress bar.
const STEPS: f64 = 1000.0;

pub fn build(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    match args.backend {
        Backend::TensorrtRtx => with_library(args, Variant::Rtx),
        Backend::Tensorrt => with_library(args, Variant::Enterprise),
        Backend::Trtexec => with_trtexec(args),
    }
}

fn with_trtexec(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    if args.check {
        bail!("trtexec cannot parse alone; use --check with --backend tensorrt-rtx or tensorrt");
    }
    let variant = Variant::Enterprise;
    let options = options(args, variant);
    options.check(variant)?;
    let bundle = Bundle::open(&args.bundle)?;
    let stages = engines::chosen(&bundle, &args.stages)?;
    let out = output(args)?;
    let script = engines::hand_over(&bundle, &stages, &options, out)?;
    let Some(device) = engines::installed()? else {
        return handed_over(args, &script);
    };
    let job = Job {
        bundle: &bundle,
        stages,
        setting: setting("trtexec", &device.version, options),
    };
    let bar = progress::steps(job.stages.len(), "trtexec");
    let made = engines::build(&job, out, &mut |stage, _, path| {
        bar.set_message(stage.name.clone());
        device.build(&script, &bundle, &stage.name, path)?;
        bar.inc(1);
        Ok(())
    });
    bar.finish_and_clear();
    report(args, out, &made?)
}

/// Says that the device is to build.
fn handed_over(args: &BuildArgs, script: &Path) -> anyhow::Result<ExitCode> {
    let runbook = script.with_file_name(engines::RUNBOOK);
    if args.json {
        print_json(&serde_json::json!({ "script": script, "runbook": runbook, "stages": [] }))?;
    } else {
        print(&format!(
            "there is no trtexec here, so nothing was built; {} tells how {} builds on the device\n",
            runbook.display(),
            script.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn output(args: &BuildArgs) -> anyhow::Result<&Path> {
    match &args.output {
        Some(out) => Ok(out),
        None => bail!("--output is missing; name a folder for the engines"),
    }
}

fn with_library(args: &BuildArgs, variant: Variant) -> anyhow::Result<ExitCode> {
    let options = options(args, variant);
    // The cheap checks first.
    options.check(variant)?;
    let bundle = Bundle::open(&args.bundle)?;
    let stages = engines::chosen(&bundle, &args.stages)?;
    let builder = Builder::open(variant, args.tensorrt_library.as_deref())?;
    if args.check {
        return check::check(args, &bundle, &stages, &builder);
    }
    let out = output(args)?;
    let built_for = BuildOptions {
        sms: builder.targets(&options)?,
        ..options.clone()
    };
    let job = Job {
        bundle: &bundle,
        stages,
        setting: setting(variant.name(), builder.version(), built_for),
    };
    let made = engines::build(&job, out, &mut |stage, profile, path| {
        let network = network(&bundle, stage, profile);
        let bar = progress::steps(STEPS as usize, &stage.name);
        let watcher = Arc::new(Bar(bar.clone()));
        let plan = builder.build(&network.as_ref(), &options, watcher);
        bar.finish_and_clear();
        fs::write(path, plan?).map_err(|source| {
            EnginesError::Host(HostError::Write {
                path: path.to_owned(),
                source,
            })
        })
    })?;
    report(args, out, &made)
}

/// Shows a build on a bar.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn at(&self, _phase: &str, done: f64) {
        self.0.set_position((done * STEPS) as u64);
    }
}

/// A stage's graph, by where it is.
struct StageFile<'a> {
    stage: &'a StageEntry,
    model: PathBuf,
    profile: Profile,
}

impl StageFile<'_> {
    fn as_ref(&self) -> Network<'_> {
        Network {
            stage: &self.stage.name,
            model: &self.model,
            inputs: &self.stage.inputs,
            profile: self.profile,
        }
    }
}

fn network<'a>(bundle: &Bundle, stage: &'a StageEntry, profile: Profile) -> StageFile<'a> {
    // The model comes first; a manifest whose stage has no file was refused.
    let name = stage.files.first().map_or("", |f| &f.name);
    StageFile {
        stage,
        model: bundle.dir.join(name),
        profile,
    }
}

fn options(args: &BuildArgs, variant: Variant) -> BuildOptions {
    let mut sms = args.sm.clone();
    if sms.is_empty() && variant == Variant::Rtx {
        sms = USUAL_SMS.to_vec();
    }
    sms.sort();
    sms.dedup();
    BuildOptions {
        sms,
        workspace_mib: args.workspace,
        opt_level: args.opt_level,
    }
}

fn setting(backend: &str, tensorrt_version: &str, options: BuildOptions) -> Setting {
    Setting {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        backend: backend.to_owned(),
        tensorrt_version: tensorrt_version.to_owned(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        options,
    }
}

fn report(args: &BuildArgs, out: &Path, made: &Made) -> anyhow::Result<ExitCode> {
    match args.json {
        true => print_json(&made.manifest)?,
        false => print(&summary(out, &made.manifest, &made.built))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(out: &Path, manifest: &EnginesManifest, built: &[String]) -> String {
    let mut table = Table::new(&[
        "stage",
        "precision",
        ">plan",
        ">built in",
        ">peak memory",
        "",
    ]);
    for entry in &manifest.stages {
        let fresh = built.contains(&entry.name);
        table.row([
            entry.name.clone(),
            entry.precision.to_string(),
            megabytes(entry.plan.bytes),
            format!("{:.1} s", entry.build_seconds),
            entry.peak_memory_bytes.map_or("-".to_owned(), megabytes),
            if fresh { "" } else { "was there" }.to_owned(),
        ]);
    }
    let setting = &manifest.setting;
    let sms: Vec<String> = setting.options.sms.iter().map(Sm::to_string).collect();
    let gpus = match sms.is_empty() {
        true => "the GPU of this machine".to_owned(),
        false => format!("SM {}", sms.join(", ")),
    };
    format!(
        "{}: {} {} for {gpus}, {} on {}\n{}",
        out.display(),
        setting.backend,
        setting.tensorrt_version,
        setting.os,
        setting.arch,
        table.render()
    )
}
