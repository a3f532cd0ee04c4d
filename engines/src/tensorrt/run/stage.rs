//! A stage that runs a plan.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use cudarc::driver::{CudaEvent, CudaSlice};
use socc_exporter::tensor::TensorSpec;

use crate::check::{self, Symbols};
use crate::engine::{Breakdown, Stage};
use crate::error::EngineError;
use crate::tensor::{HostTensor, Tensor};

use super::binding;
use super::device::{self, Device, Turn, said};
use super::memory::{DeviceBuffer, Slot, address};
use super::replay::{Key, Replay, Step};
use super::session::{Graph, Session};

/// A stage that runs a plan.
pub(super) struct PlanStage {
    engine: &'static str,
    name: String,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    /// Captured runs, if wanted. Before the session, which they were captured from, so that they go first.
    replay: Option<Replay<Graph>>,
    session: Session,
    device: Arc<Device>,
    /// Memory of each output.
    slots: Vec<Slot>,
    /// Input shapes that the session has; `None` where setting them failed half-way.
    shapes: Option<Vec<Vec<usize>>>,
    clock: Clock,
    breakdown: Option<Breakdown>,
}

/// Moments of a run on the device's clock.
struct Clock {
    begun: CudaEvent,
    uploaded: CudaEvent,
    computed: CudaEvent,
}

/// Memory of a run's tensors, in the stage's order.
struct Run {
    inputs: Vec<Arc<CudaSlice<u8>>>,
    outputs: Vec<Output>,
}

/// Memory that a run fills.
struct Output {
    memory: Arc<CudaSlice<u8>>,
    shape: Vec<usize>,
}

impl PlanStage {
    /// Checks that the plan is the stage's.
    pub(super) fn new(
        engine: &'static str,
        name: String,
        inputs: Vec<TensorSpec>,
        outputs: Vec<TensorSpec>,
        session: Session,
        device: Arc<Device>,
        uses_graphs: bool,
    ) -> Result<Self, EngineError> {
        let refused = |detail: String| EngineError::Load {
            engine,
            stage: name.clone(),
            detail,
        };
        let bindings = session.bindings().map_err(refused)?;
        binding::check(&name, &inputs, &outputs, &bindings)?;
        let timer = || device::timer(&device).map_err(refused);
        Ok(Self {
            clock: Clock {
                begun: timer()?,
                uploaded: timer()?,
                computed: timer()?,
            },
            engine,
            slots: outputs.iter().map(|_| Slot::default()).collect(),
            name,
            inputs,
            outputs,
            replay: uses_graphs.then(Replay::new),
            session,
            device,
            shapes: None,
            breakdown: None,
        })
    }

    /// The device's own memory of a tensor, if it is this device's.
    fn native<'a>(&self, tensor: &'a Tensor) -> Option<&'a DeviceBuffer> {
        let buffer = tensor.as_any().downcast_ref::<DeviceBuffer>()?;
        Arc::ptr_eq(&buffer.device, &self.device).then_some(buffer)
    }

    fn call(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        // Tensors of other engines come to the CPU first, before this device is locked: theirs may be another device.
        let hosts = inputs
            .iter()
            .map(|t| match self.native(t) {
                Some(_) => Ok(None),
                None => crate::host(t).map(Some),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let device = Arc::clone(&self.device);
        let ran = device
            .turn()
            .and_then(|mut turn| self.execute(&mut turn, inputs, &hosts));
        let run = ran.map_err(|detail| EngineError::Run {
            engine: self.engine,
            stage: self.name.clone(),
            detail,
        })?;
        let tensor = |(spec, output): (&TensorSpec, Output)| -> Tensor {
            Arc::new(DeviceBuffer {
                engine: self.engine,
                device: Arc::clone(&device),
                memory: output.memory,
                dtype: spec.dtype,
                shape: output.shape,
            })
        };
        Ok(self.outputs.iter().zip(run.outputs).map(tensor).collect())
    }

    /// Runs the plan and waits for it.
    fn execute(
        &mut self,
        turn: &mut Turn<'_>,
        tensors: &[Tensor],
        hosts: &[Option<Cow<'_, HostTensor>>],
    ) -> Result<Run, String> {
        self.breakdown = None;
        let stream = Arc::clone(self.device.stream());
        self.clock.begun.record(&stream).map_err(said)?;
        let mut inputs = Vec::with_capacity(tensors.len());
        for (tensor, host) in tensors.iter().zip(hosts) {
            inputs.push(match (self.native(tensor), host) {
                (Some(native), _) => Arc::clone(&native.memory),
                (None, Some(host)) => turn.upload(host)?,
                (None, None) => return Err("an input is nowhere".into()),
            });
        }
        self.clock.uploaded.record(&stream).map_err(said)?;
        let shapes: Vec<Vec<usize>> = tensors.iter().map(|t| t.shape()).collect();
        self.set_shapes(turn, &shapes)?;
        self.check_inputs(&inputs)?;
        let outputs = self.output_memory(turn)?;
        let run = Run { inputs, outputs };
        let begun = Instant::now();
        let enqueued = self.enqueue(turn, &run, shapes);
        let enqueue_ms = begun.elapsed().as_secs_f64() * 1e3;
        // Also after a failure: part of the work may be under way, and the memory is to outlive it.
        let recorded = self.clock.computed.record(&stream).map_err(said);
        let finished = stream.synchronize().map_err(said);
        enqueued.and(recorded).and(finished)?;
        self.breakdown = self.clock.breakdown(enqueue_ms);
        Ok(run)
    }

    /// Tells TensorRT the shapes of inputs that vary, where they are not those that it has.
    fn set_shapes(&mut self, turn: &Turn<'_>, shapes: &[Vec<usize>]) -> Result<(), String> {
        if self.shapes.as_deref() == Some(shapes) {
            return Ok(());
        }
        self.shapes = None;
        if let Some(replay) = &mut self.replay {
            replay.forget();
        }
        for (spec, shape) in self.inputs.iter().zip(shapes) {
            if spec.shape.iter().all(|d| d.fixed().is_some()) {
                continue;
            }
            let set = self.session.set_shape(turn, &spec.name, shape);
            set.map_err(|reason| {
                format!(
                    "input `{}` of shape {shape:?} is outside what the plan was built for ({reason})",
                    spec.name
                )
            })?;
        }
        self.shapes = Some(shapes.to_vec());
        Ok(())
    }

    /// Refuses memory that TensorRT would read beyond, whatever a tensor says of its own shape.
    fn check_inputs(&self, inputs: &[Arc<CudaSlice<u8>>]) -> Result<(), String> {
        for (spec, memory) in self.inputs.iter().zip(inputs) {
            let (_, bytes) = self.extent(spec)?;
            if memory.len() < bytes {
                let (name, held) = (&spec.name, memory.len());
                return Err(format!("`{name}` takes {bytes} bytes, and has {held}"));
            }
        }
        Ok(())
    }

    /// Shape and bytes of an input or output, by TensorRT's own account for the shapes that are set.
    fn extent(&self, spec: &TensorSpec) -> Result<(Vec<usize>, usize), String> {
        let name = &spec.name;
        let dims = self.session.shape(name)?;
        let shape = binding::lengths(&dims)
            .ok_or_else(|| format!("TensorRT cannot tell the shape of `{name}`: {dims:?}"))?;
        let bytes = binding::size_bytes(spec.dtype, &shape)
            .ok_or_else(|| format!("`{name}` of shape {shape:?} is too large"))?;
        Ok((shape, bytes))
    }

    /// Memory of each output, for the shapes that are set.
    fn output_memory(&mut self, turn: &Turn<'_>) -> Result<Vec<Output>, String> {
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for at in 0..self.outputs.len() {
            let (shape, bytes) = self.extent(&self.outputs[at])?;
            let slot = &mut self.slots[at];
            let memory = slot.take(turn, bytes)?;
            outputs.push(Output { memory, shape });
        }
        Ok(outputs)
    }

    /// Enqueues a run, by TensorRT or as a captured graph.
    fn enqueue(
        &mut self,
        turn: &Turn<'_>,
        run: &Run,
        shapes: Vec<Vec<usize>>,
    ) -> Result<(), String> {
        let inputs = named(&self.inputs, run.inputs.iter());
        let outputs = named(&self.outputs, run.outputs.iter().map(|o| &o.memory));
        let enqueue = |session: &mut Session| {
            // SAFETY: Place: `native` takes tensors of this device only, `upload` and `Slot::take` allocate on it.
            // Size: `extent` is TensorRT's own account, in the plan's types by `binding::check`; `check_inputs` and
            // `Slot::take` saw to as many bytes. All of them: `binding::check` found the plan's names to be the declared
            // ones. Lifetime: `run` holds the memory until
            // `execute` has waited for the stream, on every path, and a panic on the way would free it in the stream's
            // order. Nobody else: tensors are not written once they exist, `Slot::take` gives what no tensor has, and
            // `turn` keeps others off the stream.
            unsafe { session.enqueue(turn, &inputs, &outputs) }
        };
        let Some(replay) = &mut self.replay else {
            return enqueue(&mut self.session);
        };
        let memory = inputs.iter().chain(&outputs);
        let key = Key {
            shapes,
            addresses: memory.map(|(_, memory)| address(memory)).collect(),
        };
        match replay.step(&key) {
            Step::Enqueue => enqueue(&mut self.session),
            // SAFETY: as above; the key says that shapes and addresses are those of the capture, no other shapes came
            // between (`set_shapes` would have had the graph forgotten), and the session that it came from lives.
            Step::Launch(graph) => unsafe { graph.launch(turn) },
            Step::EnqueueAndCapture => {
                enqueue(&mut self.session)?;
                // SAFETY: it follows an enqueueing of the same run; launches are accounted for above.
                let graph = unsafe { self.session.capture(turn) };
                replay.keep(&key, graph);
                Ok(())
            }
        }
    }
}

/// Memory by the names of its tensors.
fn named<'a>(
    specs: &'a [TensorSpec],
    memory: impl Iterator<Item = &'a Arc<CudaSlice<u8>>>,
) -> Vec<(&'a str, &'a CudaSlice<u8>)> {
    let names = specs.iter().map(|spec| &*spec.name);
    names.zip(memory.map(|memory| &**memory)).collect()
}

impl Clock {
    /// Where the time went; the stream has caught up.
    fn breakdown(&self, enqueue_ms: f64) -> Option<Breakdown> {
        let between = |from: &CudaEvent, to: &CudaEvent| from.elapsed_ms(to).ok().map(f64::from);
        Some(Breakdown {
            enqueue_ms,
            host_to_device_ms: between(&self.begun, &self.uploaded)?,
            compute_ms: between(&self.uploaded, &self.computed)?,
            // Outputs stay where they are; whoever reads one pays for its copy then.
            device_to_host_ms: 0.0,
        })
    }
}

impl Stage for PlanStage {
    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let mut symbols = Symbols::default();
        check::tensors(&self.name, "input", &self.inputs, inputs, &mut symbols)?;
        let (engine, name) = (self.engine, self.name.clone());
        let outputs = check::guard(engine, &name, "running", || self.call(inputs))?;
        check::tensors(&self.name, "output", &self.outputs, &outputs, &mut symbols)?;
        Ok(outputs)
    }

    fn breakdown(&self) -> Option<Breakdown> {
        self.breakdown
    }

    fn fallback(&self) -> Option<String> {
        let failed = self.replay.as_ref().is_some_and(Replay::has_failed);
        failed.then(|| "cannot be captured as a CUDA graph, so each run is enqueued".into())
    }
}
