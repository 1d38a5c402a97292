//! The request path without a socket: `Api::call(Request) -> Response`.
//!
//! Reads top-down: [`api`] is the seam, `filters` is what every request passes in upstream's order, [`request_info`]
//! says what a path means, `handlers` answer, `negotiate` and `encode` choose and write the form of the answer,
//! `discovery` and [`openapi`] describe what is served. Deliberately absent: sockets and TLS (`proa-edge`), object
//! semantics (`proa-registry`), any concrete kind.

pub mod aggregation;
pub mod api;
pub mod audit;
pub mod authn;
pub mod connect;
mod discovery;
mod encode;
mod filters;
mod flow;
mod handlers;
pub mod health;
mod metrics;
mod negotiate;
pub mod openapi;
mod options;
pub mod query;
pub mod request_info;
mod respond;
pub mod upgrade;
pub mod version;
pub mod websocket;

pub use api::{Api, ApiConfig, Body, Caller, Document, Limits, Peer, Request, Response};
pub use authn::{Anonymous, Authenticator, Bearer, ClientCertificate, RequestHeaders, TokenVerifier};
pub use openapi::{OpenApi, SchemaDocs};
pub use upgrade::{Switch, Tunnel};
