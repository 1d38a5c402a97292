//! Whether the server of an APIService can be reached: the condition `Available`.
//!
//! What objects say is decided purely; only when nothing speaks against it is the server itself asked.
//! Upstream: kube-aggregator `pkg/controllers/status/remote/remote_available_controller.go`.

use super::{Aggregator, ask, service::Place, table::Backend};
use crate::objects::{self, SERVICES, Service, Slice};
use futures::{StreamExt, stream::FuturesUnordered};
use std::time::Duration;

/// Questions at once; one answer is enough.
const ATTEMPTS: usize = 5;
/// How often a server is asked again that nothing is known to have happened to.
const AGAIN: Duration = Duration::from_secs(30);
/// The first pause after a server that did not answer, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(30));

/// What the condition should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Verdict {
    fn no(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason, message }
    }
    /// Of what this server answers itself.
    pub(super) fn local() -> Self {
        let message = "Local APIServices are always available".to_owned();
        Self { status: "True", reason: "Local", message }
    }
    /// When to look again, after so many failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        match self.reason {
            "FailedDiscoveryCheck" => PAUSES.0.saturating_mul(1 << failures.min(20)).min(PAUSES.1),
            _ => AGAIN,
        }
    }
    pub(super) fn is_passed(&self) -> bool {
        self.reason == "Passed"
    }
    pub(super) fn is_failure(&self) -> bool {
        self.reason == "FailedDiscoveryCheck"
    }
}

impl Aggregator {
    pub(super) async fn verdict(&self, backend: &Backend) -> Verdict {
        let place = &backend.spec.place;
        let registry = &self.relay.registry;
        let service: Option<Service> = objects::get(registry, &SERVICES, &place.namespace, &place.name).ok();
        let slices = || objects::slices_of(registry, &place.namespace, &place.name);
        if let Some(obstacle) = obstacle(place, service.as_ref(), slices) {
            return obstacle;
        }
        match self.probe(backend).await {
            Ok(()) => Verdict { status: "True", reason: "Passed", message: "all checks passed".to_owned() },
            Err(why) => Verdict::no("FailedDiscoveryCheck", why),
        }
    }

    /// Asks the server for what it must serve.
    async fn probe(&self, backend: &Backend) -> Result<(), String> {
        let mut attempts: FuturesUnordered<_> = (0..ATTEMPTS).map(|_| self.attempt(backend)).collect();
        let mut last = Ok(());
        while let Some(result) = attempts.next().await {
            last = result;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    async fn attempt(&self, backend: &Backend) -> Result<(), String> {
        let target = self.target(backend)?;
        let path = backend.spec.path();
        let url = ask::url(&target, &path);
        let failed = |why: String| format!("failing or missing response from {url}: {why}");
        let asked = tokio::time::timeout(ask::PATIENCE, self.get(target, &path, "*/*")).await;
        let late = |_| failed(format!("Get {url:?}: context deadline exceeded"));
        let answer = asked.map_err(late)?.map_err(|why| failed(format!("Get {url:?}: {why}")))?;
        let status = answer.response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(failed(format!("bad status from {url}: {}", status.as_u16())))
    }
}

/// What speaks against asking the server at all.
fn obstacle(
    place: &Place,
    service: Option<&Service>,
    slices: impl FnOnce() -> Vec<Slice>,
) -> Option<Verdict> {
    let Place { namespace, name, port } = place;
    let Some(service) = service else {
        return Some(Verdict::no(
            "ServiceNotFound",
            format!("service/{name} in {namespace:?} is not present"),
        ));
    };
    if service.spec.kind != "ClusterIP" {
        return None;
    }
    let Some(found) = service.spec.ports.iter().find(|own| own.port == *port) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Some(Verdict::no("ServicePortError", message));
    };
    let slices = slices();
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(Verdict::no("EndpointsNotFound", message));
    }
    if slices.iter().any(|slice| has_endpoint(slice, &found.name)) {
        return None;
    }
    let message = format!(
        "endpointslices for service/{name} in {namespace:?} have no addresses with port name {:?}",
        found.name
    );
    Some(Verdict::no("MissingEndpoints", message))
}

fn has_endpoint(slice: &Slice, port: &str) -> bool {
    slice.endpoints.iter().any(|endpoint| endpoint.conditions.ready != Some(false))
        && slice.ports.iter().any(|own| own.name == port && own.port.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn found(service: Option<Value>, slices: Value) -> Option<(&'static str, String)> {
        let place = Place { namespace: "d".to_owned(), name: "s".to_owned(), port: 443 };
        let service: Option<Service> = service.map(|service| serde_json::from_value(service).unwrap());
        let verdict = obstacle(&place, service.as_ref(), || serde_json::from_value(slices).unwrap())?;
        assert_eq!(verdict.status, "False");
        Some((verdict.reason, verdict.message))
    }

    #[test]
    fn objects_may_speak_against_a_server() {
        let service = |port: u16| {
            Some(json!({"spec": {"type": "ClusterIP", "ports": [{"name": "https", "port": port}]}}))
        };
        let slice = |ready: Value, port: &str| {
            json!([{"ports": [{"name": port, "port": 8443}],
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]}])
        };
        let text = |reason: &'static str, message: &str| Some((reason, message.to_owned()));
        assert_eq!(found(None, json!([])), text("ServiceNotFound", "service/s in \"d\" is not present"));
        assert_eq!(
            found(service(80), json!([])),
            text("ServicePortError", "service/s in \"d\" is not listening on port 443")
        );
        assert_eq!(
            found(service(443), json!([])),
            text("EndpointsNotFound", "cannot find endpointslices for service/s in \"d\"")
        );
        let missing = "endpointslices for service/s in \"d\" have no addresses with port name \"https\"";
        for slices in [slice(json!(false), "https"), slice(json!(true), "other"), json!([{}])] {
            assert_eq!(found(service(443), slices), text("MissingEndpoints", missing));
        }
        for ready in [json!(true), Value::Null] {
            assert_eq!(found(service(443), slice(ready, "https")), None);
        }
        let external = Some(json!({"spec": {"type": "ExternalName", "externalName": "example.com"}}));
        assert_eq!(found(external, json!([])), None);
    }

    #[test]
    fn servers_that_do_not_answer_are_asked_again_soon_at_first() {
        let failed = Verdict::no("FailedDiscoveryCheck", String::new());
        let pauses: Vec<_> = [0, 1, 12, 13, 99].map(|n| failed.pause(n).as_millis()).to_vec();
        assert_eq!(pauses, [5, 10, 20_480, 30_000, 30_000]);
        assert_eq!(Verdict::no("ServiceNotFound", String::new()).pause(9), AGAIN);
    }
}
