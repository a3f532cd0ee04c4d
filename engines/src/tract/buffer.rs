//! tract's tensors as stage tensors.

use std::any::Any;
use std::sync::Arc;

use ndarray::ArrayD;
use socc_exporter::tensor::DType;
use tract_onnx::prelude::{Datum, DatumType, Tensor as TractTensor, TractResult};

use crate::error::EngineError;
use crate::tensor::{Buffer, HostTensor};

use super::NAME;

/// A tensor that tract computed.
pub(super) struct TractBuffer(pub(super) Arc<TractTensor>);

/// tract's name of a type that crosses stage borders.
pub(super) fn datum_type(dtype: DType) -> DatumType {
    match dtype {
        DType::I64 => i64::datum_type(),
        DType::I32 => i32::datum_type(),
        DType::U8 => u8::datum_type(),
        // `check::model` has refused all others.
        _ => f32::datum_type(),
    }
}

/// Copies a tensor into tract's aligned memory.
pub(super) fn upload(tensor: &HostTensor) -> TractResult<TractTensor> {
    fn copy<T: Datum + Copy>(array: &ArrayD<T>) -> TractResult<TractTensor> {
        let contiguous = array.as_standard_layout();
        TractTensor::from_shape(array.shape(), contiguous.as_slice().unwrap_or_default())
    }
    match tensor {
        HostTensor::F32(a) => copy(a),
        HostTensor::I64(a) => copy(a),
        HostTensor::I32(a) => copy(a),
        HostTensor::U8(a) => copy(a),
    }
}

impl Buffer for TractBuffer {
    fn dtype(&self) -> DType {
        match self.0.datum_type() {
            DatumType::I64 => DType::I64,
            DatumType::I32 => DType::I32,
            DatumType::U8 => DType::U8,
            _ => DType::F32,
        }
    }

    fn shape(&self) -> Vec<usize> {
        self.0.shape().to_vec()
    }

    fn to_host(&self) -> Result<HostTensor, EngineError> {
        fn copy<T: Datum>(tensor: &TractTensor) -> Result<ArrayD<T>, EngineError> {
            tensor
                .to_plain_array_view::<T>()
                .map(|view| view.to_owned())
                .map_err(|e| EngineError::Download {
                    engine: NAME,
                    detail: format!("{e:#}"),
                })
        }
        Ok(match self.dtype() {
            DType::I64 => HostTensor::I64(copy(&self.0)?),
            DType::I32 => HostTensor::I32(copy(&self.0)?),
            DType::U8 => HostTensor::U8(copy(&self.0)?),
            _ => HostTensor::F32(copy(&self.0)?),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
