//! Runs one probe once.
//!
//! Upstream: `runProbe` in `pkg/kubelet/prober/prober.go`.

use super::{Target, exec, grpc, http, tcp};
use k8s_openapi::api::core::v1::{HTTPGetAction, Probe};
use proa_runtime_shim::Runtime;
use std::{fmt::Write as _, io, net::SocketAddr, time::Duration};

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should be.
    Success,
    /// A success that people should know about.
    Warning(String),
    /// The container does not answer as it should.
    Failure(String),
    /// The probe could not be run; it says nothing about the container.
    Error(String),
}

/// Runs a probe.
pub(super) async fn run<R: Runtime>(
    runtime: &R,
    target: &Target,
    probe: &Probe,
    timeout: Duration,
) -> Outcome {
    if let Some(action) = &probe.exec {
        return exec::probe(runtime, target, action, timeout).await;
    }
    if let Some(action) = &probe.http_get {
        return match get_request(target, action, "probe") {
            Ok(request) => http::probe(request, timeout).await,
            Err(why) => Outcome::Error(why),
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let host = action.host.as_deref().filter(|host| !host.is_empty());
        return match target.port(&action.port) {
            Ok(port) => {
                tcp::probe(host.map_or_else(|| target.address.to_string(), str::to_owned), port, timeout)
                    .await
            }
            Err(why) => Outcome::Error(why),
        };
    }
    if let Some(action) = &probe.grpc {
        return match u16::try_from(action.port) {
            Ok(port) => {
                let address = SocketAddr::new(target.address, port);
                grpc::probe(address, action.service.as_deref().unwrap_or_default(), timeout).await
            }
            Err(_) => Outcome::Error(format!("invalid port number: {}", action.port)),
        };
    }
    Outcome::Error("missing probe handler".to_owned())
}

/// The request of a probe or hook; `agent` is the first part of its `User-Agent`'s second word.
pub(crate) fn get_request(target: &Target, action: &HTTPGetAction, agent: &str) -> Result<http::Get, String> {
    let host = action.host.clone().filter(|host| !host.is_empty());
    let headers = action.http_headers.iter().flatten();
    Ok(http::Get {
        is_tls: action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
        host: host.unwrap_or_else(|| target.address.to_string()),
        port: target.port(&action.port)?,
        path: action.path.clone().unwrap_or_default(),
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
        user_agent: format!("kube-{agent}/1.37"),
    })
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// An error of the operating system as upstream's messages have it: `connection refused`.
pub(super) fn system_error(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// A duration as upstream's messages have it: `1m30s`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, "{hours}h");
    }
    if seconds >= 60 {
        let _ = write!(text, "{minutes}m");
    }
    let _ = write!(text, "{}s", seconds % 60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_upstreams() {
        assert_eq!(duration(Duration::from_secs(1)), "1s");
        assert_eq!(duration(Duration::from_secs(90)), "1m30s");
        assert_eq!(duration(Duration::from_secs(3600)), "1h0m0s");
        assert_eq!(authority("::1", 80), "[::1]:80");
        assert_eq!(system_error(&io::Error::from_raw_os_error(111)), "connection refused");
    }
}
