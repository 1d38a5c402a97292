//! v1 Endpoints, the older form of EndpointSlices.
//!
//! Upstream: `pkg/registry/core/endpoint/strategy.go`.

use crate::{core::namespaced, cursor::Cursor, fill, network, table};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

const DEPRECATED: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let kind = namespaced("Endpoints", "endpoints")
        .short(&["ep"])
        .with_table(&[Column::name(), Column::text("Endpoints"), Column::age()], row)
        .with_strategy(Strategy {
            default,
            validate_create: validate,
            // Addresses that are as they were stay, whatever the rules are by now.
            validate_update: |new, old, errors| {
                if !fill::same(&new["subsets"], &old["subsets"]) {
                    validate(new, errors);
                }
            },
            create_on_update: true,
            ..Strategy::default()
        });
    KindDef { deprecation: Some(DEPRECATED.into()), ..kind }
}

/// Subsets stay as they were written. Upstream repacks them by port sets; readers must cope with either.
fn default(object: &mut Value) {
    for subset in fill::items(object, "subsets") {
        fill::items(subset, "ports").for_each(|port| fill::zero(port, "protocol", "TCP"));
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    for subset in root.get("subsets").items() {
        let (ready, other, ports) =
            (subset.get("addresses"), subset.get("notReadyAddresses"), subset.get("ports"));
        if ready.is_empty() && other.is_empty() {
            subset.required(errors, "must specify `addresses` or `notReadyAddresses`");
        }
        ready.items().chain(other.items()).for_each(|address| validate_address(&address, errors));
        let many = ports.list().len() > 1;
        ports.items().for_each(|port| validate_port(&port, many, errors));
    }
}

fn validate_address(address: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let ip = address.get("ip");
    network::ip(&ip, &Value::Null, errors);
    address.get("hostname").opt_named(errors, names::is_dns1123_label);
    if let Some(node) = address.present("nodeName") {
        node.named(errors, names::is_dns1123_subdomain);
    }
    network::endpoint_ip(&ip, errors);
}

fn validate_port(port: &Cursor<'_, '_>, needs_name: bool, errors: &mut FieldErrors) {
    let name = port.get("name");
    if needs_name && name.is_empty() {
        name.required(errors, "");
    }
    name.opt_named(errors, names::is_dns1123_label);
    let number = port.int_of("port");
    port.get("port").with(&number.into()).invalid_each(errors, &names::is_valid_port_num(number));
    port.get("protocol").one_of(errors, &["SCTP", "TCP", "UDP"]);
    if let Some(protocol) = port.present("appProtocol") {
        protocol.named(errors, names::is_qualified_name);
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![table::name(object), addresses(object).into(), table::age(object, now)]
}

fn addresses(object: &Value) -> String {
    let root = Cursor::root(object);
    let mut texts = Vec::new();
    for subset in root.get("subsets").items() {
        let ips: Vec<&str> = subset.get("addresses").items().map(|a| a.text_of("ip")).collect();
        let ports = subset.get("ports");
        if ports.is_empty() {
            texts.extend(ips.iter().map(|&ip| ip.to_owned()));
        }
        for port in ports.items() {
            texts.extend(ips.iter().map(|ip| join(ip, port.int_of("port"))));
        }
    }
    let none = if root.get("subsets").is_empty() { "<none>" } else { "" };
    table::first_of(&texts, 3, none)
}

fn join(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
