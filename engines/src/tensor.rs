//! Tensors that flow between stages: [`HostTensor`] on the CPU, or an engine's own buffer behind [`Buffer`].

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use ndarray::{Array, ArrayD, ArrayViewD, Dimension};
use socc_exporter::tensor::DType;

use crate::error::EngineError;

/// A tensor as stages exchange it. Cloning it clones a pointer.
///
/// What an engine returns is in that engine's form and passes to its next stage without a copy; any other engine takes
/// it too, through the CPU.
pub type Tensor = Arc<dyn Buffer>;

/// A tensor's storage: ordinary memory, an engine's own value, or memory of a device.
pub trait Buffer: Any + Send + Sync {
    /// Element type, as the graph states it.
    fn dtype(&self) -> DType;

    /// Length of each axis, outermost first; empty for a scalar.
    fn shape(&self) -> Vec<usize>;

    /// Copies the tensor to the CPU; [`host`] avoids the copy where the tensor is there already.
    ///
    /// # Errors
    /// When the element type is none that a [`HostTensor`] holds, or a device's copy fails.
    fn to_host(&self) -> Result<HostTensor, EngineError>;

    /// For an engine to recognise its own buffers.
    fn as_any(&self) -> &dyn Any;
}

/// A tensor in ordinary memory. `Tensor::from` wraps it to feed a stage.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum HostTensor {
    F32(ArrayD<f32>),
    I64(ArrayD<i64>),
    I32(ArrayD<i32>),
    U8(ArrayD<u8>),
}

impl HostTensor {
    /// Length of each axis, outermost first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(a) => a.shape(),
            Self::I64(a) => a.shape(),
            Self::I32(a) => a.shape(),
            Self::U8(a) => a.shape(),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::I64(_) => DType::I64,
            Self::I32(_) => DType::I32,
            Self::U8(_) => DType::U8,
        }
    }

    fn mismatch(&self, expected: DType) -> EngineError {
        EngineError::HostDType {
            expected,
            got: self.dtype(),
            shape: self.shape().to_vec(),
        }
    }
}

/// Accessors and conversions of one variant.
macro_rules! variant {
    ($variant:ident, $element:ty, $view:ident, $into:ident) => {
        impl HostTensor {
            #[doc = concat!("The data as `", stringify!($element), "`, borrowed.")]
            ///
            /// # Errors
            /// When the tensor holds another type; nothing is converted.
            pub fn $view(&self) -> Result<ArrayViewD<'_, $element>, EngineError> {
                match self {
                    Self::$variant(a) => Ok(a.view()),
                    _ => Err(self.mismatch(DType::$variant)),
                }
            }

            #[doc = concat!("The data as `", stringify!($element), "`, moved out.")]
            ///
            /// # Errors
            /// When the tensor holds another type; nothing is converted.
            pub fn $into(self) -> Result<ArrayD<$element>, EngineError> {
                match self {
                    Self::$variant(a) => Ok(a),
                    _ => Err(self.mismatch(DType::$variant)),
                }
            }
        }

        impl<D: Dimension> From<Array<$element, D>> for HostTensor {
            fn from(array: Array<$element, D>) -> Self {
                Self::$variant(array.into_dyn())
            }
        }
    };
}

variant!(F32, f32, as_f32, into_f32);
variant!(I64, i64, as_i64, into_i64);
variant!(I32, i32, as_i32, into_i32);
variant!(U8, u8, as_u8, into_u8);

impl Buffer for HostTensor {
    fn dtype(&self) -> DType {
        self.dtype()
    }

    fn shape(&self) -> Vec<usize> {
        self.shape().to_vec()
    }

    fn to_host(&self) -> Result<HostTensor, EngineError> {
        Ok(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl From<HostTensor> for Tensor {
    fn from(tensor: HostTensor) -> Self {
        Arc::new(tensor)
    }
}

/// A tensor's data on the CPU: borrowed where it lies there as a [`HostTensor`], copied otherwise.
///
/// # Errors
/// As [`Buffer::to_host`].
pub fn host(tensor: &Tensor) -> Result<Cow<'_, HostTensor>, EngineError> {
    match tensor.as_any().downcast_ref::<HostTensor>() {
        Some(host) => Ok(Cow::Borrowed(host)),
        None => tensor.to_host().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    #[test]
    fn host_borrows_what_is_there() {
        let tensor = Tensor::from(HostTensor::from(arr2(&[[1.0_f32, 2.0]])));
        assert!(matches!(host(&tensor).unwrap(), Cow::Borrowed(_)));
        assert_eq!(tensor.shape(), [1, 2]);
        assert_eq!(tensor.dtype(), DType::F32);
    }

    #[test]
    fn another_type_is_refused_by_name() {
        let tensor = HostTensor::from(arr2(&[[1_i64, 2]]));
        let message = tensor.as_f32().unwrap_err().to_string();
        assert!(
            message.contains("float32") && message.contains("int64"),
            "{message}"
        );
    }
}
