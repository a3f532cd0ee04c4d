//! ONNX Runtime's values as stage tensors.

use std::any::Any;

use ort::value::{DynValue, TensorElementType, ValueType};
use socc_exporter::tensor::DType;

use crate::error::EngineError;
use crate::tensor::{Buffer, HostTensor};

/// A value that ONNX Runtime computed.
pub(super) struct OrtBuffer {
    engine: &'static str,
    value: DynValue,
    dtype: DType,
    shape: Vec<usize>,
}

impl OrtBuffer {
    /// Fails with a description of the value's type where it does not cross stage borders.
    pub(super) fn new(engine: &'static str, value: DynValue) -> Result<Self, String> {
        let described = match value.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                let lengths = shape.iter().map(|&n| usize::try_from(n).ok());
                dtype(*ty).zip(lengths.collect::<Option<Vec<_>>>())
            }
            _ => None,
        };
        match described {
            Some((dtype, shape)) => Ok(Self {
                engine,
                value,
                dtype,
                shape,
            }),
            None => Err(value.dtype().to_string()),
        }
    }

    /// The value, for another session.
    pub(super) fn value(&self) -> &DynValue {
        &self.value
    }
}

fn dtype(ty: TensorElementType) -> Option<DType> {
    match ty {
        TensorElementType::Float32 => Some(DType::F32),
        TensorElementType::Int64 => Some(DType::I64),
        TensorElementType::Int32 => Some(DType::I32),
        TensorElementType::Uint8 => Some(DType::U8),
        _ => None,
    }
}

impl Buffer for OrtBuffer {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn to_host(&self) -> Result<HostTensor, EngineError> {
        let failed = |e: ort::Error| EngineError::Download {
            engine: self.engine,
            detail: e.to_string(),
        };
        let value = &self.value;
        Ok(match self.dtype {
            DType::F32 => HostTensor::F32(value.try_extract_array().map_err(failed)?.to_owned()),
            DType::I64 => HostTensor::I64(value.try_extract_array().map_err(failed)?.to_owned()),
            DType::I32 => HostTensor::I32(value.try_extract_array().map_err(failed)?.to_owned()),
            _ => HostTensor::U8(value.try_extract_array().map_err(failed)?.to_owned()),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
