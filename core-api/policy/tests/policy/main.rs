//! Policy over a real registry with the built-in kinds and a store in memory.

mod bootstrap;
mod cluster;
mod nodes;
mod pods;
mod rbac;
mod tokens;
