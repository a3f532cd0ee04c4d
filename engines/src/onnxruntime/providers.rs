//! Where ONNX Runtime computes: on the CPU, or on an NVIDIA GPU through one of its providers.
//!
//! A provider that is asked for is one that computes: ONNX Runtime itself would fall back to the CPU in silence, and it
//! calls a provider available that cannot be loaded. So a failed registration is an error, so is a node that would run
//! on the CPU, and [`prove`] runs a sum before an engine is handed out.

use std::fs;
use std::path::{Path, PathBuf};

use ort::ep::{CPU, CUDA, ExecutionProviderDispatch, TensorRT};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::TensorRef;
use sha2::{Digest, Sha256};
use socc_exporter::digest::hex;
use socc_exporter::graph::Graph;
use socc_exporter::onnx::to_memory;
use socc_exporter::tensor::{DType, TensorSpec};

use crate::cache;
use crate::engine::ModelSource;
use crate::error::EngineError;
use crate::tensorrt::Profile;

/// Folder within the cache for engines and timings of the TensorRT provider.
const CACHE: &str = "onnxruntime-tensorrt";
/// Longest sentence that any of the text encoders takes, in tokens.
const MAX_TOKENS: usize = 512;
/// Operator of quantised graphs.
const QUANTIZE: &[u8] = b"QuantizeLinear";

/// Where ONNX Runtime computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// The CPU.
    Cpu,
    /// CUDA kernels.
    Cuda,
    /// TensorRT, and CUDA kernels for what that refuses.
    TensorRt,
}

impl Provider {
    /// Name of the engine that computes there.
    pub(crate) const fn engine(self) -> &'static str {
        match self {
            Self::Cpu => "onnxruntime",
            Self::Cuda => "onnxruntime:cuda",
            Self::TensorRt => "onnxruntime:tensorrt",
        }
    }

    /// What it is, for `socc doctor`.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
            Self::TensorRt => "TensorRT, CUDA for what that refuses",
        }
    }

    /// What to do where it cannot be used.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Cpu => "run `socc setup onnxruntime`, or point ORT_DYLIB_PATH at the library",
            Self::Cuda => {
                "on a machine with an NVIDIA GPU, its driver, CUDA and cuDNN, install PyPI's onnxruntime-gpu and point ORT_DYLIB_PATH at its libonnxruntime.so"
            }
            Self::TensorRt => {
                "on a machine with an NVIDIA GPU, its driver, CUDA, cuDNN and TensorRT, install PyPI's onnxruntime-gpu and point ORT_DYLIB_PATH at its libonnxruntime.so"
            }
        }
    }
}

/// What a provider is told about one session.
#[derive(Debug, Clone, Default)]
pub(super) struct Setting {
    /// Which GPU.
    pub(super) device: usize,
    /// Folder for engines and timings, of TensorRT.
    pub(super) cache: Option<PathBuf>,
    /// Shapes of the inputs that vary, of TensorRT: shortest, usual, longest.
    pub(super) profile: Option<[String; 3]>,
    /// Whether the graph is quantised, of TensorRT.
    pub(super) is_quantised: bool,
    /// Whether what a run leaves goes back to the system, of the CPU: kept for the next run, it makes that a third
    /// faster and holds the most that any run has needed.
    pub(super) is_large: bool,
}

/// Makes sessions compute at `provider`, and nowhere else.
pub(super) fn register(
    provider: Provider,
    setting: &Setting,
    builder: SessionBuilder,
) -> ort::Result<SessionBuilder> {
    let providers: Vec<ExecutionProviderDispatch> = match provider {
        Provider::Cpu if setting.is_large => {
            let cpu = CPU::default().with_arena_allocator(false).build();
            let builder = builder.with_execution_providers([cpu])?;
            return Ok(builder.with_memory_pattern(false)?);
        }
        Provider::Cpu => return Ok(builder),
        Provider::Cuda => vec![cuda(setting)],
        Provider::TensorRt => vec![tensorrt(setting), cuda(setting)],
    };
    let builder = builder.with_execution_providers(providers)?;
    Ok(builder.with_disable_cpu_fallback()?)
}

fn device_id(setting: &Setting) -> i32 {
    // A number that no machine has is refused by the driver.
    i32::try_from(setting.device).unwrap_or(i32::MAX)
}

fn cuda(setting: &Setting) -> ExecutionProviderDispatch {
    CUDA::default()
        .with_device_id(device_id(setting))
        // Float32 in the graph means float32, not 10 bits of fraction.
        .with_tf32(false)
        .build()
        .error_on_failure()
}

fn tensorrt(setting: &Setting) -> ExecutionProviderDispatch {
    let mut provider = TensorRT::default()
        .with_device_id(device_id(setting))
        // Precision is in the graph: nothing is lowered on top of it. TensorRT 10 takes a quantised graph only where
        // integers are allowed, and then quantises no more than the graph says.
        .with_fp16(false)
        .with_bf16(false)
        .with_int8(setting.is_quantised);
    if let Some(cache) = &setting.cache {
        let cache = cache.to_string_lossy();
        provider = provider
            .with_engine_cache(true)
            .with_engine_cache_path(&cache)
            .with_timing_cache(true)
            .with_timing_cache_path(&cache);
    }
    if let Some([min, opt, max]) = &setting.profile {
        provider = provider
            .with_profile_min_shapes(min)
            .with_profile_opt_shapes(opt)
            .with_profile_max_shapes(max);
    }
    provider.build().error_on_failure()
}

/// Shapes of the inputs that vary, as the TensorRT provider reads them: `name:1x2,other:2x128`.
pub(super) fn profile(inputs: &[TensorSpec]) -> Option<[String; 3]> {
    let tokens = Profile::tokens(MAX_TOKENS);
    let varying = inputs.iter();
    let varying: Vec<_> = varying
        .filter_map(|spec| Some((spec, tokens.shapes(spec)?)))
        .collect();
    let at = |length: usize| -> String {
        let inputs = varying.iter().map(|(spec, shapes)| {
            let dims: Vec<String> = shapes[length].iter().map(usize::to_string).collect();
            format!("{}:{}", spec.name, dims.join("x"))
        });
        inputs.collect::<Vec<_>>().join(",")
    };
    (!varying.is_empty()).then(|| [at(0), at(1), at(2)])
}

/// Whether a graph has nodes that quantise. A protobuf has operators' names as they are.
///
/// # Errors
/// The graph cannot be read.
pub(super) fn is_quantised(source: &ModelSource) -> Result<bool, EngineError> {
    let holds = |model: &[u8]| model.windows(QUANTIZE.len()).any(|w| w == QUANTIZE);
    match source {
        ModelSource::Memory { model, .. } => Ok(holds(model)),
        ModelSource::File(path) => {
            let model = fs::read(path).map_err(|source| EngineError::Io {
                action: "read",
                path: path.clone(),
                source,
            })?;
            Ok(holds(&model))
        }
    }
}

/// Folder for a graph's engines. ONNX Runtime tells engines apart by the graph's names alone, so graphs that differ in
/// their weights only need folders of their own.
///
/// # Errors
/// The graph cannot be read, or the folder not be made.
pub(super) fn cache_folder(
    version: &str,
    source: &ModelSource,
) -> Result<Option<PathBuf>, EngineError> {
    let Some(root) = cache::root(CACHE) else {
        return Ok(None);
    };
    let folder = root.join(version).join(fingerprint(source)?);
    fs::create_dir_all(&folder).map_err(|source| EngineError::Io {
        action: "create",
        path: folder.clone(),
        source,
    })?;
    Ok(Some(folder))
}

/// Hash of a graph and its weights.
fn fingerprint(source: &ModelSource) -> Result<String, EngineError> {
    let mut hash = Sha256::new();
    match source {
        ModelSource::File(path) => {
            hash_file(path, &mut hash)?;
            // Where the exporter puts weights.
            let mut data = path.clone().into_os_string();
            data.push(".data");
            if Path::new(&data).is_file() {
                hash_file(Path::new(&data), &mut hash)?;
            }
        }
        ModelSource::Memory { model, external } => {
            hash.update(model);
            for (_, bytes) in external {
                hash.update(bytes);
            }
        }
    }
    Ok(hex(&hash.finalize()))
}

fn hash_file(path: &Path, hash: &mut Sha256) -> Result<(), EngineError> {
    let copied = fs::File::open(path).and_then(|mut file| std::io::copy(&mut file, hash));
    copied.map(|_| ()).map_err(|source| EngineError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// Runs a sum in a session of `builder`; `Err` with what went wrong.
pub(super) fn prove(mut builder: SessionBuilder) -> Result<(), String> {
    let model = sum().ok_or("the test graph cannot be made")?;
    let mut run = || -> ort::Result<Vec<f32>> {
        let mut session: Session = builder.commit_from_memory(&model)?;
        let x = TensorRef::from_array_view(([2_usize], [1.5_f32, -2.0].as_slice()))?;
        let outputs = session.run(ort::inputs![x])?;
        let (_, sum) = outputs[0].try_extract_tensor::<f32>()?;
        Ok(sum.to_vec())
    };
    match run() {
        Ok(sum) if sum == [3.0, -4.0] => Ok(()),
        Ok(sum) => Err(format!("it says that 1.5 + 1.5 and -2 - 2 are {sum:?}")),
        Err(error) => Err(reason(&error)),
    }
}

/// The graph `y = x + x` of two float32.
fn sum() -> Option<Vec<u8>> {
    let mut graph = Graph::new("sum");
    let x = graph.input("x", DType::F32, &[2.into()]).ok()?;
    let y = graph.add(x, x).ok()?;
    graph.output("y", y).ok()?;
    Some(to_memory(&graph).ok()?.model)
}

/// ONNX Runtime's words in one line, and what they mean where they do not say it.
pub(super) fn reason(error: &ort::Error) -> String {
    explain(error.message())
}

fn explain(message: &str) -> String {
    if message.contains("fallback to CPU EP has been explicitly disabled") {
        return "the provider has no kernel for some node, which would run on the CPU".into();
    }
    // What stands before tells where in its sources the library was: `FILE:LINE FUNCTION [ONNXRuntimeError] : 1 : FAIL :`.
    let told = message
        .rsplit("[ONNXRuntimeError]")
        .next()
        .unwrap_or(message);
    let told = match told.len() < message.len() {
        true => told.splitn(4, " : ").last().unwrap_or(told),
        false => told,
    };
    let words: Vec<&str> = told.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use socc_exporter::graph::Data;
    use socc_exporter::tensor::Dim;

    fn spec(name: &str, shape: Vec<Dim>) -> TensorSpec {
        TensorSpec {
            name: name.into(),
            dtype: DType::F32,
            shape,
        }
    }

    #[test]
    fn inputs_that_vary_are_told_their_lengths() {
        let s = || Dim::Symbol("sequence".into());
        let fusion = [
            spec("levels", vec![3.into(), 321.into(), 128.into()]),
            spec("word_features", vec![s(), 128.into()]),
            spec("word_positions", vec![s(), 64.into()]),
        ];
        assert_eq!(
            profile(&fusion),
            Some([
                "word_features:2x128,word_positions:2x64".to_owned(),
                "word_features:12x128,word_positions:12x64".to_owned(),
                "word_features:512x128,word_positions:512x64".to_owned(),
            ])
        );
        assert_eq!(profile(&fusion[..1]), None);
    }

    #[test]
    fn graphs_that_differ_in_weights_only_have_other_folders() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fusion.onnx");
        let print = |data: &[u8]| {
            fs::write(dir.path().join("fusion.onnx.data"), data).unwrap();
            fingerprint(&ModelSource::File(path.clone())).unwrap()
        };
        fs::write(&path, "graph").unwrap();
        let first = print(b"weights");
        assert_ne!(first, print(b"Weights"));
        assert_eq!(first, print(b"weights"));
        let memory = ModelSource::Memory {
            model: b"graph".to_vec(),
            external: vec![("fusion.onnx.data".into(), b"weights".to_vec())],
        };
        assert_eq!(first, fingerprint(&memory).unwrap());
        // SHA-256 of "graphweights" by Python's hashlib.
        assert_eq!(first, HASH);
        let missing = fingerprint(&ModelSource::File(dir.path().join("none")));
        assert!(missing.unwrap_err().to_string().contains("cannot read"));
    }

    const HASH: &str = "e814e4e36a7a301f3911b1ee711295a206b8be436e937f9fadab5786479b36bd";

    #[test]
    fn quantised_graphs_are_recognised() {
        let mut graph = Graph::new("quantised");
        let x = graph.input("x", DType::F32, &[2.into()]).unwrap();
        let scale = graph.constant(&[], &[0.5]).unwrap();
        let zero = Data::Bytes([0].as_slice().into());
        let zero = graph.initializer("zero", DType::I8, &[], zero).unwrap();
        let y = graph.quantize(x, scale, zero).unwrap();
        let y = graph.dequantize(y, scale, zero, None).unwrap();
        graph.output("y", y).unwrap();
        let memory = |model| ModelSource::Memory {
            model,
            external: vec![],
        };
        let quantised = to_memory(&graph).unwrap().model;
        assert!(is_quantised(&memory(quantised)).unwrap());
        assert!(!is_quantised(&memory(sum().unwrap())).unwrap());
    }

    #[test]
    fn a_node_on_the_cpu_is_told_in_words() {
        let message = "This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.";
        assert!(explain(message).contains("no kernel for some node"));
    }

    #[test]
    fn only_the_reason_is_told() {
        // As the libraries of onnxruntime-gpu 1.31.1 and onnxruntime 1.32.0 say it.
        let bridge = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory\n";
        assert_eq!(
            explain(bridge),
            "Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory"
        );
        assert_eq!(
            explain("CUDA execution provider is not enabled in this build. "),
            "CUDA execution provider is not enabled in this build"
        );
    }
}
