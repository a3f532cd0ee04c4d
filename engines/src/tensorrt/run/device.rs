//! The GPU: its driver, one stream on which all work happens in order, and memory to travel through.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, CudaEvent, CudaSlice, CudaStream, DriverError, PinnedHostSlice};
use socc_exporter::tensor::DType;

use crate::check;
use crate::error::EngineError;
use crate::tensor::HostTensor;

use super::super::sm::Sm;
use super::super::variant::Variant;
use super::{binding, host};

/// A GPU, opened. Tensors of one do not lie in another, nor do two openings of a GPU share a stream.
pub(super) struct Device {
    /// The only stream: what is enqueued here happens in that order.
    stream: Arc<CudaStream>,
    pub(super) name: String,
    pub(super) sm: Sm,
    /// Held by whoever enqueues, until the stream has caught up.
    staging: Mutex<Staging>,
}

/// Memory of the CPU that the device reaches by itself; grows with the largest tensor.
#[derive(Default)]
struct Staging {
    up: Option<PinnedHostSlice<u8>>,
    down: Option<PinnedHostSlice<u8>>,
}

impl Device {
    /// Opens the `ordinal`-th GPU.
    ///
    /// # Errors
    /// There is no driver, or no such GPU.
    pub(super) fn open(variant: Variant, ordinal: usize) -> Result<Arc<Self>, EngineError> {
        let missing = |detail: String| no_device(variant, &detail);
        // cudarc panics where the driver lacks a function.
        check::guard(variant.name(), "(driver)", "loading", || {
            let count = count(variant)?;
            if ordinal >= count {
                return Err(missing(format!(
                    "number {ordinal} was asked for, and this machine has {count}, counted from 0"
                )));
            }
            let open = || {
                let context = CudaContext::new(ordinal)?;
                // SAFETY: what cudarc would order between streams needs no order, because there is one: all memory of
                // this context is allocated, used and freed on `stream`. Its events would break captures.
                unsafe { context.disable_event_tracking() };
                let (major, minor) = context.compute_capability()?;
                Ok(Arc::new(Self {
                    name: context.name()?,
                    sm: Sm(u32::try_from(10 * major + minor).unwrap_or(0)),
                    stream: context.new_stream()?,
                    staging: Mutex::default(),
                }))
            };
            open().map_err(|e: DriverError| missing(said(e)))
        })
    }

    /// Waits for whoever else uses the stream, and makes the device this thread's current one.
    pub(super) fn turn(&self) -> Result<Turn<'_>, String> {
        // What a panic left in staging is overwritten by the next copy.
        let staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        self.context().bind_to_thread().map_err(said)?;
        Ok(Turn {
            device: self,
            staging,
        })
    }

    pub(super) fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }
}

/// The right to enqueue on the device's stream.
pub(super) struct Turn<'a> {
    device: &'a Device,
    staging: MutexGuard<'a, Staging>,
}

impl Turn<'_> {
    /// New memory, zeroed.
    pub(super) fn allocate(&self, bytes: usize) -> Result<Arc<CudaSlice<u8>>, String> {
        let capacity = binding::capacity_bytes(bytes);
        let capacity =
            capacity.ok_or_else(|| format!("{bytes} bytes are more than any device has"))?;
        let memory = self.device.stream.alloc_zeros(capacity);
        memory.map(Arc::new).map_err(|e| match e.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let mib = capacity.div_ceil(1 << 20);
                format!(
                    "the memory of {} is full ({mib} MiB more were needed)",
                    self.device.name
                )
            }
            _ => said(e),
        })
    }

    /// Copies a tensor to new memory of the device; it is there on return.
    pub(super) fn upload(&mut self, tensor: &HostTensor) -> Result<Arc<CudaSlice<u8>>, String> {
        let bytes = host::bytes(tensor);
        let mut memory = self.allocate(bytes.len())?;
        let stream = &self.device.stream;
        let pinned = pinned(&mut self.staging.up, self.device, bytes.len(), UP_FLAGS)?;
        pinned.copy_from_slice(&bytes);
        let target = Arc::get_mut(&mut memory).ok_or("new memory is shared")?;
        stream.memcpy_htod(&*pinned, target).map_err(said)?;
        // Before anybody else may overwrite the pinned memory.
        stream.synchronize().map_err(said)?;
        Ok(memory)
    }

    /// Copies a tensor from the device.
    pub(super) fn download(
        &mut self,
        memory: &CudaSlice<u8>,
        dtype: DType,
        shape: &[usize],
    ) -> Result<HostTensor, String> {
        let odd = || format!("a {dtype} tensor of shape {shape:?} does not fit its memory");
        let bytes = binding::size_bytes(dtype, shape).ok_or_else(odd)?;
        let source = memory.try_slice(..bytes).ok_or_else(odd)?;
        let stream = &self.device.stream;
        let pinned = pinned(&mut self.staging.down, self.device, bytes, DOWN_FLAGS)?;
        stream.memcpy_dtoh(&source, pinned).map_err(said)?;
        // Before the pinned memory is read.
        stream.synchronize().map_err(said)?;
        host::tensor(dtype, shape, pinned).ok_or_else(odd)
    }
}

/// Written by the CPU and read by the device only.
const UP_FLAGS: u32 = sys::CU_MEMHOSTALLOC_WRITECOMBINED;
/// Read by the CPU, which would be very slow with the other flag.
const DOWN_FLAGS: u32 = 0;

/// The first `bytes` of pinned memory that is large enough.
fn pinned<'a>(
    slot: &'a mut Option<PinnedHostSlice<u8>>,
    device: &Device,
    bytes: usize,
    flags: u32,
) -> Result<&'a mut [u8], String> {
    if slot.as_ref().is_none_or(|p| p.len() < bytes) {
        // The old one goes first, so that both need not fit.
        *slot = None;
        let capacity = binding::capacity_bytes(bytes).ok_or("too many bytes")?;
        // SAFETY: the memory is called unset because the driver does not clear it. It is bytes, of which every pattern
        // is a value, in pages that the system handed out through a foreign call, and this module writes each before
        // reading it: `upload` from the tensor, `download` from the device.
        let new = unsafe { device.context().alloc_pinned_with_flags(capacity, flags) };
        *slot = Some(new.map_err(said)?);
    }
    let pinned = slot.as_mut().ok_or("no pinned memory")?;
    let all = pinned.as_mut_slice().map_err(said)?;
    all.get_mut(..bytes)
        .ok_or_else(|| "too little pinned memory".to_owned())
}

/// A moment on the device's clock, to be recorded again and again.
pub(super) fn timer(device: &Device) -> Result<CudaEvent, String> {
    let event = device
        .context()
        .new_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT));
    event.map_err(said)
}

/// GPUs that the driver shows.
///
/// # Errors
/// There is none, and why.
pub(super) fn count(variant: Variant) -> Result<usize, EngineError> {
    // SAFETY: this opens the driver's library by its own file name, which runs the driver's initialisers, and closes it
    // again; nothing of it is kept.
    let has_driver = unsafe { sys::is_culib_present() };
    if !has_driver {
        return Err(no_device(variant, "NVIDIA's driver is not installed"));
    }
    match CudaContext::device_count() {
        Ok(count @ 1..) => Ok(usize::try_from(count).unwrap_or(0)),
        Ok(_) | Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => {
            Err(no_device(variant, "NVIDIA's driver finds none"))
        }
        Err(error) => Err(no_device(variant, &said(error))),
    }
}

fn no_device(variant: Variant, detail: &str) -> EngineError {
    EngineError::Unavailable {
        engine: variant.name(),
        detail: format!("no CUDA device: {detail}"),
        remedy: "run it on a machine with an NVIDIA GPU and its driver, or use another engine (`socc doctor` lists them)"
            .into(),
    }
}

/// The driver's words.
pub(super) fn said(error: DriverError) -> String {
    match error.error_string() {
        Ok(text) => format!("CUDA says: {} ({:?})", text.to_string_lossy(), error.0),
        Err(_) => format!("CUDA says: {:?}", error.0),
    }
}
