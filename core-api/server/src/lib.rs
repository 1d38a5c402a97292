//! The request path without a socket: `Api::call(Request) -> Response`.
//!
//! Reads top-down: [`api`] is the seam, `filters` is what every request passes in upstream's order, `request_info`
//! says what a path means, `handlers` answer, `negotiate` and `encode` choose and write the form of the answer,
//! [`discovery`] and [`openapi`] describe what is served. Deliberately absent: sockets and TLS (`proa-edge`), object
//! semantics (`proa-registry`), any concrete kind.

pub mod api;

pub use api::{Api, ApiConfig, Body, Caller, Limits, Peer, Request, Response};
