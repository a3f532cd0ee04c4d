//! Everything around the stages: frames in, sentences in, masks and pictures out.

mod error;
pub mod frames;
pub mod masks;
pub mod output;
pub mod overlay;
pub mod resize;
#[cfg(test)]
mod tests;
pub mod tokenizer;

pub use error::{HostError, Result};
