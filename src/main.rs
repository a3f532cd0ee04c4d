//! The `socc` command.
fn main() {}
