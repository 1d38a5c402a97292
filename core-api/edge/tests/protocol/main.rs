//! One suite for both ways to the API: in the process, and over TLS on the loopback interface.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that finds nothing where something must be fails here"
)]

mod anything;
mod binary;
mod documents;
mod reads;
mod refusals;
mod support;
mod toys;
mod typed;
mod upgrades;
mod watches;
mod writes;
