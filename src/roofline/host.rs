//! Peaks of this machine's processors, measured on the spot.

use std::thread;
use std::time::{Duration, Instant};

use ndarray::ArrayD;
use socc_engines::{
    Engine, EngineError, HostTensor, ModelSource, Options, StageModel, Tensor, engine,
};
use socc_exporter::graph::{Graph, GraphError};
use socc_exporter::onnx::{self, OnnxError};
use socc_exporter::tensor::{DType, Dim};

use super::Machine;

/// Name of this machine's processors among devices.
pub const HOST: &str = "cpu";
/// Side of the matrices whose product is timed: its operands exceed every cache, its arithmetic hides that.
const SIDE: usize = 1536;
/// Bytes that each processor moves: more than its share of any cache.
const BLOCK_BYTES: usize = 64 << 20;
/// Time for each peak.
const LEAST: Duration = Duration::from_millis(400);

/// Why a peak could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum HostPeakError {
    /// The product's graph could not be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The product's graph could not be serialised.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The engine refused it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Measures what large float32 matrix products and copies reach: the best of `engines` (names) that are present, on as
/// many threads as `options` say.
///
/// # Errors
/// No engine could run the product.
pub fn measure_host(engines: &[&str], options: &Options) -> Result<Machine, HostPeakError> {
    let mut best: Option<(f64, String)> = None;
    let mut failed = None;
    for name in engines {
        match engine(name, options)
            .map_err(Into::into)
            .and_then(|e| product_flops(&*e))
        {
            Ok(flops) if best.as_ref().is_none_or(|(b, _)| flops > *b) => {
                best = Some((flops, (*name).to_owned()));
            }
            Ok(_) => {}
            Err(e) => failed = Some(e),
        }
    }
    let (fp32_flops, by) = match (best, failed) {
        (Some(best), _) => best,
        (None, Some(e)) => return Err(e),
        (None, None) => (0.0, "nothing".to_owned()),
    };
    let threads = options.threads;
    let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    Ok(Machine {
        name: HOST.to_owned(),
        fp32_flops,
        fp16_flops: None,
        int8_ops: None,
        bandwidth: bandwidth(threads),
        source: format!(
            "measured here, best of several: float32 products of {SIDE}x{SIDE} by engine {by}, copies of {} MiB on {threads} threads",
            BLOCK_BYTES >> 20
        ),
    })
}

/// Float operations per second of a large matrix product.
fn product_flops(engine: &dyn Engine) -> Result<f64, HostPeakError> {
    let mut graph = Graph::new("product");
    let shape = [Dim::Fixed(SIDE), Dim::Fixed(SIDE)];
    let a = graph.input("a", DType::F32, &shape)?;
    let b = graph.input("b", DType::F32, &shape)?;
    let c = graph.matmul(a, b)?;
    graph.output("c", c)?;
    let memory = onnx::to_memory(&graph)?;
    let mut stage = engine.compile(StageModel {
        name: "product".to_owned(),
        inputs: graph.inputs(),
        outputs: graph.outputs(),
        source: ModelSource::Memory {
            model: memory.model,
            external: memory.external,
        },
    })?;
    let operand = || -> Result<Tensor, EngineError> {
        engine.upload(HostTensor::F32(ArrayD::from_elem(vec![SIDE, SIDE], 0.5)))
    };
    let operands = [operand()?, operand()?];
    let seconds = best_of(|| stage.run(&operands).map(drop))?;
    Ok(2.0 * (SIDE as f64).powi(3) / seconds)
}

/// Bytes per second that `threads` processors copy, read and written bytes together.
fn bandwidth(threads: usize) -> f64 {
    let blocks: Vec<(Vec<u8>, Vec<u8>)> = (0..threads)
        .map(|_| (vec![1u8; BLOCK_BYTES], vec![2u8; BLOCK_BYTES]))
        .collect();
    let rates = thread::scope(|scope| {
        let copies = blocks.into_iter().map(|(from, mut to)| {
            scope.spawn(move || {
                let seconds = best_of(|| {
                    to.copy_from_slice(std::hint::black_box(&from));
                    std::hint::black_box(&mut to);
                    Ok::<_, std::convert::Infallible>(())
                });
                let Ok(seconds) = seconds;
                2.0 * BLOCK_BYTES as f64 / seconds
            })
        });
        let copies: Vec<_> = copies.collect();
        let rates = copies.into_iter().filter_map(|c| c.join().ok());
        rates.collect::<Vec<f64>>()
    });
    rates.iter().sum()
}

/// Seconds of the shortest run, of as many as fit.
fn best_of<E>(mut body: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed() < LEAST || best.is_infinite() {
        let start = Instant::now();
        body()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
