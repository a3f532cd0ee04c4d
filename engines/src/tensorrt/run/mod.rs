//! Running plans: tensors stay in the GPU's memory between stages, and all work is enqueued on one stream.
//!
//! A stage's run ends when the GPU has finished it, so that its time and its errors are its own. What needs no GPU
//! (matching tensors by name, sizes, when a CUDA graph stands for a run) is apart from what does.

#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt", test))]
mod binding;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod device;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod engine;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt", test))]
mod host;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod memory;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt", test))]
mod replay;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod session;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod stage;

#[cfg(not(any(feature = "tensorrt-rtx", feature = "tensorrt")))]
pub(crate) use absent::{devices, open};
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
pub(crate) use engine::{devices, open};

/// Compute capability of the first GPU.
///
/// # Errors
/// There is no driver, or no GPU.
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
pub(super) fn first_sm(variant: super::Variant) -> Result<super::Sm, crate::error::EngineError> {
    device::Device::open(variant, 0).map(|device| device.sm)
}

/// What a build without TensorRT has in the engine's place.
#[cfg(not(any(feature = "tensorrt-rtx", feature = "tensorrt")))]
mod absent {
    use super::super::library::unavailable;
    use super::super::{Variant, built_for};
    use crate::engine::{Engine, Options};
    use crate::error::EngineError;

    /// Refuses: this build lacks TensorRT.
    pub(crate) fn open(
        variant: Variant,
        _options: &Options,
    ) -> Result<Box<dyn Engine>, EngineError> {
        devices(variant).map(|_| ())?;
        Err(unavailable(
            variant,
            "this build of socc cannot run plans".into(),
        ))
    }

    /// Refuses: this build lacks TensorRT.
    pub(crate) fn devices(variant: Variant) -> Result<String, EngineError> {
        built_for(variant).map(|()| String::new())
    }
}
