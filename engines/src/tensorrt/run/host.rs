//! Tensors on the CPU as the bytes that travel to and from the device.

use std::borrow::Cow;

use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};
use ndarray::ArrayD;
use socc_exporter::tensor::DType;

use crate::tensor::HostTensor;

use super::binding::size_bytes;

/// The elements one after the other, the last axis fastest, as TensorRT has them; a copy where they lie otherwise.
pub(super) fn bytes(tensor: &HostTensor) -> Cow<'_, [u8]> {
    match tensor {
        HostTensor::F32(a) => elements(a),
        HostTensor::I64(a) => elements(a),
        HostTensor::I32(a) => elements(a),
        HostTensor::U8(a) => elements(a),
    }
}

fn elements<T: Pod>(array: &ArrayD<T>) -> Cow<'_, [u8]> {
    match array.as_slice() {
        Some(elements) => Cow::Borrowed(cast_slice(elements)),
        None => {
            let elements: Vec<T> = array.iter().copied().collect();
            Cow::Owned(cast_slice(&elements).to_vec())
        }
    }
}

/// The tensor of those bytes; `None` where the type does not cross stage borders or the number of bytes is another.
pub(super) fn tensor(dtype: DType, shape: &[usize], bytes: &[u8]) -> Option<HostTensor> {
    if size_bytes(dtype, shape) != Some(bytes.len()) {
        return None;
    }
    match dtype {
        DType::F32 => array(shape, bytes).map(HostTensor::F32),
        DType::I64 => array(shape, bytes).map(HostTensor::I64),
        DType::I32 => array(shape, bytes).map(HostTensor::I32),
        DType::U8 => array(shape, bytes).map(HostTensor::U8),
        _ => None,
    }
}

fn array<T: Pod + Zeroable>(shape: &[usize], bytes: &[u8]) -> Option<ArrayD<T>> {
    let mut elements = vec![T::zeroed(); bytes.len() / size_of::<T>()];
    // The bytes need not be aligned for T, the new elements are.
    cast_slice_mut(&mut elements).copy_from_slice(bytes);
    ArrayD::from_shape_vec(shape, elements).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr1, arr2};

    #[test]
    fn elements_travel_in_the_order_of_the_axes() {
        let wide = arr2(&[[1_i32, 2, 3], [4, 5, 6]]);
        let transposed = HostTensor::from(wide.t().to_owned());
        let expected: Vec<u8> = [1_i32, 4, 2, 5, 3, 6]
            .iter()
            .flat_map(|v| v.to_ne_bytes())
            .collect();
        assert_eq!(*bytes(&transposed), expected);
        assert!(matches!(bytes(&HostTensor::from(wide)), Cow::Borrowed(_)));
    }

    #[test]
    fn every_type_comes_back_from_bytes_at_any_address() {
        for tensor in [
            HostTensor::from(arr2(&[[1.5_f32, -2.0], [0.0, f32::INFINITY]])),
            HostTensor::from(arr1(&[i64::MIN, 7])),
            HostTensor::from(arr1(&[i32::MAX, -7])),
            HostTensor::from(arr1(&[0_u8, 255])),
        ] {
            let mut shifted = vec![0];
            shifted.extend(bytes(&tensor).iter());
            let back = super::tensor(tensor.dtype(), tensor.shape(), &shifted[1..]);
            assert_eq!(back.as_ref(), Some(&tensor));
        }
    }

    #[test]
    fn another_number_of_bytes_is_no_such_tensor() {
        assert_eq!(tensor(DType::F32, &[2], &[0; 7]), None);
        assert_eq!(tensor(DType::F16, &[2], &[0; 4]), None);
    }
}
