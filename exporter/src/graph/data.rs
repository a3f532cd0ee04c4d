//! What an initializer holds: bytes at hand, or a way to write them.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use super::Value;
use crate::checkpoint::CheckpointError;

/// Why an initializer's bytes could not be produced.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The checkpoint tensor could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The bytes could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

type WriteFn = dyn Fn(&mut dyn Write) -> Result<(), DataError> + Send + Sync;
type ComputeFn = dyn Fn() -> Result<Vec<f32>, DataError> + Send + Sync;

/// Little-endian, row-major bytes of an initializer.
#[derive(Clone)]
pub enum Data {
    /// At hand.
    Bytes(Arc<[u8]>),
    /// Written on demand, in bounded pieces.
    Stream(Arc<WriteFn>),
    /// Float32 values computed on demand, then dropped.
    Compute(Arc<ComputeFn>),
}

impl Data {
    /// Streams bytes on demand.
    pub fn stream(
        write: impl Fn(&mut dyn Write) -> Result<(), DataError> + Send + Sync + 'static,
    ) -> Self {
        Self::Stream(Arc::new(write))
    }

    /// Computes float32 values on demand.
    pub fn compute(f: impl Fn() -> Result<Vec<f32>, DataError> + Send + Sync + 'static) -> Self {
        Self::Compute(Arc::new(f))
    }

    /// Writes the bytes.
    ///
    /// # Errors
    /// The source cannot be read, or `out` refuses the bytes.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<(), DataError> {
        match self {
            Self::Bytes(bytes) => Ok(out.write_all(bytes)?),
            Self::Stream(write) => write(out),
            Self::Compute(compute) => {
                let values = compute()?;
                if cfg!(target_endian = "little") {
                    out.write_all(bytemuck::cast_slice(&values))?;
                    return Ok(());
                }
                for value in values {
                    out.write_all(&value.to_le_bytes())?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("streamed"),
            Self::Compute(_) => f.write_str("computed"),
        }
    }
}

/// A value that the graph is born with.
#[derive(Debug, Clone)]
pub struct Initializer {
    /// The value, whose spec has name and type.
    pub value: Value,
    /// Shape.
    pub shape: Vec<usize>,
    /// Contents.
    pub data: Data,
}
