//! How far two tensors are apart.

use serde::Serialize;
use socc_calibration::precision::Precision;

/// The largest differences that pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tolerance {
    /// Name, for reports.
    pub name: &'static str,
    /// Norm of the difference over the norm of the golden tensor.
    pub relative_l2: f64,
    /// Least intersection over union of the masks.
    pub mask_iou: f64,
}

impl Tolerance {
    /// For graphs in float32.
    pub const FP32: Self = Self {
        name: "fp32",
        relative_l2: 1e-4,
        mask_iou: 0.999,
    };
    /// For graphs in float16 with float32 islands.
    pub const FP16: Self = Self {
        name: "fp16",
        relative_l2: 1e-2,
        mask_iou: 0.99,
    };
    /// For graphs with int8 products: their masks count, not their digits.
    pub const INT8: Self = Self {
        name: "int8",
        relative_l2: 0.2,
        mask_iou: 0.95,
    };

    /// For a pipeline whose least precise stage has this precision.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => Self::FP32,
            Precision::Fp16 => Self::FP16,
            Precision::Int8 | Precision::Int8Fp16 => Self::INT8,
        }
    }
}

/// How far two tensors are apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Largest difference of two elements.
    pub max_abs: f64,
    /// Norm of the difference over the norm of the golden tensor.
    pub relative_l2: f64,
    /// Cosine of the angle between both; 1 where both are zero.
    pub cosine: f64,
}

/// Compares elements in order, in float64. A NaN on either side makes every figure NaN, which no
/// tolerance lets pass.
pub fn compare(got: impl Iterator<Item = f32>, golden: impl Iterator<Item = f32>) -> Difference {
    let (mut max_abs, mut apart, mut norm, mut own, mut dot) = (0f64, 0f64, 0f64, 0f64, 0f64);
    for (got, golden) in got.zip(golden) {
        let (got, golden) = (f64::from(got), f64::from(golden));
        let gap = (got - golden).abs();
        max_abs = if gap.is_nan() { gap } else { max_abs.max(gap) };
        apart += gap * gap;
        norm += golden * golden;
        own += got * got;
        dot += got * golden;
    }
    let nan = apart.is_nan();
    let or_nan = |v: f64| if nan { f64::NAN } else { v };
    let ratio = |a: f64, b: f64| match (a == 0.0, b == 0.0) {
        (true, true) => 0.0,
        (false, true) => f64::INFINITY,
        _ => a / b,
    };
    let cosine = if own == 0.0 && norm == 0.0 {
        1.0
    } else {
        ratio(dot, (own * norm).sqrt())
    };
    Difference {
        max_abs: or_nan(max_abs),
        relative_l2: or_nan(ratio(apart.sqrt(), norm.sqrt())),
        cosine: or_nan(cosine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(got: &[f32], golden: &[f32]) -> Difference {
        compare(got.iter().copied(), golden.iter().copied())
    }

    #[test]
    fn figures_are_those_of_numpy() {
        let d = of(&[1.0, 2.0, 3.5], &[1.0, 2.0, 3.0]);
        assert_eq!(d.max_abs, 0.5);
        assert!(
            (d.relative_l2 - 0.133_630_620_956_212_2).abs() < 1e-12,
            "{d:?}"
        );
        assert!((d.cosine - 0.997_408_650_736_069_7).abs() < 1e-12, "{d:?}");
    }

    #[test]
    fn nothing_hides_a_nan_or_a_zero_golden() {
        assert!(of(&[f32::NAN, 1.0], &[0.0, 1.0]).relative_l2.is_nan());
        assert_eq!(of(&[1.0], &[0.0]).relative_l2, f64::INFINITY);
        assert_eq!(of(&[0.0], &[0.0]).relative_l2, 0.0);
    }
}
