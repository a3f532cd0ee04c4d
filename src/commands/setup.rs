//! `socc setup`.

use std::process::ExitCode;

use anyhow::bail;
use socc_engines::{onnxruntime, tensorrt};

use super::print;
use crate::args::SetupArgs;

pub fn setup(args: &SetupArgs) -> anyhow::Result<ExitCode> {
    match args.engine.as_str() {
        "onnxruntime" | "ort" => {
            let path = onnxruntime::setup(&mut |line| eprintln!("{line}"))?;
            print(&format!("{}\n", path.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        "tensorrt-rtx" => {
            let folder = tensorrt::setup(&mut |line| eprintln!("{line}"))?;
            print(&format!("{}\n", folder.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        "tensorrt" => {
            bail!(
                "TensorRT 11 comes from NVIDIA and is not fetched: install it with your system's packages, or use `tensorrt-rtx`"
            )
        }
        "libclang" => {
            let found = tensorrt::setup_libclang(&mut |line| eprintln!("{line}"))?;
            print(&exports(&found))?;
            Ok(ExitCode::SUCCESS)
        }
        "embedded" | "rten" => {
            print("the embedded engine needs no set-up\n")?;
            Ok(ExitCode::SUCCESS)
        }
        "tract" => {
            bail!("engine `tract` is not fetched but built in: build socc with `--features tract`")
        }
        other => bail!(
            "`{other}` cannot be set up; socc fetches the libraries of `onnxruntime` and `tensorrt-rtx`, and `libclang`"
        ),
    }
}

/// What a shell is to evaluate before it builds socc with TensorRT's bindings.
fn exports(found: &tensorrt::Libclang) -> String {
    let quote = |path: &std::path::Path| path.display().to_string().replace('\'', r"'\''");
    format!(
        "export LIBCLANG_PATH='{}'\nexport BINDGEN_EXTRA_CLANG_ARGS='-I{}'\n",
        quote(&found.folder),
        quote(&found.headers)
    )
}
