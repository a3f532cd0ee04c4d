//! Synthetic checkpoints of the official sizes: weights that anyone can make again, bit for bit, from the keys alone.
//!
//! A trained full-size checkpoint is 0.9 GB and has to be downloaded; what a stage costs depends only on its shapes. So
//! benchmarks, engine builds and comparisons with PyTorch take these weights instead. They are drawn like an untrained
//! model's (see [`values`]), so that activations stay in range through every layer; the masks mean nothing.

mod error;
mod preset;
mod values;
mod write;

pub use error::{SynthError, UnknownPreset};
pub use preset::Preset;
pub use values::values;
pub use write::{partial_path, write, write_model};

#[cfg(test)]
mod tests;
