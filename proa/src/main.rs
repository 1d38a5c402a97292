//! The `proa` binary.
fn main() {}
