//! Policy over a real registry with the built-in kinds and a store in memory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing helper fails its test")]

mod bootstrap;
mod budgets;
mod cluster;
mod nodes;
mod pods;
mod policies;
mod quotas;
mod rbac;
mod service_network;
mod tokens;
