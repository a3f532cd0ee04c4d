//! Every key that the official constructor makes for an architecture, and the audit of a checkpoint against it.

mod audit;
mod expected;

pub use audit::{Audit, Missing, StageSize, Unused, WrongShape, audit, nearest};
pub use expected::{Expected, Stage, Widths, expected};

#[cfg(test)]
mod tests;
