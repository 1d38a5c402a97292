//! Probes that ask the health service of gRPC (`grpc.health.v1.Health/Check`).
//!
//! The two messages are small enough to be declared here. Upstream: `pkg/probe/grpc/grpc.go`.

use super::{
    action::{Outcome, duration, system_error},
    tcp,
};
use std::{error::Error as _, io, net::SocketAddr, time::Duration};
use tokio::time::timeout;
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Endpoint};
use tonic_prost::ProstCodec;

const CHECK: PathAndQuery = PathAndQuery::from_static("/grpc.health.v1.Health/Check");

/// `HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// `HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthResponse {
    #[prost(enumeration = "HealthStatus", tag = "1")]
    pub(super) status: i32,
}

/// `HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum HealthStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl HealthStatus {
    const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

/// Why no answer came.
enum Fault {
    Connect(tonic::transport::Error),
    Call(Status),
}

pub(super) async fn probe(address: SocketAddr, service: &str, within: Duration) -> Outcome {
    match timeout(within, check(address, service)).await {
        Ok(Ok(HealthStatus::Serving)) => Outcome::Success,
        Ok(Ok(other)) => Outcome::Failure(format!("service unhealthy (responded with {:?})", other.name())),
        Ok(Err(Fault::Connect(error))) => {
            let why = why(&error)
                .map_or_else(|| error.to_string(), |error| tcp::refused(&address.to_string(), error));
            Outcome::Failure(format!("error: failed to connect service at \"{address}\": {why}"))
        }
        Ok(Err(Fault::Call(status))) => Outcome::Failure(refusal(&status)),
        Err(_) => {
            Outcome::Failure(format!("timeout: health rpc did not complete within {}", duration(within)))
        }
    }
}

async fn check(address: SocketAddr, service: &str) -> Result<HealthStatus, Fault> {
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).and_then(|e| e.user_agent("kube-probe/1.37"));
    let channel = endpoint.map_err(Fault::Connect)?.connect().await.map_err(Fault::Connect)?;
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(Fault::Connect)?;
    let request = Request::new(HealthRequest { service: service.to_owned() });
    let codec = ProstCodec::<HealthRequest, HealthResponse>::default();
    let response = client.unary(request, CHECK, codec).await.map_err(Fault::Call)?;
    Ok(HealthStatus::try_from(response.into_inner().status).unwrap_or(HealthStatus::Unknown))
}

fn refusal(status: &Status) -> String {
    let message = status.message();
    if status.code() == Code::Unimplemented {
        return format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        );
    }
    format!("error: health rpc probe failed: rpc error: code = {:?} desc = {message}", status.code())
}

/// The operating system's error at the bottom of a failed connection.
fn why(error: &tonic::transport::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>().filter(|error| !system_error(error).is_empty())
        {
            return Some(error);
        }
        source = error.source();
    }
    None
}
