//! What a plan takes and gives, against what its stage declares.

use socc_exporter::tensor::{DType, Dim, TensorSpec};

use crate::check;
use crate::error::EngineError;

/// Most axes of a tensor that TensorRT handles.
const MAX_RANK: usize = 8;
/// Every address that TensorRT is given must be a multiple of this.
const ALIGNMENT_BYTES: u64 = 256;
/// Memory is asked for in multiples of this, so that a tensor whose length varies a little finds the old one again.
const GRANULE_BYTES: usize = 64 << 10;

/// A tensor at a plan's border, in TensorRT's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) is_input: bool,
    /// Element type, or TensorRT's name of one that does not cross stage borders.
    pub(super) dtype: Result<DType, String>,
    /// Length of each axis, -1 where a run sets it.
    pub(super) dims: Vec<i64>,
    /// Whether it is plain memory of the device: one element after the other, and not a value that TensorRT wants on
    /// the CPU.
    pub(super) is_plain: bool,
}

/// Checks that a plan takes and gives what the stage declares, in whatever order.
pub(super) fn check(
    stage: &str,
    inputs: &[TensorSpec],
    outputs: &[TensorSpec],
    bindings: &[Binding],
) -> Result<(), EngineError> {
    for (role, is_input, specs) in [("input", true, inputs), ("output", false, outputs)] {
        let given = bindings.iter().filter(|b| b.is_input == is_input);
        let names: Vec<String> = given.clone().map(|b| b.name.clone()).collect();
        check::names(stage, role, specs, &names)?;
        if names.len() != specs.len() {
            // An output that the stage leaves unused would need memory all the same.
            return Err(EngineError::Names {
                stage: stage.to_owned(),
                role,
                expected: check::list(specs),
                got: names.join(", "),
            });
        }
        for binding in given {
            let spec = specs.iter().find(|s| s.name == binding.name);
            if let Some(detail) = spec.and_then(|spec| difference(spec, binding)) {
                return Err(EngineError::Plan {
                    stage: stage.to_owned(),
                    detail: format!("its {role} `{}` {detail}", binding.name),
                });
            }
        }
    }
    Ok(())
}

/// In what a plan's tensor is not the declared one.
fn difference(spec: &TensorSpec, binding: &Binding) -> Option<String> {
    match &binding.dtype {
        Ok(dtype) if *dtype == spec.dtype => {}
        Ok(dtype) => return Some(format!("is {dtype}, the stage declares {}", spec.dtype)),
        Err(name) => return Some(format!("is {name}, the stage declares {}", spec.dtype)),
    }
    let fits = |(dim, &length): (&Dim, &i64)| match dim.fixed() {
        Some(fixed) => usize::try_from(length) == Ok(fixed),
        None => length == -1,
    };
    let same =
        spec.shape.len() == binding.dims.len() && spec.shape.iter().zip(&binding.dims).all(fits);
    if !same || binding.dims.len() > MAX_RANK {
        return Some(format!(
            "has shape {:?}, the stage declares {}",
            binding.dims,
            check::shape(&spec.shape)
        ));
    }
    (!binding.is_plain).then(|| "does not lie in the device's memory as plain elements".to_owned())
}

/// A shape that a run knows; `None` where TensorRT leaves an axis open (it depends on the data) or has no answer.
pub(super) fn lengths(dims: &[i64]) -> Option<Vec<usize>> {
    dims.iter().map(|&n| usize::try_from(n).ok()).collect()
}

/// Bytes of a tensor; `None` where no memory could hold it.
pub(super) fn size_bytes(dtype: DType, shape: &[usize]) -> Option<usize> {
    let elements = shape
        .iter()
        .try_fold(1_usize, |n, &length| n.checked_mul(length))?;
    elements.checked_mul(dtype.size_bytes())
}

/// Bytes to ask the device for, to hold a tensor of `bytes`. Never 0: TensorRT takes no null address.
pub(super) fn capacity_bytes(bytes: usize) -> Option<usize> {
    bytes.max(1).checked_next_multiple_of(GRANULE_BYTES)
}

/// Whether TensorRT takes memory at `address`.
pub(super) fn is_aligned(address: u64) -> bool {
    address != 0 && address.is_multiple_of(ALIGNMENT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, dtype: DType, shape: Vec<Dim>) -> TensorSpec {
        TensorSpec {
            name: name.into(),
            dtype,
            shape,
        }
    }

    fn binding(name: &str, is_input: bool, dtype: DType, dims: &[i64]) -> Binding {
        Binding {
            name: name.into(),
            is_input,
            dtype: Ok(dtype),
            dims: dims.to_vec(),
            is_plain: true,
        }
    }

    /// The text encoder's border: token ids in, word features out.
    fn text_encoder() -> (Vec<TensorSpec>, Vec<TensorSpec>, Vec<Binding>) {
        let s = || Dim::Symbol("S".into());
        (
            vec![spec("input_ids", DType::I64, vec![1.into(), s()])],
            vec![
                spec("word_features", DType::F32, vec![s(), 128.into()]),
                spec("key_mask", DType::U8, vec![s()]),
            ],
            vec![
                // TensorRT's order need not be the graph's.
                binding("key_mask", false, DType::U8, &[-1]),
                binding("input_ids", true, DType::I64, &[1, -1]),
                binding("word_features", false, DType::F32, &[-1, 128]),
            ],
        )
    }

    fn message(change: impl FnOnce(&mut Vec<Binding>)) -> String {
        let (inputs, outputs, mut bindings) = text_encoder();
        change(&mut bindings);
        match check("text_encoder", &inputs, &outputs, &bindings) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn bindings_are_matched_by_name() {
        assert_eq!(message(|b| b.reverse()), "");
    }

    #[test]
    fn a_plan_of_other_tensors_is_refused() {
        let other = message(|b| b[1].name = "tokens".into());
        assert!(
            other.contains("[tokens]") && other.contains("[input_ids]"),
            "{other}"
        );
        let more = message(|b| b.push(binding("extra", false, DType::F32, &[1])));
        assert!(more.contains("extra"), "{more}");
        let fewer = message(|b| drop(b.remove(0)));
        assert!(fewer.contains("key_mask"), "{fewer}");
    }

    #[test]
    fn a_plan_of_other_types_or_shapes_is_refused() {
        for (change, parts) in [
            (
                Box::new(|b: &mut Vec<Binding>| b[1].dtype = Ok(DType::I32))
                    as Box<dyn FnOnce(&mut Vec<Binding>)>,
                ["`input_ids`", "is int32", "declares int64"],
            ),
            (
                Box::new(|b| b[2].dtype = Err("kHALF".into())),
                ["`word_features`", "is kHALF", "declares float32"],
            ),
            (
                Box::new(|b| b[2].dims = vec![-1, 64]),
                ["`word_features`", "[-1, 64]", "[S, 128]"],
            ),
            (
                // Built without a profile for S.
                Box::new(|b| b[1].dims = vec![1, 12]),
                ["`input_ids`", "[1, 12]", "[1, S]"],
            ),
            (
                Box::new(|b| b[0].is_plain = false),
                ["`key_mask`", "plain elements", "socc build"],
            ),
        ] {
            let message = message(change);
            for part in parts {
                assert!(message.contains(part), "`{part}` is not in: {message}");
            }
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size_bytes(DType::F32, &[2, 3, 4]), Some(96));
        assert_eq!(size_bytes(DType::I64, &[]), Some(8));
        assert_eq!(size_bytes(DType::U8, &[8, 3, 360, 640]), Some(5_529_600));
        assert_eq!(size_bytes(DType::F32, &[usize::MAX / 2, 3]), None);
        assert_eq!(size_bytes(DType::I64, &[usize::MAX / 4]), None);
        assert_eq!(capacity_bytes(0), Some(65536));
        assert_eq!(capacity_bytes(65537), Some(131_072));
        assert_eq!(capacity_bytes(usize::MAX), None);
        assert_eq!(lengths(&[1, 12]), Some(vec![1, 12]));
        assert_eq!(lengths(&[-1, 12]), None);
        assert!(is_aligned(0x7f00_0000_0100) && !is_aligned(0x7f00_0000_0140) && !is_aligned(0));
    }
}
