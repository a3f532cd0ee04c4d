//! A plan that TensorRT has loaded, and a context to run it in.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaGraph, CudaSlice};
use socc_exporter::tensor::DType;
use trtx::trtx_sys::Dims64;
use trtx::{
    CudaEngine, DataType, ExecutionContext, Runtime, TensorFormat, TensorIOMode, TensorLocation,
};

use super::super::logger::Log;
use super::binding::{Binding, is_aligned};
use super::device::{Device, Turn, said};
use super::memory::address;

/// TensorRT's objects for one plan. A context must go before its engine, and an engine before its runtime
/// (NvInferRuntime.h, `deserializeCudaEngine`), which the bindings' lifetimes do not see to: the order of the fields does.
/// The device comes last, because all of them have memory there.
pub(super) struct Session {
    context: ExecutionContext<'static>,
    engine: CudaEngine<'static>,
    _runtime: Runtime<'static>,
    log: &'static Log,
    device: Arc<Device>,
}

// SAFETY: the objects behind the pointers belong to no thread: TensorRT asks only that no two threads use them at once,
// and that the thread has the device as its current one. There are no other pointers to them (a context's `Rc` is of a
// configuration, which this one was made without), so that moving the session moves all of them; it is not `Sync`. What
// touches the device comes with a `Turn`, which makes it the current one, and so does `drop`. The logger is `Sync`.
unsafe impl Send for Session {}

impl Session {
    /// Loads a plan; `Err` with TensorRT's reason.
    pub(super) fn load(
        plan: &[u8],
        device: Arc<Device>,
        log: &'static Log,
    ) -> Result<Self, String> {
        let turn = device.turn()?;
        log.take();
        let reason = |e: trtx::Error| reason(log, &e);
        let mut runtime = Runtime::new(&log.logger).map_err(reason)?;
        let mut engine = runtime.deserialize_cuda_engine(plan).map_err(reason)?;
        let context = engine.create_execution_context().map_err(reason)?;
        drop(turn);
        Ok(Self {
            context,
            engine,
            _runtime: runtime,
            log,
            device,
        })
    }

    /// What the plan takes and gives.
    pub(super) fn bindings(&self) -> Result<Vec<Binding>, String> {
        let read = || {
            let count = self.engine.nb_io_tensors()?;
            (0..count)
                .map(|index| self.binding(index))
                .collect::<trtx::Result<Vec<_>>>()
        };
        read().map_err(|e: trtx::Error| e.to_string())
    }

    fn binding(&self, index: i32) -> trtx::Result<Binding> {
        let engine = &self.engine;
        let name = engine.io_tensor_name(index)?;
        let is_plain = engine.tensor_location(&name)? == TensorLocation::kDEVICE
            && engine.tensor_format(&name)? == TensorFormat::kLINEAR;
        Ok(Binding {
            is_input: engine.tensor_io_mode(&name)? == TensorIOMode::kINPUT,
            dtype: dtype(engine.tensor_data_type(&name)?),
            dims: engine.tensor_shape(&name)?,
            is_plain,
            name,
        })
    }

    /// Sets the shape of an input whose length varies.
    pub(super) fn set_shape(
        &mut self,
        _turn: &Turn<'_>,
        name: &str,
        shape: &[usize],
    ) -> Result<(), String> {
        let dims: Option<Vec<i64>> = shape.iter().map(|&n| i64::try_from(n).ok()).collect();
        let dims = dims.ok_or_else(|| format!("no tensor has shape {shape:?}"))?;
        let set = self
            .context
            .set_input_shape(name, &Dims64::from_slice(&dims));
        set.map_err(|e| reason(self.log, &e))
    }

    /// Shape of an output, now that the inputs' are set; -1 where TensorRT does not know a length.
    pub(super) fn shape(&self, name: &str) -> Result<Vec<i64>, String> {
        let dims = self
            .context
            .tensor_shape(name)
            .map_err(|e| reason(self.log, &e))?;
        // -1 where there is no such tensor.
        let rank = usize::try_from(dims.nbDims).ok();
        let known = rank.and_then(|rank| dims.d.get(..rank));
        known
            .map(<[i64]>::to_vec)
            .ok_or_else(|| format!("TensorRT says that `{name}` has {} axes", dims.nbDims))
    }

    /// Enqueues a run with this memory for the tensors of these names, which is to live until the stream has caught up.
    ///
    /// # Safety
    /// Each piece of memory is of this session's device and holds as many bytes as its tensor has with the shapes that
    /// are set; every input and output of the plan is among them; nobody writes an input's, or uses an output's, memory
    /// until the stream has caught up, nor is any of it freed till then other than in the stream's order.
    pub(super) unsafe fn enqueue(
        &mut self,
        _turn: &Turn<'_>,
        inputs: &[(&str, &CudaSlice<u8>)],
        outputs: &[(&str, &CudaSlice<u8>)],
    ) -> Result<(), String> {
        self.log.take();
        let log = self.log;
        let reason = |e: trtx::Error| reason(log, &e);
        for &(name, memory) in inputs {
            let pointer = pointer(name, memory)?;
            // SAFETY: the caller vouches for place, size and lifetime; TensorRT does not write through it.
            unsafe { self.context.set_input_tensor_address(name, pointer) }.map_err(reason)?;
        }
        for &(name, memory) in outputs {
            let pointer = pointer(name, memory)?;
            // SAFETY: the caller vouches for place, size and lifetime, and that nobody else uses it meanwhile.
            unsafe { self.context.set_output_tensor_address(name, pointer) }.map_err(reason)?;
        }
        // SAFETY: all inputs and outputs were just given the addresses that the caller vouches for, and there is a turn.
        unsafe { self.enqueue_bound() }
    }

    /// Captures the run that [`Self::enqueue`] has just enqueued, without executing it again; `None` where TensorRT or
    /// CUDA cannot.
    ///
    /// # Safety
    /// The latest call of [`Self::enqueue`] succeeded, its memory is still there, and no shape was set since. What that
    /// asks for holds again at every launch of the graph.
    pub(super) unsafe fn capture(&mut self, _turn: &Turn<'_>) -> Option<Graph> {
        let stream = Arc::clone(self.device.stream());
        // As trtexec does: other threads go on as they like.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        stream.begin_capture(mode).ok()?;
        // SAFETY: the context still has the addresses that `enqueue` gave it, and within a capture nothing is executed.
        let enqueued = unsafe { self.enqueue_bound() };
        // Also after a failure, or the stream would capture for ever.
        let graph = stream.end_capture(CUgraphInstantiate_flags(0));
        match (enqueued, graph) {
            (Ok(()), Ok(Some(graph))) => Some(Graph(graph)),
            _ => None,
        }
    }

    /// Enqueues a run on the addresses that the context has.
    ///
    /// # Safety
    /// The context has an address for every input and output of the plan, and [`Self::enqueue`]'s demands hold for
    /// them. The thread has a [`Turn`].
    unsafe fn enqueue_bound(&mut self) -> Result<(), String> {
        let stream = self.device.stream().cu_stream().cast::<c_void>();
        // SAFETY: the stream is the device's own and lives as long as `self.device`; a thread with a `Turn` has the
        // device as its current one; the caller vouches for the addresses.
        let enqueued = unsafe { self.context.enqueue_v3(stream) };
        enqueued.map_err(|e| reason(self.log, &e))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // TensorRT frees the device's memory in the fields' own drops: they need the device as the current one, and
        // that nothing of theirs is still running. Where the device has failed there is nothing left to protect.
        if let Ok(_turn) = self.device.turn() {
            let _ = self.device.stream().synchronize();
        }
    }
}

/// A run that was captured.
pub(super) struct Graph(CudaGraph);

// SAFETY: CUDA wants calls on a graph to come one at a time, from whichever thread. There is one handle, owned by its
// stage, and it is launched through `&mut` of that stage only.
unsafe impl Send for Graph {}

impl Graph {
    /// Enqueues the captured run.
    ///
    /// # Safety
    /// As for [`Session::enqueue`], with the memory and shapes of the capture, whose session lives.
    pub(super) unsafe fn launch(&self, _turn: &Turn<'_>) -> Result<(), String> {
        self.0.launch().map_err(said)
    }
}

fn pointer(name: &str, memory: &CudaSlice<u8>) -> Result<*mut c_void, String> {
    let address = address(memory);
    match usize::try_from(address) {
        Ok(pointer) if is_aligned(address) => Ok(pointer as *mut c_void),
        _ => Err(format!(
            "the memory of `{name}` at {address:#x} is not aligned as TensorRT wants it"
        )),
    }
}

fn dtype(dtype: DataType) -> Result<DType, String> {
    match dtype {
        DataType::kFLOAT => Ok(DType::F32),
        DataType::kINT64 => Ok(DType::I64),
        DataType::kINT32 => Ok(DType::I32),
        DataType::kUINT8 => Ok(DType::U8),
        other => Err(format!("{other:?}")),
    }
}

/// TensorRT's own words, which it gives to the log only.
fn reason(log: &Log, error: &trtx::Error) -> String {
    let said = log.take();
    match said.is_empty() {
        true => error.to_string(),
        false => said.join("; "),
    }
}
