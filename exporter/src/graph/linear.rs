//! Matrix products, convolutions and pooling.

use super::arithmetic::broadcast;
use super::{Attribute, Graph, Result, Value};
use crate::tensor::Dim;

impl Graph {
    /// Batched matrix product with broadcasting of the leading axes.
    pub fn matmul(&mut self, a: Value, b: Value) -> Result {
        let (sa, sb) = (self.shape(a).to_vec(), self.shape(b).to_vec());
        let (na, nb) = (sa.len(), sb.len());
        if na < 2 || nb < 2 || sa[na - 1] != sb[nb - 2] {
            return self.refuse("MatMul", &[a, b], "the inner axes differ");
        }
        let Some(mut shape) = broadcast(&sa[..na - 2], &sb[..nb - 2]) else {
            return self.refuse("MatMul", &[a, b], "the leading axes do not broadcast");
        };
        shape.extend([sa[na - 2].clone(), sb[nb - 1].clone()]);
        let dtype = self.dtype(a);
        self.push("MatMul", &[a, b], vec![], dtype, shape)
    }

    /// `x @ weight^T + bias` for `x [M, in]`, `weight [out, in]`, `bias [out]`: a linear layer with
    /// the weight as PyTorch keeps it, so that the checkpoint's bytes are the graph's.
    pub fn gemm(&mut self, x: Value, weight: Value, bias: Option<Value>) -> Result {
        let (sx, sw) = (self.shape(x).to_vec(), self.shape(weight).to_vec());
        if sx.len() != 2 || sw.len() != 2 || sx[1] != sw[1] {
            return self.refuse("Gemm", &[x, weight], "it needs [M, in] and [out, in]");
        }
        let mut inputs = vec![x, weight];
        inputs.extend(bias);
        let dtype = self.dtype(x);
        let attributes = vec![("transB", Attribute::Int(1))];
        self.push(
            "Gemm",
            &inputs,
            attributes,
            dtype,
            vec![sx[0].clone(), sw[0].clone()],
        )
    }

    /// 2-D convolution of `[N, in, h, w]` with `[out, in, kh, kw]` and an optional bias `[out]`;
    /// `padding` is top, left, bottom, right.
    pub fn conv(
        &mut self,
        x: Value,
        weight: Value,
        bias: Option<Value>,
        stride: usize,
        padding: [usize; 4],
    ) -> Result {
        let shapes = self.fixed_shape(x).zip(self.fixed_shape(weight));
        let Some((sx, sw)) = shapes.filter(|(x, w)| x.len() == 4 && w.len() == 4 && x[1] == w[1])
        else {
            return self.refuse(
                "Conv",
                &[x, weight],
                "it needs [N, in, h, w], [out, in, kh, kw]",
            );
        };
        let [top, left, bottom, right] = padding;
        let out = |n: usize, k: usize| n.saturating_sub(k) / stride + 1;
        let (height, width) = (sx[2] + top + bottom, sx[3] + left + right);
        let shape = [sx[0], sw[0], out(height, sw[2]), out(width, sw[3])];
        let mut inputs = vec![x, weight];
        inputs.extend(bias);
        let attributes = window_attributes([sw[2], sw[3]], stride, padding);
        let dtype = self.dtype(x);
        self.push(
            "Conv",
            &inputs,
            attributes,
            dtype,
            shape.map(Dim::Fixed).to_vec(),
        )
    }

    /// 2-D maximum pooling of `[N, C, h, w]`.
    pub fn max_pool(&mut self, x: Value, kernel: usize, stride: usize, padding: usize) -> Result {
        let Some(s) = self.fixed_shape(x).filter(|s| s.len() == 4) else {
            return self.refuse("MaxPool", &[x], "it needs a fixed [N, C, h, w]");
        };
        let out = |n: usize| (n + 2 * padding).saturating_sub(kernel) / stride + 1;
        let shape = [s[0], s[1], out(s[2]), out(s[3])].map(Dim::Fixed).to_vec();
        let attributes = window_attributes([kernel, kernel], stride, [padding; 4]);
        let dtype = self.dtype(x);
        self.push("MaxPool", &[x], attributes, dtype, shape)
    }
}

fn window_attributes(
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 4],
) -> Vec<(&'static str, Attribute)> {
    vec![
        (
            "kernel_shape",
            Attribute::Ints(kernel.map(|k| k as i64).to_vec()),
        ),
        ("strides", Attribute::Ints(vec![stride as i64; 2])),
        ("pads", Attribute::Ints(padding.map(|p| p as i64).to_vec())),
    ]
}
