//! Kubernetes clients of other people, unmodified, against the binary: they are what compatible means.
//!
//! One file per family of clients, one test per scenario; a scenario is a program in the client's own language, or a
//! series of its commands, with a server of its own over TLS. The programs know nothing of Proa. `tests/tools/clients.sh`
//! makes them; a client whose toolchain is missing is left out, except where `CI=true`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a failed test says where"
)]

mod client_go;
mod client_node;
mod controller_runtime;
mod helm;
mod kube_rs;
#[allow(dead_code, reason = "a fixture of the end-to-end tests, which use more of it")]
#[path = "../e2e/kubectl.rs"]
mod kubectl;
#[allow(dead_code, reason = "a fixture of the end-to-end tests, which use more of it")]
#[path = "../e2e/node.rs"]
mod node;
mod outsiders;
mod program;
mod python;
#[allow(dead_code, reason = "a fixture of the end-to-end tests, which use more of it")]
#[path = "../e2e/server.rs"]
mod server;
