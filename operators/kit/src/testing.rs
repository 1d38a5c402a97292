//! For tests of operators: golden cases that people can read, and a server that records what it is sent.
//!
//! A golden case is a YAML file with `object`, `observed`, optionally `now`, and last `expect`, the expected plan.
//! `UPDATE_GOLDEN=1` writes what the plan is now after `expect:`; read the difference before committing it.

pub mod golden;
pub mod server;
