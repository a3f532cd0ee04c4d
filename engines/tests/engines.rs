//! Every engine against ONNX Runtime's Python package, on the models in `fixtures/` (see its README).
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use ndarray::ArrayD;
use serde_json::Value;
use socc_engines::{
    Engine, EngineError, HostTensor, ModelSource, Options, Stage, StageModel, Tensor, engine, host,
};
use socc_exporter::tensor::{DType, Dim, TensorSpec};

const ENGINES: [&str; 3] = ["embedded", "onnxruntime", "tract"];

/// How far an engine's floats may be from the expected ones.
#[derive(Clone, Copy)]
enum Tolerance {
    /// Same bits: integers, lookups.
    Exact,
    /// A few roundings: short sums in another order.
    Close,
    /// Approximated functions (exp, erf) on top of sums.
    Approximate,
}

impl Tolerance {
    fn of(case: &str) -> Self {
        match case {
            "argmax" | "embedding" => Self::Exact,
            "attention" => Self::Approximate,
            _ => Self::Close,
        }
    }

    /// Allowed difference, absolute plus relative to the expected value.
    fn bounds(self) -> (f32, f32) {
        match self {
            Self::Exact => (0.0, 0.0),
            Self::Close => (1e-6, 1e-6),
            Self::Approximate => (1e-5, 1e-5),
        }
    }

    fn check(self, got: &HostTensor, expected: &HostTensor, what: &str) {
        assert_eq!(got.shape(), expected.shape(), "{what}");
        match (got, expected) {
            (HostTensor::F32(got), HostTensor::F32(expected)) => {
                let (absolute, relative) = self.bounds();
                for (g, e) in got.iter().zip(expected) {
                    let allowed = absolute + relative * e.abs();
                    assert!((g - e).abs() <= allowed, "{what}: {g} against {e}");
                }
            }
            _ => assert_eq!(got, expected, "{what}"),
        }
    }
}

/// The engines of this build. ONNX Runtime may be absent on a developer's machine, never in CI.
fn engines() -> Vec<Box<dyn Engine>> {
    let options = Options {
        threads: Some(2),
        ..Options::default()
    };
    let mut found = Vec::new();
    for name in ENGINES {
        match engine(name, &options) {
            Ok(engine) => found.push(engine),
            Err(EngineError::Unavailable {
                engine: "onnxruntime",
                detail,
                ..
            }) => {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "CI must have ONNX Runtime: {detail}"
                );
                eprintln!("SKIPPED onnxruntime: {detail}");
            }
            Err(EngineError::Unavailable {
                engine: "tract", ..
            }) if cfg!(not(feature = "tract")) => {}
            Err(error) => panic!("{error}"),
        }
    }
    found
}

fn fixture(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(file)
}

fn cases() -> Vec<Value> {
    let text = fs::read_to_string(fixture("cases.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn case(name: &str) -> Value {
    cases().into_iter().find(|c| c["name"] == name).unwrap()
}

fn dtype(value: &Value) -> DType {
    serde_json::from_value(match value.as_str().unwrap() {
        "float32" => "f32".into(),
        "int64" => "i64".into(),
        "int32" => "i32".into(),
        _ => "u8".into(),
    })
    .unwrap()
}

fn specs(list: &Value) -> Vec<TensorSpec> {
    let dims = |shape: &Value| -> Vec<Dim> { serde_json::from_value(shape.clone()).unwrap() };
    let spec = |v: &Value| TensorSpec {
        name: v["name"].as_str().unwrap().into(),
        dtype: dtype(&v["dtype"]),
        shape: dims(&v["shape"]),
    };
    list.as_array().unwrap().iter().map(spec).collect()
}

fn tensors(list: &Value) -> Vec<HostTensor> {
    fn data<T: serde::de::DeserializeOwned>(v: &Value) -> ArrayD<T> {
        let shape: Vec<usize> = serde_json::from_value(v["shape"].clone()).unwrap();
        ArrayD::from_shape_vec(shape, serde_json::from_value(v["data"].clone()).unwrap()).unwrap()
    }
    let tensor = |v: &Value| match dtype(&v["dtype"]) {
        DType::F32 => HostTensor::F32(data(v)),
        DType::I64 => HostTensor::I64(data(v)),
        DType::I32 => HostTensor::I32(data(v)),
        _ => HostTensor::U8(data(v)),
    };
    list.as_array().unwrap().iter().map(tensor).collect()
}

fn model(case: &Value) -> StageModel {
    let name = case["name"].as_str().unwrap();
    StageModel {
        name: name.into(),
        inputs: specs(&case["inputs"]),
        outputs: specs(&case["outputs"]),
        source: ModelSource::File(fixture(&format!("{name}.onnx"))),
    }
}

fn in_memory(case: &Value) -> StageModel {
    let name = case["name"].as_str().unwrap();
    let mut external = Vec::new();
    if case["external"] == true {
        let location = format!("{name}.onnx.data");
        external.push((location.clone(), fs::read(fixture(&location)).unwrap()));
    }
    let bytes = fs::read(fixture(&format!("{name}.onnx"))).unwrap();
    StageModel {
        source: ModelSource::Memory {
            model: bytes,
            external,
        },
        ..model(case)
    }
}

fn check_runs(stage: &mut dyn Stage, case: &Value, what: &str) {
    let tolerance = Tolerance::of(case["name"].as_str().unwrap());
    for run in case["runs"].as_array().unwrap() {
        let inputs: Vec<Tensor> = tensors(&run["inputs"])
            .into_iter()
            .map(Tensor::from)
            .collect();
        let outputs = stage.run(&inputs).unwrap();
        for ((got, expected), spec) in outputs
            .iter()
            .zip(tensors(&run["outputs"]))
            .zip(stage.outputs())
        {
            let got = host(got).unwrap();
            tolerance.check(&got, &expected, &format!("{what}, `{}`", spec.name));
        }
    }
}

#[test]
fn every_engine_computes_what_onnx_runtime_computes() {
    for engine in engines() {
        for case in cases() {
            let what = format!("{} on {}", engine.name(), case["name"]);
            let mut stage = engine.compile(model(&case)).unwrap();
            check_runs(stage.as_mut(), &case, &format!("{what} from a file"));
            let mut stage = engine.compile(in_memory(&case)).unwrap();
            check_runs(stage.as_mut(), &case, &format!("{what} from memory"));
        }
    }
}

#[test]
fn outputs_come_in_the_declared_order() {
    let case = case("argmax");
    for engine in engines() {
        let mut swapped = model(&case);
        swapped.outputs.reverse();
        let mut stage = engine.compile(swapped).unwrap();
        let run = &case["runs"][0];
        let inputs: Vec<Tensor> = tensors(&run["inputs"])
            .into_iter()
            .map(Tensor::from)
            .collect();
        let outputs = stage.run(&inputs).unwrap();
        let mut expected = tensors(&run["outputs"]);
        expected.reverse();
        for (got, expected) in outputs.iter().zip(expected) {
            assert_eq!(*host(got).unwrap(), expected, "{}", engine.name());
        }
    }
}

#[test]
fn a_tensor_passes_from_any_engine_to_any_other() {
    let case = case("attention");
    let input = tensors(&case["runs"][0]["inputs"]).remove(0);
    let engines = engines();
    let run = |engine: &dyn Engine, input: &Tensor| -> Tensor {
        engine
            .compile(model(&case))
            .unwrap()
            .run(std::slice::from_ref(input))
            .unwrap()
            .remove(0)
    };
    let mut answers = Vec::new();
    for first in &engines {
        let middle = run(first.as_ref(), &Tensor::from(input.clone()));
        for second in &engines {
            // The buffer outlives the stage that made it: `run` drops the stage.
            let direct = host(&run(second.as_ref(), &middle)).unwrap().into_owned();
            let copied = Tensor::from(host(&middle).unwrap().into_owned());
            let through_host = host(&run(second.as_ref(), &copied)).unwrap().into_owned();
            assert_eq!(
                direct,
                through_host,
                "{} to {}",
                first.name(),
                second.name()
            );
            answers.push(direct);
        }
    }
    for answer in &answers {
        Tolerance::Approximate.check(answer, &answers[0], "between engines");
    }
}

#[test]
fn an_array_that_is_not_contiguous_is_taken_as_it_reads() {
    let case = case("linear");
    let run = &case["runs"][0];
    let HostTensor::F32(words) = tensors(&run["inputs"]).remove(0) else {
        panic!()
    };
    let transposed = words.t().as_standard_layout().into_owned().reversed_axes();
    assert!(!transposed.is_standard_layout());
    let expected = tensors(&run["outputs"]).remove(0);
    for engine in engines() {
        let mut stage = engine.compile(model(&case)).unwrap();
        let outputs = stage
            .run(&[HostTensor::from(transposed.clone()).into()])
            .unwrap();
        Tolerance::Close.check(&host(&outputs[0]).unwrap(), &expected, engine.name());
    }
}

#[test]
fn wrong_inputs_are_refused_with_stage_and_tensor() {
    let case = case("linear");
    for engine in engines() {
        let mut stage = engine.compile(model(&case)).unwrap();
        let mut refuse = |inputs: &[Tensor]| stage.run(inputs).err().unwrap().to_string();
        let wrong = refuse(&[HostTensor::from(ArrayD::<f32>::zeros(vec![2, 5])).into()]);
        assert!(
            wrong.contains("`linear`") && wrong.contains("`words`"),
            "{wrong}"
        );
        assert!(
            wrong.contains("[S, 4]") && wrong.contains("[2, 5]"),
            "{wrong}"
        );
        let wrong = refuse(&[HostTensor::from(ArrayD::<i64>::zeros(vec![2, 4])).into()]);
        assert!(
            wrong.contains("float32") && wrong.contains("int64"),
            "{wrong}"
        );
        assert!(refuse(&[]).contains("1 inputs (words), got 0"));
    }
}

#[test]
fn wrong_models_are_refused_with_the_stage() {
    let refuse = |engine: &dyn Engine, model: StageModel| engine.compile(model).err().unwrap();
    let case = case("linear");
    for engine in engines() {
        let engine = engine.as_ref();
        let absent = StageModel {
            source: ModelSource::File("no/such.onnx".into()),
            ..model(&case)
        };
        assert!(
            matches!(refuse(engine, absent), EngineError::Io { .. }),
            "{}",
            engine.name()
        );
        for bytes in [
            Vec::new(),
            b"not a model".to_vec(),
            fs::read(fixture("linear.onnx")).unwrap()[..90].to_vec(),
        ] {
            let source = ModelSource::Memory {
                model: bytes,
                external: Vec::new(),
            };
            let error = refuse(
                engine,
                StageModel {
                    source,
                    ..model(&case)
                },
            );
            let load = matches!(error, EngineError::Load { .. } | EngineError::Names { .. });
            assert!(load, "{}: {error}", engine.name());
            assert!(error.to_string().contains("`linear`"), "{error}");
        }
        let mut renamed = model(&case);
        renamed.outputs[0].name = "masks".into();
        let message = refuse(engine, renamed).to_string();
        assert!(
            message.contains("masks") && message.contains("features"),
            "{message}"
        );
        let mut half = model(&case);
        half.inputs[0].dtype = DType::F16;
        assert!(matches!(refuse(engine, half), EngineError::Border { .. }));
    }
}

#[test]
fn missing_external_data_is_refused() {
    let case = case("linear_external");
    for engine in engines() {
        let bytes = fs::read(fixture("linear_external.onnx")).unwrap();
        let source = ModelSource::Memory {
            model: bytes,
            external: Vec::new(),
        };
        let error = engine
            .compile(StageModel {
                source,
                ..model(&case)
            })
            .err()
            .unwrap();
        assert!(
            matches!(error, EngineError::Load { .. }),
            "{}: {error}",
            engine.name()
        );
    }
}

#[test]
fn the_embedded_engine_refuses_integers_that_it_would_wrap() {
    let engine = engine("rten", &Options::default()).unwrap();
    let mut stage = engine.compile(model(&case("embedding"))).unwrap();
    let ids = HostTensor::I64(ArrayD::from_elem(vec![1, 2], 1 << 40));
    let message = stage.run(&[ids.into()]).err().unwrap().to_string();
    assert!(
        message.contains("`ids`") && message.contains("1099511627776"),
        "{message}"
    );
}

/// Downloads: `XDG_CACHE_HOME=$(mktemp -d) cargo test -p socc-engines -- --ignored`.
#[test]
#[ignore = "downloads with pip into the user's cache"]
fn setup_fetches_a_library_that_opens() {
    let mut said = Vec::new();
    let first = socc_engines::onnxruntime::setup(&mut |line| said.push(line.to_string())).unwrap();
    let second = socc_engines::onnxruntime::setup(&mut |line| said.push(line.to_string())).unwrap();
    assert_eq!(first, second);
    assert!(said.last().unwrap().contains("already"), "{said:?}");
    let options = Options {
        onnxruntime_library: Some(first),
        ..Options::default()
    };
    assert!(
        engine("onnxruntime", &options)
            .unwrap()
            .version()
            .starts_with("1.")
    );
}
