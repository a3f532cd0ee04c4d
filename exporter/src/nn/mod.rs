//! Building blocks: each loads its weights and emits its nodes.

mod attention;
mod conv;
mod deformable;
mod linear;
mod norm;
mod position;

pub use attention::MultiheadAttention;
pub use conv::Conv2d;
pub use deformable::{Deformable, DeformableAttention, Level, References};
pub use linear::{Activation, Linear, Mlp};
pub use norm::{GroupNorm, LayerNorm};
pub use position::{sine_2d, sine_rates};
