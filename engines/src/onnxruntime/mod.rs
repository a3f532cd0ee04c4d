//! ONNX Runtime, a shared library that is opened at run time: the fast CPU engine, and NVIDIA's GPUs through its
//! providers for CUDA and TensorRT.
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
mod providers;
mod setup;
mod stage;

use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use socc_exporter::tensor::TensorSpec;
use tempfile::TempDir;

use crate::check;
use crate::engine::{Engine, ModelSource, Options, Stage, StageModel};
use crate::error::EngineError;
use crate::registry::EngineStatus;

pub(crate) use providers::Provider;
pub use setup::setup;

use library::Library;
use providers::Setting;
use stage::OrtStage;

/// Name of this engine on the CPU.
pub const NAME: &str = Provider::Cpu.engine();

/// Inputs and outputs of a stage from which on memory counts for more than time: about 50 frames of 360x640 pixels
/// at full size.
const LARGE_BYTES: usize = 512 << 20;

/// Environment variable that ONNX Runtime reads when it starts.
const TELEMETRY_OFF: &str = "ORT_DISABLE_TELEMETRY";

/// The ONNX Runtime engine.
pub struct OnnxRuntime {
    library: Library,
    threads: Option<usize>,
    provider: Provider,
    device: usize,
    profile: bool,
}

impl OnnxRuntime {
    /// Opens the library, to compute on the CPU.
    ///
    /// # Errors
    /// When no library is found, or the one found is too old or broken.
    pub fn new(options: &Options) -> Result<Self, EngineError> {
        Self::on(Provider::Cpu, options)
    }

    /// Opens the library, and proves that it computes at `provider`.
    ///
    /// # Errors
    /// As [`Self::new`], and when the library lacks the provider, or that its own libraries or a GPU.
    pub(crate) fn on(provider: Provider, options: &Options) -> Result<Self, EngineError> {
        let explicit = options.onnxruntime_library.as_deref();
        let engine = Self {
            library: library::open(explicit).map_err(|e| of_provider(provider, e))?,
            threads: options.threads,
            provider,
            device: options.device,
            profile: options.profile,
        };
        if provider != Provider::Cpu {
            engine.prove()?;
        }
        Ok(engine)
    }

    fn prove(&self) -> Result<(), EngineError> {
        let setting = Setting {
            device: self.device,
            ..Setting::default()
        };
        check::guard(self.provider.engine(), "(provider)", "loading", || {
            let builder = self.builder(&setting);
            let proof = builder
                .map_err(|e| providers::reason(&e))
                .and_then(providers::prove);
            proof.map_err(|detail| EngineError::Unavailable {
                engine: self.provider.engine(),
                detail: format!("{}: {detail}", self.library.path.display()),
                remedy: self.provider.remedy().into(),
            })
        })
    }

    fn builder(&self, setting: &Setting) -> ort::Result<SessionBuilder> {
        let mut builder = Session::builder(&self.library.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            // Without it, Q/DQ products of u8 by s8 saturate on CPUs that lack VNNI: 13-19 % off.
            .with_config_entry("session.x64quantprecision", "1")?
            .with_log_level(LogLevel::Error)?;
        if let Some(threads) = self.threads {
            builder = builder.with_intra_threads(threads.max(1))?;
        }
        providers::register(self.provider, setting, builder)
    }

    /// What the provider is told about a stage.
    fn setting(
        &self,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
        source: &ModelSource,
    ) -> Result<Setting, EngineError> {
        let bytes = inputs.iter().chain(outputs).map(TensorSpec::fixed_bytes);
        let mut setting = Setting {
            device: self.device,
            is_large: bytes.fold(0, usize::saturating_add) >= LARGE_BYTES,
            ..Setting::default()
        };
        if self.provider == Provider::TensorRt {
            setting.cache = providers::cache_folder(&self.library.version, source)?;
            setting.profile = providers::profile(inputs);
            setting.is_quantised = providers::is_quantised(source)?;
        }
        Ok(setting)
    }

    fn load(
        &self,
        source: ModelSource,
        setting: &Setting,
        profile: Option<&TempDir>,
    ) -> ort::Result<Session> {
        let mut builder = self.builder(setting)?;
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

/// The same error, of the engine that was asked for.
fn of_provider(provider: Provider, error: EngineError) -> EngineError {
    match error {
        EngineError::Unavailable { detail, .. } => EngineError::Unavailable {
            engine: provider.engine(),
            detail,
            remedy: provider.remedy().into(),
        },
        other => other,
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &str {
        self.provider.engine()
    }

    fn version(&self) -> String {
        self.library.version.clone()
    }

    fn compile(&self, model: StageModel) -> Result<Box<dyn Stage>, EngineError> {
        check::model(&model)?;
        let engine = self.provider.engine();
        let setting = self.setting(&model.inputs, &model.outputs, &model.source)?;
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
        let session = check::guard(engine, &name, "loading", || {
            self.load(source, &setting, profile.as_ref())
                .map_err(|e| EngineError::Load {
                    engine,
                    stage: name.clone(),
                    detail: providers::reason(&e),
                })
        })?;
        let stage = OrtStage::new(engine, name, inputs, outputs, session)?;
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

/// Opens the library, if there is one, to tell its version and whether it computes at `provider`.
pub(crate) fn status(provider: Provider) -> EngineStatus {
    let name = provider.engine();
    match OnnxRuntime::on(provider, &Options::default()) {
        Ok(OnnxRuntime { library, .. }) => EngineStatus {
            name,
            present: true,
            version: Some(library.version),
            detail: format!(
                "{}, {}{}",
                library.path.display(),
                provider.title(),
                telemetry_note()
            ),
            install: None,
        },
        Err(error) => EngineStatus {
            name,
            present: false,
            version: None,
            detail: match error {
                EngineError::Unavailable { detail, .. } => detail,
                other => other.to_string(),
            },
            install: Some(provider.remedy().into()),
        },
    }
}
