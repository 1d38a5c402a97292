//! discovery.k8s.io/v1 EndpointSlice.
//!
//! Upstream: `pkg/registry/discovery/endpointslice/strategy.go`, `pkg/apis/discovery/validation/validation.go`.

use crate::{
    cursor::Cursor,
    facts,
    fill::{absent, items, remove, same},
    network, selector, table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;
use std::collections::BTreeSet;

const TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const MANAGERS: [&str; 2] = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("discovery.k8s.io", "v1", "EndpointSlice");
    let columns = [
        Column::name(),
        Column::text("AddressType"),
        Column::text("Ports"),
        Column::text("Endpoints"),
        Column::age(),
    ];
    KindDef::namespaced(gvk, "endpointslices", facts::schema("io.k8s.api.discovery.v1.EndpointSlice"))
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            prepare_create: drop_topology,
            prepare_update: |new, old| {
                if !same(&new["endpoints"], &old["endpoints"]) {
                    drop_topology(new);
                }
            },
            validate_create: |object, errors| {
                validate(object, &Value::Null, errors);
                declared(&Cursor::root(object), &Value::Null, errors);
            },
            validate_update: |new, old, errors| {
                validate(new, old, errors);
                declared(&Cursor::root(new), old, errors);
            },
            warnings,
            create_warnings: |object| {
                let fqdn = object["addressType"] == "FQDN";
                let text = "spec.addressType: FQDN endpoints are deprecated";
                fqdn.then(|| text.to_owned()).into_iter().collect()
            },
            generation: Generation::SpecOrLabels,
            ..Strategy::default()
        })
}

fn default(object: &mut Value) {
    for port in items(object, "ports") {
        absent(port, "name", "");
        absent(port, "protocol", "TCP");
    }
}

/// The old way to say where an endpoint is.
fn drop_topology(object: &mut Value) {
    items(object, "endpoints").for_each(|endpoint| remove(endpoint, "deprecatedTopology"));
}

/// Addresses that are written unusually, unless the control plane wrote them.
fn warnings(object: &Value) -> Vec<String> {
    let manager = object["metadata"]["labels"].get("endpointslice.kubernetes.io/managed-by");
    if manager.and_then(Value::as_str).is_some_and(|manager| MANAGERS.contains(&manager)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for endpoint in Cursor::root(object).get("endpoints").items() {
        found.extend(endpoint.get("addresses").items().filter_map(|ip| network::ip_warning(&ip)));
    }
    found
}

fn validate(object: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let kind = root.get("addressType");
    // What is declared with a field is not asked again of one that may not change.
    if !old.is_null() && !kind.is_empty() {
        kind.enumeration(errors, &TYPES);
    }
    ports(&root.get("ports"), errors);
    let list = root.get("endpoints");
    if is_unchanged(object, old) {
        return;
    }
    if list.list().len() > 1000 {
        return errors.too_many(list.path(), list.list().len(), 1000);
    }
    list.items().for_each(|one| endpoint(&one, root.text_of("addressType"), errors));
}

/// Endpoints that are as they were stay, whatever the rules are by now.
fn is_unchanged(object: &Value, old: &Value) -> bool {
    !old.is_null() && same(&object["endpoints"], &old["endpoints"])
}

/// The rules that upstream declares with the fields; those come last.
fn declared(root: &Cursor<'_, '_>, old: &Value, errors: &mut FieldErrors) {
    let kind = root.get("addressType");
    match old {
        Value::Null => {
            kind.one_of(errors, &TYPES);
        }
        old if old["addressType"] != *kind.value() => {
            kind.must_be_set(errors);
            errors.invalid(kind.path(), &Value::Null, crate::cursor::IMMUTABLE);
        }
        _ => {}
    }
    if is_unchanged(root.value(), old) {
        return;
    }
    for endpoint in root.get("endpoints").items() {
        let addresses = endpoint.get("addresses");
        match addresses.list().len() {
            0 => addresses.required(errors, ""),
            count if count > 100 => errors.too_many(addresses.path(), count, 100),
            _ => {}
        }
    }
}

fn ports(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if list.list().len() > 20_000 {
        return errors.too_many(list.path(), list.list().len(), 20_000);
    }
    let mut seen = BTreeSet::new();
    for port in list.items() {
        let name = port.get("name");
        name.opt_named(errors, names::is_dns1123_label);
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        port.get("protocol").enumeration(errors, &["SCTP", "TCP", "UDP"]);
        if let Some(protocol) = port.present("appProtocol") {
            protocol.named(errors, names::is_qualified_name);
        }
    }
}

fn endpoint(at: &Cursor<'_, '_>, kind: &str, errors: &mut FieldErrors) {
    let addresses = at.get("addresses");
    for address in addresses.items() {
        match kind {
            "IPv4" | "IPv6" => ip(&address, &addresses, kind, errors),
            "FQDN" => {
                names::validate_fully_qualified_domain_name(address.text(), address.path(), errors);
            }
            _ => {}
        }
    }
    if let Some(node) = at.present("nodeName") {
        node.named(errors, names::is_dns1123_subdomain);
    }
    let topology = at.get("deprecatedTopology");
    let count = topology.value().as_object().map_or(0, serde_json::Map::len);
    if count > 16 {
        errors.too_many(topology.path(), count, 16);
    }
    selector::labels(&topology, errors);
    if let Some(name) = at.present("hostname") {
        name.named(errors, names::is_dns1123_label);
    }
    let hints = at.get("hints");
    if hint(&hints.get("forZones"), names::is_label_value, errors) {
        hint(&hints.get("forNodes"), names::is_dns1123_subdomain, errors);
    }
}

fn ip(address: &Cursor<'_, '_>, list: &Cursor<'_, '_>, kind: &str, errors: &mut FieldErrors) {
    let check = if kind == "IPv6" { network::strict_ip } else { network::readable_ip };
    if !address.named(errors, check) {
        return;
    }
    if address.text().contains(':') != (kind == "IPv6") {
        list.with(address.value()).invalid(errors, &format!("must be an {kind} address"));
    }
    network::endpoint_ip(address, errors);
}

/// Whether there are not too many.
fn hint(list: &Cursor<'_, '_>, check: fn(&str) -> Vec<String>, errors: &mut FieldErrors) -> bool {
    if list.list().len() > 8 {
        errors.too_many(list.path(), list.list().len(), 8);
        return false;
    }
    let mut seen = BTreeSet::new();
    for entry in list.items() {
        let name = entry.get("name");
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        name.named(errors, check);
    }
    true
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let port = |port: &Value| match (port["port"].as_i64(), port["name"].as_str()) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    };
    let list = |field: &str| object[field].as_array().map_or(&[][..], Vec::as_slice);
    let ports: Vec<String> = list("ports").iter().map(port).collect();
    let addresses = list("endpoints").iter().flat_map(|endpoint| endpoint["addresses"].as_array()).flatten();
    let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    let cell = |texts: &[String]| match table::first_of(texts, 3, "") {
        text if text.is_empty() => "<unset>".to_owned(),
        text => text,
    };
    vec![
        table::name(object),
        table::text_or(&object["addressType"], ""),
        cell(&ports).into(),
        cell(&addresses).into(),
        table::age(object, now),
    ]
}
