//! Bilinear sampling.

use super::{Attribute, Graph, Result, Value};

impl Graph {
    /// Bilinear samples of `[N, C, h, w]` at `[N, Ho, Wo, 2]` points (x, y) in -1..1, where -1 and 1
    /// are the outer edges of the corner pixels and what lies outside reads as 0.
    pub fn grid_sample(&mut self, x: Value, grid: Value) -> Result {
        let (sx, sg) = (self.shape(x).to_vec(), self.shape(grid).to_vec());
        if sx.len() != 4 || sg.len() != 4 || sx[0] != sg[0] || sg[3].fixed() != Some(2) {
            let reason = "it needs [N, C, h, w] and [N, Ho, Wo, 2]";
            return self.refuse("GridSample", &[x, grid], reason);
        }
        let attributes = vec![
            ("mode", Attribute::String("bilinear")),
            ("padding_mode", Attribute::String("zeros")),
            ("align_corners", Attribute::Int(0)),
        ];
        let shape = vec![sx[0].clone(), sx[1].clone(), sg[1].clone(), sg[2].clone()];
        let dtype = self.dtype(x);
        self.push("GridSample", &[x, grid], attributes, dtype, shape)
    }
}
