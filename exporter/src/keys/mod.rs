//! Every key that the official constructor makes for an architecture, and the audit of a checkpoint against it.

mod audit;
mod expected;
mod stage;
mod widths;

pub use audit::{Audit, Missing, StageSize, Unused, WrongShape, audit, nearest};
pub use expected::{Expected, expected};
pub use stage::Stage;
pub use widths::Widths;

#[cfg(test)]
mod tests;
