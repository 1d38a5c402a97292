//! One suite for both ways to the API: in the process, and over TLS on the loopback interface.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that finds nothing where something must be fails here"
)]

mod anything;
mod audit;
mod binary;
mod documents;
mod limits;
mod reads;
mod refusals;
mod sockets;
mod support;
mod toys;
mod typed;
mod upgrades;
mod watches;
mod writes;
