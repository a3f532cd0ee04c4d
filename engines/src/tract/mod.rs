//! [tract](https://github.com/sonos/tract), pure Rust: an engine that shares no code with the other two, so that a
//! result which all three agree on is not one engine's habit. It also runs float16 graphs.
//!
//! It runs on one thread, its GridSample is slow (use the `gather` lowering of deformable attention), and it optimises a
//! graph for fixed shapes: each new length of a symbolic axis costs a compilation, of which the last few are kept.

mod buffer;
mod stage;

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::prelude::{Framework, TractResult};
use tract_onnx::tract_hir::internal::anyhow;

use crate::check;
use crate::engine::{Engine, ModelSource, Options, Stage, StageModel};
use crate::error::EngineError;
use crate::registry::EngineStatus;

use stage::TractStage;

/// Name of this engine.
pub const NAME: &str = "tract";
/// Kept equal to the version that Cargo.toml pins.
const VERSION: &str = "tract-onnx 0.23.9";

/// The tract engine.
pub struct Tract;

impl Tract {
    /// Prepares the engine. It has no options: [`Options::threads`] does not apply.
    pub fn new(_options: &Options) -> Self {
        Self
    }
}

impl Engine for Tract {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        VERSION.into()
    }

    fn compile(&self, model: StageModel) -> Result<Box<dyn Stage>, EngineError> {
        check::model(&model)?;
        let StageModel {
            name,
            inputs,
            outputs,
            source,
        } = model;
        let graph = check::guard(NAME, &name, "loading", || {
            load(source).map_err(|e| refused(&name, &e))
        })?;
        let stage = check::guard(NAME, &name, "loading", || {
            TractStage::new(name.clone(), inputs, outputs, graph)
        })?;
        Ok(Box::new(stage))
    }
}

/// A parsed graph, with the border names that tract itself forgets.
struct Graph {
    parsed: tract_onnx::model::ParseResult,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

fn load(source: ModelSource) -> TractResult<Graph> {
    match source {
        ModelSource::File(path) => {
            let mut proto = tract_onnx::onnx().proto_model_for_path(&path)?;
            part_half_gemms(&mut proto);
            // An empty parent is the current folder.
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            parse(&proto, folder.unwrap_or(Path::new(".")))
        }
        ModelSource::Memory { model, external } => {
            let mut proto = tract_onnx::onnx().proto_model_for_read(&mut model.as_slice())?;
            part_half_gemms(&mut proto);
            // tract reads external data from files only; they are gone once the graph is parsed.
            let folder = tempfile::Builder::new().prefix("socc-tract-").tempdir()?;
            for (location, bytes) in external {
                let inside = Path::new(&location)
                    .components()
                    .all(|c| matches!(c, Component::Normal(_)));
                if !inside {
                    return Err(anyhow!(
                        "external data `{location}` is outside the model's folder"
                    ));
                }
                let path = folder.path().join(location);
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::write(path, bytes)?;
            }
            parse(&proto, folder.path())
        }
    }
}

/// Turns `Gemm` with a float16 bias into a product and a sum: tract 0.23 multiplies the bias by a float32 `beta`, even
/// by 1, and then refuses the float32 result.
fn part_half_gemms(proto: &mut ModelProto) {
    let Some(graph) = proto.graph.as_mut() else {
        return;
    };
    let half = graph.initializer.iter();
    let half = half.filter(|t| t.data_type == DataType::Float16 as i32);
    let half: HashSet<&str> = half.map(|t| t.name.as_str()).collect();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        let has_half_bias = node.input.get(2).is_some_and(|b| half.contains(b.as_str()));
        if node.op_type != "Gemm" || !has_half_bias {
            nodes.push(node);
            continue;
        }
        let product = format!("{}/product", node.output[0]);
        let sum = NodeProto {
            name: format!("{}/bias", node.name),
            op_type: "Add".to_owned(),
            input: vec![product.clone(), node.input.remove(2)],
            output: std::mem::replace(&mut node.output, vec![product]),
            ..NodeProto::default()
        };
        nodes.extend([node, sum]);
    }
    graph.node = nodes;
}

fn parse(proto: &ModelProto, folder: &Path) -> TractResult<Graph> {
    let graph = proto
        .graph
        .as_ref()
        .ok_or_else(|| anyhow!("the model holds no graph"))?;
    let folder = folder
        .to_str()
        .ok_or_else(|| anyhow!("{} is not UTF-8", folder.display()))?;
    // Intermediate shapes in the file name symbols; each compilation infers them anew from concrete lengths.
    let onnx = tract_onnx::onnx().with_ignore_value_info(true);
    let weight = |name: &str| graph.initializer.iter().any(|t| t.name == name);
    Ok(Graph {
        parsed: onnx.parse(proto, Some(folder))?,
        inputs: graph
            .input
            .iter()
            .map(|i| i.name.clone())
            .filter(|n| !weight(n))
            .collect(),
        outputs: graph.output.iter().map(|o| o.name.clone()).collect(),
    })
}

/// tract's reason with its causes, on one line.
fn refused(stage: &str, error: &tract_onnx::prelude::TractError) -> EngineError {
    EngineError::Load {
        engine: NAME,
        stage: stage.to_string(),
        detail: format!("{error:#}"),
    }
}

/// Present in every build that has the feature.
pub(crate) fn status() -> EngineStatus {
    EngineStatus {
        name: NAME,
        present: true,
        version: Some(VERSION.into()),
        detail: "pure Rust, part of this program, CPU, one thread".into(),
        install: None,
    }
}
