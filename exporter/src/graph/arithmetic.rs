//! Elementwise operators with multidirectional broadcasting.

use super::{Attribute, Graph, Result, Value};
use crate::tensor::{DType, Dim};

/// Codes of the element types in ONNX's `TensorProto.DataType`.
const ONNX_DTYPES: [(DType, i64); 10] = [
    (DType::F32, 1),
    (DType::U8, 2),
    (DType::I8, 3),
    (DType::I16, 5),
    (DType::I32, 6),
    (DType::I64, 7),
    (DType::Bool, 9),
    (DType::F16, 10),
    (DType::F64, 11),
    (DType::BF16, 16),
];

/// Code of an element type in ONNX's `TensorProto.DataType`.
pub fn onnx_dtype(dtype: DType) -> i64 {
    let found = ONNX_DTYPES.iter().find(|(d, _)| *d == dtype);
    found.map_or(0, |(_, code)| *code)
}

/// Element type of a code.
pub(crate) fn dtype_of_onnx(code: i64) -> Option<DType> {
    let found = ONNX_DTYPES.iter().find(|(_, c)| *c == code);
    found.map(|(dtype, _)| *dtype)
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident => $op:literal;)*) => {
        impl Graph {
            $($(#[$doc])* pub fn $name(&mut self, x: Value) -> Result {
                let (dtype, shape) = (self.dtype(x), self.shape(x).to_vec());
                self.push($op, &[x], vec![], dtype, shape)
            })*
        }
    };
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident => $op:literal;)*) => {
        impl Graph {
            $($(#[$doc])* pub fn $name(&mut self, a: Value, b: Value) -> Result {
                self.binary($op, a, b)
            })*
        }
    };
}

unary! {
    /// `x`, under another name.
    identity => "Identity";
    /// Error function.
    erf => "Erf";
    /// `max(x, 0)`.
    relu => "Relu";
    /// `1 / (1 + exp(-x))`.
    sigmoid => "Sigmoid";
    /// Natural logarithm.
    log => "Log";
    /// Sine of radians.
    sin => "Sin";
    /// Square root.
    sqrt => "Sqrt";
    /// Largest integer not above `x`.
    floor => "Floor";
}

binary! {
    /// `a + b`.
    add => "Add";
    /// `a - b`.
    sub => "Sub";
    /// `a * b`.
    mul => "Mul";
    /// `a / b`.
    div => "Div";
    /// The larger of `a` and `b`.
    max => "Max";
    /// The smaller of `a` and `b`.
    min => "Min";
}

impl Graph {
    fn binary(&mut self, op: &'static str, a: Value, b: Value) -> Result {
        if self.dtype(a) != self.dtype(b) {
            return self.refuse(op, &[a, b], "the element types differ");
        }
        let Some(shape) = broadcast(self.shape(a), self.shape(b)) else {
            return self.refuse(op, &[a, b], "the shapes do not broadcast");
        };
        let dtype = self.dtype(a);
        self.push(op, &[a, b], vec![], dtype, shape)
    }

    /// `x * factor`.
    pub fn scale(&mut self, x: Value, factor: f32) -> Result {
        let c = self.constant(&[], &[factor])?;
        self.mul(x, c)
    }

    /// `x + term`.
    pub fn shift(&mut self, x: Value, term: f32) -> Result {
        let c = self.constant(&[], &[term])?;
        self.add(x, c)
    }

    /// `a == b`, elementwise.
    pub fn equal(&mut self, a: Value, b: Value) -> Result {
        let equal = self.binary("Equal", a, b)?;
        self.specs[equal.0].dtype = DType::Bool;
        Ok(equal)
    }

    /// `x` converted to `dtype`.
    pub fn cast(&mut self, x: Value, dtype: DType) -> Result {
        let shape = self.shape(x).to_vec();
        let to = Attribute::Int(onnx_dtype(dtype));
        self.push("Cast", &[x], vec![("to", to)], dtype, shape)
    }

    /// Gaussian error linear unit in its exact form, `x / 2 * (1 + erf(x / sqrt 2))`, spelled out
    /// because the `Gelu` operator needs opset 20.
    pub fn gelu(&mut self, x: Value) -> Result {
        let root = self.constant(&[], &[std::f32::consts::SQRT_2])?;
        let scaled = self.div(x, root)?;
        let erf = self.erf(scaled)?;
        let one_plus = self.shift(erf, 1.0)?;
        let product = self.mul(x, one_plus)?;
        self.scale(product, 0.5)
    }

    /// Softmax over `axis`.
    pub fn softmax(&mut self, x: Value, axis: i64) -> Result {
        let (dtype, shape) = (self.dtype(x), self.shape(x).to_vec());
        self.push(
            "Softmax",
            &[x],
            vec![("axis", Attribute::Int(axis))],
            dtype,
            shape,
        )
    }
}

/// ONNX's multidirectional broadcasting of two shapes.
pub(crate) fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let one = Dim::Fixed(1);
    let at = |s: &[Dim], i: usize| -> Dim {
        let missing = rank - s.len();
        if i < missing {
            one.clone()
        } else {
            s[i - missing].clone()
        }
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (Dim::Fixed(1), y) => Some(y),
            (x, Dim::Fixed(1)) => Some(x),
            _ => None,
        })
        .collect()
}
