//! ONNX Runtime: the fast CPU engine, a shared library that is opened at run time.
//!
//! The library is looked for in this order: [`Options::onnxruntime_library`], the environment variable
//! `ORT_DYLIB_PATH`, the user's cache that `socc setup onnxruntime` fills ([`setup`]), the system's loader. A process
//! uses one library: the first that opened.
//!
//! **Telemetry.** Microsoft's builds, PyPI's wheel among them, report to Microsoft. This module turns that off through
//! the library's API, but the library has by then queued one event about its start and written a device id to the
//! user's cache; only the environment variable `ORT_DISABLE_TELEMETRY=1`, set before the process opens the library,
//! prevents those (see its `Privacy.md`). [`quiet`] tells whether it is set, so that a program can start itself anew
//! with it.

mod buffer;
mod library;
mod profile;
mod setup;
mod stage;

use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use tempfile::TempDir;

use crate::check;
use crate::engine::{Engine, ModelSource, Options, Stage, StageModel};
use crate::error::EngineError;
use crate::registry::EngineStatus;

pub use setup::setup;

use library::Library;
use stage::OrtStage;

/// Name of this engine.
pub const NAME: &str = "onnxruntime";
/// What to do when the library is not there.
const REMEDY: &str = "run `socc setup onnxruntime`, or point ORT_DYLIB_PATH at the library";

/// Environment variable that ONNX Runtime reads when it starts.
const TELEMETRY_OFF: &str = "ORT_DISABLE_TELEMETRY";

/// The ONNX Runtime engine, on the CPU.
pub struct OnnxRuntime {
    library: Library,
    threads: Option<usize>,
    profile: bool,
}

impl OnnxRuntime {
    /// Opens the library.
    ///
    /// # Errors
    /// When no library is found, or the one found is too old or broken.
    pub fn new(options: &Options) -> Result<Self, EngineError> {
        Ok(Self {
            library: library::open(options.onnxruntime_library.as_deref())?,
            threads: options.threads,
            profile: options.profile,
        })
    }

    fn builder(&self) -> ort::Result<SessionBuilder> {
        let mut builder = Session::builder(&self.library.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            // Without it, Q/DQ products of u8 by s8 saturate on CPUs that lack VNNI: 13-19 % off.
            .with_config_entry("session.x64quantprecision", "1")?
            .with_log_level(LogLevel::Error)?;
        if let Some(threads) = self.threads {
            builder = builder.with_intra_threads(threads.max(1))?;
        }
        Ok(builder)
    }

    fn load(&self, source: ModelSource, profile: Option<&TempDir>) -> ort::Result<Session> {
        let mut builder = self.builder()?;
        if let Some(dir) = profile {
            builder = builder.with_profiling(dir.path().join("profile"))?;
        }
        match source {
            ModelSource::File(path) => builder.commit_from_file(path),
            ModelSource::Memory { model, external } => {
                for (location, bytes) in external {
                    builder =
                        builder.with_external_initializer_file_in_memory(location, bytes.into())?;
                }
                builder.commit_from_memory(&model)
            }
        }
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        self.library.version.clone()
    }

    fn compile(&self, model: StageModel) -> Result<Box<dyn Stage>, EngineError> {
        check::model(&model)?;
        let StageModel {
            name,
            inputs,
            outputs,
            source,
        } = model;
        let profile = match self.profile {
            true => Some(profile::folder()?),
            false => None,
        };
        let session = check::guard(NAME, &name, "loading", || {
            self.load(source, profile.as_ref())
                .map_err(|e| EngineError::Load {
                    engine: NAME,
                    stage: name.clone(),
                    detail: e.message().trim().to_string(),
                })
        })?;
        let stage = OrtStage::new(name, inputs, outputs, session)?;
        Ok(Box::new(stage.profiled(profile)))
    }
}

fn telemetry_note() -> String {
    match quiet() {
        true => String::new(),
        false => format!("; reports its start to Microsoft unless {TELEMETRY_OFF}=1 is set"),
    }
}

/// Whether the environment keeps ONNX Runtime from reporting anything to Microsoft (`ORT_DISABLE_TELEMETRY=1`).
pub fn quiet() -> bool {
    std::env::var_os(TELEMETRY_OFF).is_some_and(|v| v == "1")
}

/// Opens the library, if there is one, to tell its version.
pub(crate) fn status() -> EngineStatus {
    match library::open(None) {
        Ok(library) => EngineStatus {
            name: NAME,
            present: true,
            version: Some(library.version),
            detail: format!("{}, CPU{}", library.path.display(), telemetry_note()),
            install: None,
        },
        Err(error) => EngineStatus {
            name: NAME,
            present: false,
            version: None,
            detail: match error {
                EngineError::Unavailable { detail, .. } => detail,
                other => other.to_string(),
            },
            install: Some(REMEDY.into()),
        },
    }
}
