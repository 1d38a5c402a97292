//! The whole way: a client over TLS, the real server, and a node agent or backend that the test plays.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that finds nothing where something must be fails here"
)]

mod access;
mod agent;
mod aggregation;
mod authority;
mod conversions;
mod hook;
mod logs;
mod proxies;
mod streams;
mod webhooks;
mod world;
