//! The engine that runs plans.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::check;
use crate::engine::{Engine, ModelSource, Options, PlanTarget, Stage, StageModel};
use crate::error::EngineError;
use crate::tensor::{HostTensor, Tensor};

use super::super::logger::Log;
use super::super::open::{self, Library};
use super::super::variant::Variant;
use super::device::{self, Device};
use super::memory::DeviceBuffer;
use super::session::Session;
use super::stage::PlanStage;

/// TensorRT keeps one logger for all that a process has of it, so there is one, for as long as the process.
static LOG: OnceLock<Log> = OnceLock::new();

/// TensorRT on one GPU.
struct TensorRt {
    library: Library,
    device: Arc<Device>,
    log: &'static Log,
    plans: Option<PathBuf>,
    uses_graphs: bool,
}

/// Opens the library and the GPU.
///
/// # Errors
/// This build is for the other TensorRT, or there is no library, no driver or no GPU.
pub(crate) fn open(variant: Variant, options: &Options) -> Result<Box<dyn Engine>, EngineError> {
    let library = open::open(variant, None)?;
    Ok(Box::new(TensorRt {
        device: Device::open(variant, options.device)?,
        log: log(variant)?,
        library,
        plans: options.plans.clone(),
        uses_graphs: options.cuda_graphs,
    }))
}

/// The GPUs of this machine, for `socc doctor`.
///
/// # Errors
/// There is none, and why.
pub(crate) fn devices(variant: Variant) -> Result<String, EngineError> {
    let count = check::guard(variant.name(), "(driver)", "loading", || {
        device::count(variant)
    })?;
    let names = (0..count).map(|ordinal| {
        let device = Device::open(variant, ordinal)?;
        Ok(format!("{ordinal}: {}, SM {}", device.name, device.sm))
    });
    Ok(names.collect::<Result<Vec<_>, EngineError>>()?.join("; "))
}

fn log(variant: Variant) -> Result<&'static Log, EngineError> {
    if let Some(log) = LOG.get() {
        return Ok(log);
    }
    let new = Log::new(variant)?;
    Ok(LOG.get_or_init(|| new))
}

impl TensorRt {
    fn variant_name(&self) -> &'static str {
        self.library.variant.name()
    }

    fn load(&self, name: &str, source: ModelSource) -> Result<Session, EngineError> {
        let ModelSource::File(path) = source else {
            return Err(EngineError::NeedsPlan {
                engine: self.variant_name(),
                stage: name.to_owned(),
            });
        };
        let plan = fs::read(&path).map_err(|source| EngineError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        let session = Session::load(&plan, Arc::clone(&self.device), self.log);
        session.map_err(|detail| self.refused(name, detail))
    }

    fn refused(&self, stage: &str, detail: String) -> EngineError {
        EngineError::Load {
            engine: self.variant_name(),
            stage: stage.to_owned(),
            detail,
        }
    }
}

impl Engine for TensorRt {
    fn name(&self) -> &str {
        self.variant_name()
    }

    fn version(&self) -> String {
        let Library {
            variant, version, ..
        } = &self.library;
        format!("{} {version} on {}", variant.title(), self.device.name)
    }

    fn plans(&self) -> Option<PlanTarget> {
        Some(PlanTarget {
            backend: self.variant_name(),
            tensorrt_version: self.library.version.clone(),
            sm: self.device.sm,
            folder: self.plans.clone(),
        })
    }

    fn compile(&self, model: StageModel) -> Result<Box<dyn Stage>, EngineError> {
        check::model(&model)?;
        let StageModel {
            name,
            inputs,
            outputs,
            source,
        } = model;
        let session = check::guard(self.variant_name(), &name, "loading", || {
            self.load(&name, source)
        })?;
        let graphs = self.uses_graphs;
        let device = Arc::clone(&self.device);
        let stage = PlanStage::new(
            self.variant_name(),
            name,
            inputs,
            outputs,
            session,
            device,
            graphs,
        )?;
        Ok(Box::new(stage))
    }

    fn upload(&self, tensor: HostTensor) -> Result<Tensor, EngineError> {
        let turn = self.device.turn();
        let memory = turn.and_then(|mut turn| turn.upload(&tensor));
        let memory = memory.map_err(|detail| EngineError::Upload {
            engine: self.variant_name(),
            detail,
        })?;
        Ok(Arc::new(DeviceBuffer {
            engine: self.variant_name(),
            device: Arc::clone(&self.device),
            memory,
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
        }))
    }
}
