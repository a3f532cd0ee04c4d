//! Passes on the small model.
