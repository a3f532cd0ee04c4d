//! What a checkpoint is.
mod architecture;
pub use architecture::*;
