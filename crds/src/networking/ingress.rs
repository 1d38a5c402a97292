//! networking.k8s.io/v1 Ingress.
//!
//! Upstream: `pkg/registry/networking/ingress/strategy.go`, `pkg/apis/networking/validation/validation.go`.

use super::reference;
use crate::{cursor::Cursor, facts, fill::annotation, network, table};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

/// What named the class before there was a field for it.
const CLASS: &str = "kubernetes.io/ingress.class";
const NO_ADDRESS: &str = "must be a DNS name, not an IP address";
const NOT_IN_PATHS: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const NOT_ENDING_PATHS: [&str; 2] = ["/..", "/."];

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("networking.k8s.io", "v1", "Ingress");
    let columns = [
        Column::name(),
        Column::text("Class"),
        Column::text("Hosts"),
        Column::text("Address"),
        Column::text("Ports"),
        Column::age(),
    ];
    KindDef::namespaced(gvk, "ingresses", facts::schema("io.k8s.api.networking.v1.Ingress"))
        .short(&["ing"])
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            validate,
            validate_create,
            validate_status,
            create_warnings: warnings,
            generation: Generation::Spec,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let (backend, rules) = (spec.get("defaultBackend"), spec.get("rules"));
    if rules.is_empty() && !backend.is_set() {
        let text = "either `defaultBackend` or `rules` must be specified";
        errors.invalid(spec.path(), rules.value(), text);
    }
    if backend.is_set() {
        validate_backend(&backend, errors);
    }
    rules.items().for_each(|rule| validate_rule(&rule, errors));
    for tls in spec.get("tls").items() {
        tls.get("hosts").items().for_each(|host| validate_host(&host, errors));
        tls.get("secretName").opt_named(errors, names::is_dns1123_subdomain);
    }
    if let Some(class) = spec.present("ingressClassName") {
        class.named(errors, names::is_dns1123_subdomain);
    }
}

fn validate_rule(rule: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let host = rule.get("host");
    if !host.is_empty() {
        if network::parse_with_zeros(host.text()).is_some() {
            host.invalid(errors, NO_ADDRESS);
        }
        validate_host(&host, errors);
    }
    let Some(http) = rule.present("http") else { return };
    let paths = http.get("paths");
    if paths.is_empty() {
        paths.required(errors, "");
    }
    paths.items().for_each(|path| validate_path(&path, errors));
}

fn validate_host(host: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let has_wildcard = host.text().contains('*');
    let check = if has_wildcard { names::is_wildcard_dns1123_subdomain } else { names::is_dns1123_subdomain };
    host.named(errors, check);
}

fn validate_path(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (kind, path) = (at.get("pathType"), at.get("path"));
    if !kind.is_set() {
        return kind.required(errors, "pathType must be specified");
    }
    if kind.enumeration(errors, &["Exact", "ImplementationSpecific", "Prefix"]) {
        let text = path.text();
        let is_free = kind.text() == "ImplementationSpecific";
        let may_be_absent = is_free && text.is_empty();
        if !may_be_absent && !text.starts_with('/') {
            path.invalid(errors, "must be an absolute path");
        }
        if !is_free {
            for part in NOT_IN_PATHS.iter().filter(|part| text.contains(**part)) {
                path.invalid(errors, &format!("must not contain '{part}'"));
            }
            for end in NOT_ENDING_PATHS.iter().filter(|end| text.ends_with(**end)) {
                path.invalid(errors, &format!("cannot end with '{end}'"));
            }
        }
    }
    validate_backend(&at.get("backend"), errors);
}

fn validate_backend(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let whole = |errors: &mut FieldErrors, text: &str| errors.invalid(at.path(), &"".into(), text);
    match (at.present("resource"), at.present("service")) {
        (Some(_), Some(_)) => whole(errors, "cannot set both resource and service backends"),
        (Some(resource), None) => reference(&resource, errors),
        (None, None) => whole(errors, "resource or service backend is required"),
        (None, Some(service)) => {
            let name = service.get("name");
            if name.must_be_set(errors) {
                name.named(errors, names::is_dns1123_label);
            }
            let port = service.get("port");
            let (name, number) = (port.get("name"), port.get("number"));
            match (name.is_empty(), number.int() == 0) {
                (false, false) => whole(errors, "cannot set both port name & port number"),
                (false, true) => {
                    name.named(errors, names::is_valid_port_name);
                }
                (true, false) => number.number(errors, names::is_valid_port_num),
                (true, true) => at.required(errors, "port name or number is required"),
            }
        }
    }
}

fn validate_create(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let Some(class) = spec.present("ingressClassName") else { return };
    let written = &object["metadata"]["annotations"][CLASS];
    if written.is_string() && written != class.value() {
        let annotations = root.get("annotations");
        let annotation = annotations.get(CLASS);
        errors.invalid(annotation.path(), written, "must match `ingressClassName` when both are specified");
    }
}

fn validate_status(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let kept = &old["status"]["loadBalancer"]["ingress"];
    let root = Cursor::root(new);
    let status = root.get("status");
    let balancer = status.get("loadBalancer");
    for ingress in balancer.get("ingress").items() {
        let (ip, name) = (ingress.get("ip"), ingress.get("hostname"));
        if !ip.is_empty() {
            network::ip(&ip, kept, errors);
        }
        if !name.is_empty() {
            name.named(errors, names::is_dns1123_subdomain);
            if network::parse_with_zeros(name.text()).is_some() {
                name.invalid(errors, NO_ADDRESS);
            }
        }
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let is_old = !annotation(object, CLASS).is_empty() && !object["spec"]["ingressClassName"].is_string();
    let text = format!("annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead");
    is_old.then_some(text).into_iter().collect()
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let rules = spec["rules"].as_array().into_iter().flatten();
    let hosts = rules.filter_map(|rule| rule["host"].as_str()).filter(|host| !host.is_empty());
    let hosts: Vec<_> = hosts.map(str::to_owned).collect();
    let entries = status["loadBalancer"]["ingress"].as_array().into_iter().flatten();
    let address = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        text("ip").or_else(|| text("hostname"))
    };
    let mut addresses: Vec<_> = entries.filter_map(address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let has_tls = spec["tls"].as_array().is_some_and(|tls| !tls.is_empty());
    vec![
        table::name(object),
        table::text_or(&spec["ingressClassName"], "<none>"),
        table::first_of(&hosts, 3, "*").into(),
        addresses.join(",").into(),
        if has_tls { "80, 443" } else { "80" }.into(),
        table::age(object, now),
    ]
}
