//! Which endpoint of a service gets a request.
//!
//! Pure. Upstream: `pkg/registry/core/service/storage/storage.go` `ResourceLocation`, which still reads Endpoints; slices
//! say the same.

use crate::objects::{Endpoint, Service, Slice};
use proa_meta::{ApiError, ApiResult};

/// The name of the port asked for: by number it is looked up, otherwise it is the name.
///
/// # Errors
/// 503 when the service has no such port.
pub(super) fn port_name<'a>(service: &'a Service, name: &str, asked: &'a str) -> ApiResult<&'a str> {
    let Ok(number) = asked.parse::<i64>() else { return Ok(asked) };
    let found = service.spec.ports.iter().find(|port| i64::from(port.port) == number);
    let why = || ApiError::unavailable(format!("no service port {number} found for service {name:?}"));
    found.map(|port| port.name.as_str()).ok_or_else(why)
}

/// A ready endpoint behind the port, the first from `start` on that `is_there`.
pub(super) fn choose(
    slices: &[Slice],
    port: &str,
    start: usize,
    is_there: impl Fn(&Endpoint, &str) -> bool,
) -> Option<(String, u16)> {
    let mut found = Vec::new();
    for slice in slices {
        let Some(number) = slice.ports.iter().find(|p| p.name == port).and_then(|p| p.port) else { continue };
        let ready = slice.endpoints.iter().filter(|endpoint| endpoint.conditions.ready != Some(false));
        found.extend(ready.filter_map(|endpoint| Some((endpoint, endpoint.addresses.first()?, number))));
    }
    let first = start % found.len().max(1);
    found.rotate_left(first);
    let chosen = found.into_iter().find(|(endpoint, address, _)| is_there(endpoint, address));
    chosen.map(|(_, address, number)| (address.clone(), number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slices() -> Vec<Slice> {
        serde_json::from_value(json!([
            {
                "ports": [{"name": "http", "port": 8080}, {"name": null, "port": 9}],
                "endpoints": [
                    {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                    {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                ],
            },
            {"ports": [{"name": "http", "port": 8081}], "endpoints": [{"addresses": ["10.0.0.3"]}]},
            {"ports": null, "endpoints": null},
        ]))
        .unwrap()
    }

    #[test]
    fn ready_endpoints_take_turns() {
        let at = |start| choose(&slices(), "http", start, |_, _| true);
        assert_eq!(at(0), Some(("10.0.0.1".to_owned(), 8080)));
        assert_eq!(at(1), Some(("10.0.0.3".to_owned(), 8081)));
        assert_eq!(at(2), at(0));
        assert_eq!(choose(&slices(), "", 0, |_, _| true), Some(("10.0.0.1".to_owned(), 9)));
        assert_eq!(choose(&slices(), "https", 0, |_, _| true), None);
        let gone = |_: &Endpoint, ip: &str| ip != "10.0.0.1";
        assert_eq!(choose(&slices(), "http", 0, gone), Some(("10.0.0.3".to_owned(), 8081)));
    }

    #[test]
    fn ports_are_found_by_number_or_name() {
        let service: Service =
            serde_json::from_value(json!({"spec": {"ports": [{"name": "web", "port": 80}]}})).unwrap();
        assert_eq!(port_name(&service, "s", "80").unwrap(), "web");
        assert_eq!(port_name(&service, "s", "other").unwrap(), "other");
        let error = port_name(&service, "s", "81").unwrap_err();
        assert_eq!((error.code(), error.message()), (503, "no service port 81 found for service \"s\""));
    }
}
