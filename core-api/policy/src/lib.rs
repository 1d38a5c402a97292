//! Kubernetes' built-in admission plugins and authorizers: the one core crate that may name Pod.
//!
//! Owns: RBAC and the node authorizer, admission plugins, tokens (of service accounts, bootstrap, other issuers, webhooks),
//! the actions behind reviews, bindings, evictions and tokens, and the objects every cluster starts with. Everything reads the registry's published state
//! and decides in memory. Deliberately absent: HTTP (authentication of requests calls [`tokens::verifier`]), files (keys
//! come from the caller).

pub mod actions;
pub mod admission;
pub mod aggregation;
pub mod authorizers;
pub mod bootstrap;
pub mod flow_status;
pub mod jwt;
pub mod kubeconfig;
pub mod node;
pub mod objects;
pub mod rbac;
pub mod registration;
mod remember;
pub mod service_network;
mod task;
pub mod tokens;
pub mod type_checking;
