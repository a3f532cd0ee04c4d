//! `socc setup`.

use std::process::ExitCode;

use anyhow::bail;
use socc_engines::onnxruntime;

use super::print;
use crate::args::SetupArgs;

pub fn setup(args: &SetupArgs) -> anyhow::Result<ExitCode> {
    match args.engine.as_str() {
        "onnxruntime" | "ort" => {
            let path = onnxruntime::setup(&mut |line| eprintln!("{line}"))?;
            print(&format!("{}\n", path.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        "embedded" | "rten" => {
            print("the embedded engine needs no set-up\n")?;
            Ok(ExitCode::SUCCESS)
        }
        "tract" => {
            bail!("engine `tract` is not fetched but built in: build socc with `--features tract`")
        }
        other => bail!("`{other}` cannot be set up; socc fetches the library of `onnxruntime`"),
    }
}
