//! Optimisation profiles: the lengths that a symbolic axis may take.

use serde::{Deserialize, Serialize};
use socc_exporter::tensor::{Dim, TensorSpec};

/// Tokens that the tokenizer gives at least: the marks of a sentence's start and end.
const MIN_TOKENS: usize = 2;
/// Tokens of a usual sentence, for which kernels are chosen.
const USUAL_TOKENS: usize = 12;

/// Lengths of the symbolic axis S, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Profile {
    /// Shortest.
    pub min: usize,
    /// Length that is to be fastest.
    pub opt: usize,
    /// Longest.
    pub max: usize,
}

impl Profile {
    /// For sentences of up to `max_tokens`.
    pub fn tokens(max_tokens: usize) -> Self {
        let max = max_tokens.max(1);
        Self {
            min: MIN_TOKENS.min(max),
            opt: USUAL_TOKENS.min(max),
            max,
        }
    }

    /// Shapes of an input at the three lengths; `None` where it has no symbolic axis.
    pub fn shapes(&self, spec: &TensorSpec) -> Option<[Vec<usize>; 3]> {
        let symbolic = spec.shape.iter().any(|d| d.fixed().is_none());
        let at = |length: usize| -> Vec<usize> {
            let axis = |d: &Dim| d.fixed().unwrap_or(length);
            spec.shape.iter().map(axis).collect()
        };
        symbolic.then(|| [at(self.min), at(self.opt), at(self.max)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socc_exporter::tensor::DType;

    #[test]
    fn lengths_stay_within_what_the_text_encoder_takes() {
        let lengths = |max| {
            let p = Profile::tokens(max);
            [p.min, p.opt, p.max]
        };
        assert_eq!(lengths(512), [2, 12, 512]);
        assert_eq!(lengths(8), [2, 8, 8]);
        assert_eq!(lengths(1), [1, 1, 1]);
    }

    #[test]
    fn only_symbolic_axes_vary() {
        let spec = |shape: Vec<Dim>| TensorSpec {
            name: "x".into(),
            dtype: DType::F32,
            shape,
        };
        let profile = Profile::tokens(64);
        let shapes = profile.shapes(&spec(vec![Dim::Symbol("S".into()), 32.into()]));
        assert_eq!(shapes, Some([vec![2, 32], vec![12, 32], vec![64, 32]]));
        assert_eq!(profile.shapes(&spec(vec![4.into()])), None);
    }
}
