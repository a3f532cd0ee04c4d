//! Operators that move elements without changing them.

use super::{Attribute, Graph, Result, Value};
use crate::tensor::{DType, Dim};

/// Scope of the nodes through which one part of a graph waits for another.
pub const WAITING: &str = "after";

impl Graph {
    /// Row-major reshape. A symbolic axis may stay as one axis of the same name.
    pub fn reshape(&mut self, x: Value, shape: &[Dim]) -> Result {
        let symbols = |s: &[Dim]| s.iter().filter(|d| d.fixed().is_none()).count();
        let count = |s: &[Dim]| s.iter().filter_map(Dim::fixed).product::<usize>();
        let old = self.shape(x).to_vec();
        if symbols(&old) != symbols(shape) || symbols(shape) > 1 || count(&old) != count(shape) {
            let want: Vec<String> = shape.iter().map(ToString::to_string).collect();
            let reason = format!("the target is [{}]", want.join(", "));
            return self.refuse("Reshape", &[x], reason);
        }
        if old == shape {
            return Ok(x);
        }
        let target: Vec<i64> = shape
            .iter()
            .map(|d| d.fixed().map_or(-1, |n| n as i64))
            .collect();
        let target = self.constant_i64(&[target.len()], &target)?;
        let dtype = self.dtype(x);
        self.push("Reshape", &[x, target], vec![], dtype, shape.to_vec())
    }

    /// [`Graph::reshape`] to a shape without symbols.
    pub fn view(&mut self, x: Value, shape: &[usize]) -> Result {
        let dims: Vec<Dim> = shape.iter().map(|n| Dim::Fixed(*n)).collect();
        self.reshape(x, &dims)
    }

    /// Axes in a new order: output axis `i` is input axis `perm[i]`.
    pub fn transpose(&mut self, x: Value, perm: &[usize]) -> Result {
        let old = self.shape(x).to_vec();
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if sorted != (0..old.len()).collect::<Vec<_>>() {
            return self.refuse("Transpose", &[x], format!("{perm:?} is no permutation"));
        }
        let shape = perm.iter().map(|i| old[*i].clone()).collect();
        let ints = Attribute::Ints(perm.iter().map(|i| *i as i64).collect());
        let dtype = self.dtype(x);
        self.push("Transpose", &[x], vec![("perm", ints)], dtype, shape)
    }

    /// Joins along `axis`; a single operand is returned as it is.
    pub fn concat(&mut self, parts: &[Value], axis: usize) -> Result {
        if let [only] = parts {
            return Ok(*only);
        }
        let mut shape = self.shape(parts[0]).to_vec();
        let mut total = 0;
        for part in parts {
            let other = self.shape(*part);
            let fits = other.len() == shape.len()
                && (0..shape.len()).all(|i| i == axis || other[i] == shape[i]);
            let Some(n) = other.get(axis).and_then(Dim::fixed).filter(|_| fits) else {
                return self.refuse("Concat", parts, format!("they differ off axis {axis}"));
            };
            total += n;
        }
        shape[axis] = Dim::Fixed(total);
        let dtype = self.dtype(parts[0]);
        let axis = Attribute::Int(axis as i64);
        self.push("Concat", parts, vec![("axis", axis)], dtype, shape)
    }

    /// Splits `axis` into pieces of the given lengths.
    pub fn split(&mut self, x: Value, axis: usize, lengths: &[usize]) -> Result<Vec<Value>> {
        let shape = self.shape(x).to_vec();
        if shape[axis].fixed() != Some(lengths.iter().sum()) {
            let reason = format!("axis {axis} does not split into {lengths:?}");
            return self.refuse("Split", &[x], reason);
        }
        if lengths.len() == 1 {
            return Ok(vec![x]);
        }
        let sizes: Vec<i64> = lengths.iter().map(|n| *n as i64).collect();
        let sizes = self.constant_i64(&[sizes.len()], &sizes)?;
        let dtype = self.dtype(x);
        let outputs = lengths
            .iter()
            .map(|n| {
                let mut part = shape.clone();
                part[axis] = Dim::Fixed(*n);
                (dtype, part)
            })
            .collect();
        let attributes = vec![("axis", Attribute::Int(axis as i64))];
        self.push_many("Split", &[x, sizes], attributes, outputs)
    }

    /// The elements `start..end` of `axis`.
    pub fn slice(&mut self, x: Value, axis: usize, start: usize, end: usize) -> Result {
        let mut shape = self.shape(x).to_vec();
        match shape[axis].fixed() {
            Some(n) if start == 0 && end == n => return Ok(x),
            Some(n) if start < end && end <= n => shape[axis] = Dim::Fixed(end - start),
            _ => {
                let reason = format!("axis {axis} has no {start}..{end}");
                return self.refuse("Slice", &[x], reason);
            }
        }
        let inputs = [
            x,
            self.constant_i64(&[1], &[start as i64])?,
            self.constant_i64(&[1], &[end as i64])?,
            self.constant_i64(&[1], &[axis as i64])?,
        ];
        let dtype = self.dtype(x);
        self.push("Slice", &inputs, vec![], dtype, shape)
    }

    /// `x`, on which nothing can begin before `done` is computed: engines choose their own order among nodes
    /// that do not depend on each other, and begin all long chains at once where one after the other needs
    /// less memory. The nodes are in a scope called [`WAITING`].
    pub fn after(&mut self, x: Value, done: Value) -> Result {
        self.scoped(WAITING, |g| {
            let shape = g.shape(x).to_vec();
            let Some(rows) = shape.first().and_then(Dim::fixed) else {
                return g.refuse("Concat", &[x, done], "rows must be known".to_owned());
            };
            let mut element = done;
            for axis in 0..g.shape(done).len() {
                element = g.slice(element, axis, 0, 1)?;
            }
            let fixed = shape[1..].iter().map(|d| d.fixed().unwrap_or(1));
            let row: Vec<usize> = [1].into_iter().chain(fixed).collect();
            let element = g.view(element, &vec![1; row.len()])?;
            // One row more, and off again: no optimisation sees through that.
            let row = g.expand(element, &row)?;
            let longer = g.concat(&[x, row], 0)?;
            g.slice(longer, 0, 0, rows)
        })
    }

    /// Entries of `x` along `axis` at the positions in `indices` (int64).
    pub fn gather(&mut self, x: Value, indices: Value, axis: usize) -> Result {
        if self.dtype(indices) != DType::I64 {
            return self.refuse("Gather", &[x, indices], "indices must be int64");
        }
        let shape = [
            &self.shape(x)[..axis],
            self.shape(indices),
            &self.shape(x)[axis + 1..],
        ]
        .concat();
        let dtype = self.dtype(x);
        let axis = Attribute::Int(axis as i64);
        self.push("Gather", &[x, indices], vec![("axis", axis)], dtype, shape)
    }

    /// Repeats axes of length 1 until the shape is `shape`.
    pub fn expand(&mut self, x: Value, shape: &[usize]) -> Result {
        let old = self.fixed_shape(x).unwrap_or_default();
        let fits =
            old.len() == shape.len() && old.iter().zip(shape).all(|(o, n)| o == n || *o == 1);
        if !fits {
            return self.refuse("Expand", &[x], format!("the target is {shape:?}"));
        }
        if old == shape {
            return Ok(x);
        }
        let target: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
        let target = self.constant_i64(&[target.len()], &target)?;
        let dims = shape.iter().map(|n| Dim::Fixed(*n)).collect();
        let dtype = self.dtype(x);
        self.push("Expand", &[x, target], vec![], dtype, dims)
    }

    /// Nearest-neighbour resize of `[N, C, h, w]` as PyTorch's `interpolate(mode="nearest")`.
    pub fn resize_nearest(&mut self, x: Value, height: usize, width: usize) -> Result {
        let Some(old) = self.fixed_shape(x).filter(|s| s.len() == 4) else {
            return self.refuse("Resize", &[x], "it needs a fixed [N, C, h, w]");
        };
        if (old[2], old[3]) == (height, width) {
            return Ok(x);
        }
        let sizes = [old[0], old[1], height, width].map(|n| n as i64);
        let sizes = self.constant_i64(&[4], &sizes)?;
        let attributes = vec![
            ("mode", Attribute::String("nearest")),
            ("nearest_mode", Attribute::String("floor")),
            (
                "coordinate_transformation_mode",
                Attribute::String("asymmetric"),
            ),
        ];
        let shape = [old[0], old[1], height, width].map(Dim::Fixed).to_vec();
        let dtype = self.dtype(x);
        let inputs = vec![Some(x), None, None, Some(sizes)];
        let outputs = self.push_node("Resize", inputs, attributes, vec![(dtype, shape)])?;
        Ok(outputs[0])
    }
}
