//! Checks that every engine makes before it compiles or runs: names, types, shapes, symbols, panics.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use socc_exporter::tensor::{DType, Dim, TensorSpec};

use crate::engine::{ModelSource, StageModel};
use crate::error::EngineError;
use crate::tensor::Tensor;

/// What the tensors of one run said about each symbolic axis: its length and the tensor that said so.
#[derive(Debug, Default)]
pub(crate) struct Symbols(BTreeMap<String, (usize, String)>);

/// Checks a model before an engine sees it: border types, and that a file is there.
pub(crate) fn model(model: &StageModel) -> Result<(), EngineError> {
    for (role, specs) in [("input", &model.inputs), ("output", &model.outputs)] {
        for spec in specs {
            if !matches!(spec.dtype, DType::F32 | DType::I64 | DType::I32 | DType::U8) {
                return Err(EngineError::Border {
                    stage: model.name.clone(),
                    role,
                    tensor: spec.name.clone(),
                    dtype: spec.dtype,
                });
            }
        }
    }
    if let ModelSource::File(path) = &model.source {
        std::fs::File::open(path).map_err(|source| EngineError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Checks that the declared names are those of the graph. A stage may leave an output unused, but not an input.
pub(crate) fn names(
    stage: &str,
    role: &'static str,
    specs: &[TensorSpec],
    graph: &[String],
) -> Result<(), EngineError> {
    let declared = specs.iter().all(|s| graph.contains(&s.name));
    let needed = role == "output" || graph.iter().all(|n| specs.iter().any(|s| s.name == *n));
    if declared && needed {
        return Ok(());
    }
    Err(EngineError::Names {
        stage: stage.to_string(),
        role,
        expected: list(specs),
        got: graph.join(", "),
    })
}

/// Checks count, types and shapes of a run's inputs or outputs; `symbols` carries lengths from the one to the other.
pub(crate) fn tensors(
    stage: &str,
    role: &'static str,
    specs: &[TensorSpec],
    tensors: &[Tensor],
    symbols: &mut Symbols,
) -> Result<(), EngineError> {
    if specs.len() != tensors.len() {
        return Err(EngineError::Count {
            stage: stage.to_string(),
            role,
            expected: specs.len(),
            got: tensors.len(),
            names: list(specs),
        });
    }
    for (spec, tensor) in specs.iter().zip(tensors) {
        if tensor.dtype() != spec.dtype {
            return Err(EngineError::DType {
                stage: stage.to_string(),
                role,
                tensor: spec.name.clone(),
                expected: spec.dtype,
                got: tensor.dtype(),
            });
        }
        symbols
            .unify(spec, &tensor.shape())
            .map_err(|note| EngineError::Shape {
                stage: stage.to_string(),
                role,
                tensor: spec.name.clone(),
                expected: shape(&spec.shape) + &note,
                got: tensor.shape(),
            })?;
    }
    Ok(())
}

impl Symbols {
    /// Compares a shape with its declaration and learns new symbols; the error adds to the declaration which symbol
    /// clashed, if one did.
    fn unify(&mut self, spec: &TensorSpec, got: &[usize]) -> Result<(), String> {
        if spec.shape.len() != got.len() {
            return Err(String::new());
        }
        for (dim, &length) in spec.shape.iter().zip(got) {
            match dim {
                Dim::Fixed(n) if *n == length => {}
                Dim::Fixed(_) => return Err(String::new()),
                Dim::Symbol(symbol) => {
                    let entry = (length, spec.name.clone());
                    let (known, by) = self.0.entry(symbol.clone()).or_insert(entry);
                    if *known != length {
                        return Err(format!(" with {symbol} = {known} as in `{by}`"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Calls into a back end; its panic becomes an error that names the stage.
pub(crate) fn guard<T>(
    engine: &'static str,
    stage: &str,
    action: &'static str,
    call: impl FnOnce() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    // What the closure borrows is either dropped after a panic or only read by the back end's own, checked, calls.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        Err(EngineError::Panic {
            engine,
            stage: stage.to_string(),
            action,
            detail: message(payload.as_ref()),
        })
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_string()
    }
}

pub(crate) fn list(specs: &[TensorSpec]) -> String {
    let names: Vec<_> = specs.iter().map(|s| s.name.as_str()).collect();
    names.join(", ")
}

pub(crate) fn shape(dims: &[Dim]) -> String {
    let dims: Vec<_> = dims.iter().map(ToString::to_string).collect();
    format!("[{}]", dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::HostTensor;
    use ndarray::ArrayD;

    fn spec(name: &str, shape: Vec<Dim>) -> TensorSpec {
        TensorSpec {
            name: name.into(),
            dtype: DType::F32,
            shape,
        }
    }

    fn zeros(shape: &[usize]) -> Tensor {
        HostTensor::from(ArrayD::<f32>::zeros(shape)).into()
    }

    #[test]
    fn a_symbol_has_one_length_in_a_run() {
        let s = || Dim::Symbol("S".into());
        let specs = [
            spec("words", vec![s(), 4.into()]),
            spec("positions", vec![s(), 4.into()]),
        ];
        let check = |a: &[usize], b: &[usize]| {
            tensors(
                "fusion",
                "input",
                &specs,
                &[zeros(a), zeros(b)],
                &mut Symbols::default(),
            )
        };
        assert!(check(&[7, 4], &[7, 4]).is_ok());
        let message = check(&[7, 4], &[6, 4]).unwrap_err().to_string();
        for part in [
            "fusion",
            "positions",
            "[S, 4]",
            "[6, 4]",
            "S = 7 as in `words`",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn count_rank_and_length_are_checked() {
        let specs = [spec("x", vec![2.into(), 3.into()])];
        let check = |t: &[Tensor]| tensors("s", "input", &specs, t, &mut Symbols::default());
        assert!(matches!(check(&[]), Err(EngineError::Count { .. })));
        assert!(matches!(
            check(&[zeros(&[2])]),
            Err(EngineError::Shape { .. })
        ));
        assert!(matches!(
            check(&[zeros(&[2, 4])]),
            Err(EngineError::Shape { .. })
        ));
        let wrong = HostTensor::from(ArrayD::<i64>::zeros(vec![2, 3])).into();
        assert!(matches!(check(&[wrong]), Err(EngineError::DType { .. })));
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let result: Result<(), _> = guard("embedded", "fusion", "running", || {
            std::panic::panic_any("index out of range".to_string())
        });
        let message = result.unwrap_err().to_string();
        assert!(
            message.contains("fusion") && message.contains("index out of range"),
            "{message}"
        );
    }
}
