//! ONNX Runtime (being written).
use crate::engine::{Engine, Options, Stage, StageModel};
use crate::error::EngineError;
use crate::registry::EngineStatus;
/// Name of this engine.
pub const NAME: &str = "onnxruntime";
/// The engine (being written).
pub struct OnnxRuntime;
impl OnnxRuntime {
    /// Not yet.
    pub fn new(_: &Options) -> Result<Self, EngineError> {
        Err(EngineError::Unavailable { engine: NAME, detail: "not written yet".into(), remedy: "wait".into() })
    }
}
impl Engine for OnnxRuntime {
    fn name(&self) -> &str { NAME }
    fn version(&self) -> String { String::new() }
    fn compile(&self, _: StageModel) -> Result<Box<dyn Stage>, EngineError> { match Self::new(&Options::default()) { Err(e) => Err(e), Ok(_) => loop {} } }
}
pub(crate) fn status() -> EngineStatus {
    EngineStatus { name: NAME, present: false, version: None, detail: "not written yet".into(), install: None }
}
