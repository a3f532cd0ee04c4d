//! The default engine: [rten](https://github.com/robertknight/rten), pure Rust, in every build.
//!
//! rten computes with float32, int32, int8 and uint8: int64 becomes int32 at the border (values outside it are refused,
//! not wrapped), and its outputs are called int64 again where the stage says so. It has no Conv3D, no tensors of rank 5
//! in convolutions, no float16 and no GroupNormalization.

mod buffer;
mod pieces;
mod profile;
mod stage;

use std::fs;
use std::sync::Arc;

use rten::{Model, ModelOptions, ThreadPool};

use socc_exporter::onnx::Flow;

use crate::check;
use crate::engine::{Engine, ModelSource, Options, Stage, StageModel};
use crate::error::EngineError;
use crate::registry::EngineStatus;

use stage::EmbeddedStage;

/// Name of this engine.
pub const NAME: &str = "embedded";
/// Kept equal to the version that Cargo.toml pins.
const VERSION: &str = "rten 0.27.0";

/// The rten engine.
pub struct Embedded {
    /// Shared by the stages; `None` is rten's own pool, one thread per physical core.
    pool: Option<Arc<ThreadPool>>,
    profile: bool,
}

impl Embedded {
    /// Prepares the engine and its threads.
    pub fn new(options: &Options) -> Self {
        let pool = options
            .threads
            .map(|n| Arc::new(ThreadPool::with_num_threads(n.max(1))));
        Self {
            pool,
            profile: options.profile,
        }
    }
}

impl Engine for Embedded {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        VERSION.into()
    }

    /// rten widens float16 to float32 when it loads a graph.
    fn rounds_to_half(&self) -> bool {
        false
    }

    fn compile(&self, model: StageModel) -> Result<Box<dyn Stage>, EngineError> {
        check::model(&model)?;
        let StageModel {
            name,
            inputs,
            outputs,
            source,
        } = model;
        let flow = flow(&source);
        let loaded = check::guard(NAME, &name, "loading", || {
            load(source).map_err(|e| EngineError::Load {
                engine: NAME,
                stage: name.clone(),
                detail: e.to_string(),
            })
        })?;
        let stage = EmbeddedStage::new(name, inputs, outputs, loaded, flow, self.pool.clone())?;
        Ok(Box::new(stage.profiled(self.profile)))
    }
}

/// How the values flow of a graph that runs in pieces; what cannot be read is told by [`load`].
fn flow(source: &ModelSource) -> Option<Flow> {
    match source {
        ModelSource::File(path) => Flow::read(&fs::read(path).ok()?),
        ModelSource::Memory { model, .. } => Flow::read(model),
    }
}

fn load(source: ModelSource) -> Result<Model, rten::LoadError> {
    let mut options = ModelOptions::with_all_ops();
    // A stage is compiled once and runs for every clip or expression.
    options.prepack_weights(true);
    match source {
        ModelSource::File(path) => options.load_file(path),
        ModelSource::Memory { model, external } => {
            for (location, bytes) in external {
                options.external_data(&location, bytes);
            }
            options.load(model)
        }
    }
}

/// Always present.
pub(crate) fn status() -> EngineStatus {
    EngineStatus {
        name: NAME,
        present: true,
        version: Some(VERSION.into()),
        detail: "pure Rust, part of this program, CPU".into(),
        install: None,
    }
}
