//! rten's values as stage tensors.

use std::any::Any;

use ndarray::ArrayD;
use rten::{Value, ValueView};
use rten_tensor::{AsView, Layout, TensorView};
use socc_exporter::tensor::DType;

use crate::error::EngineError;
use crate::tensor::{Buffer, HostTensor};

use super::NAME;

/// A value that rten computed, with the type that the stage declares for it (rten's int32 may stand for int64).
pub(super) struct RtenBuffer {
    value: Value,
    dtype: DType,
}

impl RtenBuffer {
    /// `None` when rten's type of `value` cannot stand for `declared`; the value is dropped then.
    pub(super) fn new(value: Value, declared: DType) -> Result<Self, DType> {
        let (fits, got) = match value.as_view() {
            ValueView::FloatTensor(_) => (declared == DType::F32, DType::F32),
            ValueView::Int32Tensor(_) => (matches!(declared, DType::I64 | DType::I32), DType::I32),
            ValueView::UInt8Tensor(_) => (declared == DType::U8, DType::U8),
            _ => (false, DType::I8),
        };
        if fits {
            Ok(Self {
                value,
                dtype: declared,
            })
        } else {
            Err(got)
        }
    }

    /// The value as a host tensor, without a copy where rten's type is the declared one.
    pub(super) fn into_host(self) -> Result<HostTensor, EngineError> {
        match self.value {
            Value::FloatTensor(tensor) => {
                let shape = tensor.shape().to_vec();
                let values = ArrayD::from_shape_vec(shape, tensor.into_data());
                values.map(HostTensor::F32).map_err(failed)
            }
            _ => self.to_host(),
        }
    }

    /// The value, borrowed, as an input of another stage.
    pub(super) fn view(&self) -> ValueView<'_> {
        self.value.as_view()
    }
}

impl Buffer for RtenBuffer {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> Vec<usize> {
        self.value.shape().to_vec()
    }

    fn to_host(&self) -> Result<HostTensor, EngineError> {
        Ok(match (self.value.as_view(), self.dtype) {
            (ValueView::FloatTensor(t), _) => HostTensor::F32(array(t)?),
            (ValueView::UInt8Tensor(t), _) => HostTensor::U8(array(t)?),
            (ValueView::Int32Tensor(t), DType::I64) => HostTensor::I64(array(t)?.mapv(i64::from)),
            (ValueView::Int32Tensor(t), _) => HostTensor::I32(array(t)?),
            _ => {
                return Err(EngineError::Download {
                    engine: NAME,
                    detail: format!("its {} has no counterpart on the CPU", self.value.dtype()),
                });
            }
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn array<T: Clone>(view: TensorView<'_, T>) -> Result<ArrayD<T>, EngineError> {
    let shape = view.shape().to_vec();
    ArrayD::from_shape_vec(shape, view.to_vec()).map_err(failed)
}

fn failed(error: ndarray::ShapeError) -> EngineError {
    EngineError::Download {
        engine: NAME,
        detail: error.to_string(),
    }
}
