//! Tensors in the device's memory.

use std::any::Any;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, DevicePtr};
use socc_exporter::tensor::DType;

use crate::error::EngineError;
use crate::tensor::{Buffer, HostTensor};

use super::device::{Device, Turn};

/// A tensor in the device's memory; the memory lives as long as any tensor or stage that knows it.
pub(super) struct DeviceBuffer {
    pub(super) engine: &'static str,
    pub(super) device: Arc<Device>,
    pub(super) memory: Arc<CudaSlice<u8>>,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
}

impl Buffer for DeviceBuffer {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn to_host(&self) -> Result<HostTensor, EngineError> {
        let turn = self.device.turn();
        let copied = turn.and_then(|mut t| t.download(&self.memory, self.dtype, &self.shape));
        copied.map_err(|detail| EngineError::Download {
            engine: self.engine,
            detail,
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Where memory begins, for TensorRT.
pub(super) fn address(memory: &CudaSlice<u8>) -> u64 {
    // The guard would record, for cudarc's own bookkeeping between streams, when the use ends; there is one stream.
    let (address, _guard) = memory.device_ptr(memory.stream());
    address
}

/// Memory of one output: as many pieces as tensors of it were alive at once. They are used again, so that runs that
/// repeat have the same addresses.
#[derive(Default)]
pub(super) struct Slot(Vec<Arc<CudaSlice<u8>>>);

impl Slot {
    /// Memory of at least `bytes` that no tensor has.
    pub(super) fn take(
        &mut self,
        turn: &Turn<'_>,
        bytes: usize,
    ) -> Result<Arc<CudaSlice<u8>>, String> {
        // The slot's own reference is the only one: no other can appear, for there is none to clone.
        let is_free = |memory: &Arc<CudaSlice<u8>>| Arc::strong_count(memory) == 1;
        if let Some(free) = self.0.iter().find(|m| is_free(m) && m.len() >= bytes) {
            return Ok(Arc::clone(free));
        }
        self.0.retain(|memory| !is_free(memory));
        let new = turn.allocate(bytes)?;
        self.0.push(Arc::clone(&new));
        Ok(new)
    }
}
