//! Probes that open a connection.
//!
//! Upstream: `pkg/probe/tcp/tcp.go`.

use super::action::{Outcome, authority, system_error};
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};

pub(super) async fn probe(host: String, port: u16, within: Duration) -> Outcome {
    let address = authority(&host, port);
    match timeout(within, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(error)) => Outcome::Failure(refused(&address, &error)),
        Err(_) => Outcome::Failure(format!("dial tcp {address}: i/o timeout")),
    }
}

/// Why a connection could not be opened.
pub(super) fn refused(address: &str, error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => format!("dial tcp {address}: connect: {}", system_error(error)),
        None => format!("dial tcp: lookup {address}: {error}"),
    }
}
