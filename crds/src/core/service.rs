//! v1 Service. Addresses and node ports are part of create and update: see [`allocate`].
//!
//! Single-stack IPv4. Upstream: `pkg/registry/core/service/{strategy.go,storage}`, `pkg/apis/core/v1/defaults.go`.

mod allocate;
mod validate;

use crate::{
    core::{namespaced, proxy},
    cursor::Cursor,
    fill::{absent, items, remove, same, set, sub, zero},
    network::{cidr_warning, ip_warning},
    selector, table,
};
use jiff::Timestamp;
use proa_meta::names;
use proa_registry::kind::{Claims, Column, KindDef, Selectable, Strategy};
use serde_json::{Value, json};

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::text("Type"),
        Column::text("Cluster-IP"),
        Column::text("External-IP"),
        Column::text("Port(s)"),
        Column::age(),
        Column::text("Selector").wide(),
    ];
    let kind = namespaced("Service", "services")
        .short(&["svc"])
        .categories(&["all"])
        .with_status()
        .with_subresource(proxy("ServiceProxyOptions"))
        .selectable(&[Selectable::new("spec.clusterIP"), Selectable::new("spec.type")])
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            prepare_create: |object| {
                let kept = json!({"loadBalancer": {}});
                set(object, "status", kept);
                allocate::normalize(object, None);
                drop_internal_policy(object);
            },
            prepare_update,
            validate_create: |object, errors| validate::service(object, &Value::Null, errors),
            validate_update: validate::update,
            validate_status: validate::status,
            warnings,
            name: names::name_is_dns_label,
            returns_deleted: true,
            create_on_update: true,
            ..Strategy::default()
        });
    let claims =
        Claims { held: allocate::held, allocate: allocate::allocate, record: Some(allocate::RECORD) };
    KindDef { claims: Some(claims), ..kind }
}

/// Reached from outside the cluster: node ports, load balancers, external IPs.
fn is_external(spec: &Value) -> bool {
    match text(spec, "type") {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !crate::fill::is_empty(&spec["externalIPs"]),
        _ => false,
    }
}

/// Load balancers ask a port of each node whether it has endpoints.
fn needs_health_check(spec: &Value) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

fn is_headless(spec: &Value) -> bool {
    spec["clusterIPs"].as_array().is_some_and(|ips| matches!(ips.as_slice(), [one] if one == "None"))
}

fn text<'a>(spec: &'a Value, field: &str) -> &'a str {
    spec.get(field).and_then(Value::as_str).unwrap_or("")
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    zero(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => remove(spec, "sessionAffinityConfig"),
        "ClientIP" => absent(sub(sub(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds", 10_800),
        _ => {}
    }
    zero(spec, "type", "ClusterIP");
    for port in items(spec, "ports") {
        zero(port, "protocol", "TCP");
        let number = port["port"].clone();
        zero(port, "targetPort", number);
    }
    if is_external(spec) {
        zero(spec, "externalTrafficPolicy", "Cluster");
    }
    let kind = text(spec, "type").to_owned();
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        absent(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        absent(spec, "allocateLoadBalancerNodePorts", true);
        if let Some(status) = object.get_mut("status").and_then(|status| status.get_mut("loadBalancer")) {
            items(status, "ingress").filter(|i| !text(i, "ip").is_empty()).for_each(|ingress| {
                absent(ingress, "ipMode", "VIP");
            });
        }
    }
}

/// A name elsewhere has no endpoints here. What is no policy is left for validation to refuse.
fn drop_internal_policy(object: &mut Value) {
    let spec = sub(object, "spec");
    let is_policy = matches!(text(spec, "internalTrafficPolicy"), "Cluster" | "Local");
    if text(spec, "type") == "ExternalName" && is_policy {
        remove(spec, "internalTrafficPolicy");
    }
}

fn prepare_update(new: &mut Value, old: &Value) {
    drop_internal_policy(new);
    allocate::keep_allocated(sub(new, "spec"), &old["spec"]);
    allocate::normalize(new, Some(old));
    drop_what_the_type_lost(sub(new, "spec"), &old["spec"]);
    if text(&new["spec"], "type") != "LoadBalancer" {
        set(sub(new, "status"), "loadBalancer", json!({}));
    }
}

/// Fields that the former type needed are dropped unless the caller changed them.
fn drop_what_the_type_lost(new: &mut Value, old: &Value) {
    let kind = |spec: &Value| text(spec, "type").to_owned();
    let (now, before) = (kind(new), kind(old));
    if before != "ExternalName" && now == "ExternalName" {
        if same(&new["clusterIP"], &old["clusterIP"]) && same(&new["clusterIPs"], &old["clusterIPs"]) {
            remove(new, "clusterIP");
            remove(new, "clusterIPs");
        }
        drop_unchanged(new, old, &["ipFamilies", "ipFamilyPolicy"]);
    }
    let has_ports = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    if has_ports(&before) && !has_ports(&now) {
        let before = allocate::node_ports(old);
        if allocate::node_ports(new).iter().all(|port| before.contains(port)) {
            items(new, "ports").for_each(|port| remove(port, "nodePort"));
        }
    }
    if needs_health_check(old) && !needs_health_check(new) {
        drop_unchanged(new, old, &["healthCheckNodePort"]);
    }
    if before == "LoadBalancer" && now != "LoadBalancer" {
        drop_unchanged(new, old, &["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if is_external(old) && !is_external(new) {
        drop_unchanged(new, old, &["externalTrafficPolicy"]);
    }
}

fn drop_unchanged(new: &mut Value, old: &Value, fields: &[&str]) {
    for field in fields {
        if same(&new[*field], &old[*field]) {
            remove(new, field);
        }
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let root = Cursor::root(object);
    let at = root.get("spec");
    let spec = at.value();
    let has = |field: &str| !crate::fill::is_empty(&spec[field]);
    let mut found = Vec::new();
    let (headless, by_name) = (
        text(spec, "type") == "ClusterIP" && text(spec, "clusterIP") == "None",
        text(spec, "type") == "ExternalName",
    );
    found.extend(told(
        object["metadata"]["annotations"].get(HINTS).is_some(),
        "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead",
    ));
    found.extend(told(
        headless && has("loadBalancerIP"),
        "spec.loadBalancerIP is ignored for headless services",
    ));
    found.extend(told(headless && has("externalIPs"), "spec.externalIPs is ignored for headless services"));
    found.extend(told(
        headless && text(spec, "sessionAffinity") != "None",
        "spec.SessionAffinity is ignored for headless services",
    ));
    found.extend(
        at.get("clusterIPs").items().chain(at.get("externalIPs").items()).filter_map(|ip| ip_warning(&ip)),
    );
    found.extend(told(
        has("externalIPs") && !headless && !by_name,
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
    ));
    found.extend(ip_warning(&at.get("loadBalancerIP")));
    found.extend(at.get("loadBalancerSourceRanges").items().filter_map(|range| cidr_warning(&range)));
    found.extend(told(
        by_name && has("externalIPs"),
        "spec.externalIPs is ignored when spec.type is \"ExternalName\"",
    ));
    found.extend(told(
        !by_name && has("externalName"),
        "spec.externalName is ignored when spec.type is not \"ExternalName\"",
    ));
    found.extend(told(
        text(spec, "trafficDistribution") == "PreferClose",
        "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
    ));
    found
}

fn told(when: bool, text: &str) -> Option<String> {
    when.then(|| text.to_owned())
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        table::name(object),
        table::text_or(&spec["type"], ""),
        table::text_or(&spec["clusterIPs"][0], "<none>"),
        external_ip(object).into(),
        ports(spec).into(),
        table::age(object, now),
        selector::label_text(&spec["selector"]).into(),
    ]
}

fn external_ip(object: &Value) -> String {
    let spec = &object["spec"];
    let ips = spec["externalIPs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut texts: Vec<&str> = Vec::new();
    let none = match text(spec, "type") {
        "ClusterIP" | "NodePort" => "<none>",
        "LoadBalancer" => {
            texts = load_balancers(object);
            "<pending>"
        }
        "ExternalName" => return text(spec, "externalName").to_owned(),
        _ => return "<unknown>".to_owned(),
    };
    texts.extend(ips);
    if texts.is_empty() { none.to_owned() } else { texts.join(",") }
}

fn load_balancers(object: &Value) -> Vec<&str> {
    let ingress = object["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
    let address = |one| match text(one, "ip") {
        "" => text(one, "hostname"),
        ip => ip,
    };
    let mut texts: Vec<&str> = ingress.map(address).filter(|text| !text.is_empty()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn ports(spec: &Value) -> String {
    let list = Cursor::root(spec);
    let list = list.get("ports");
    let texts: Vec<String> = (list.items())
        .map(|port| match (port.int_of("port"), port.int_of("nodePort"), port.text_of("protocol")) {
            (number, 0, protocol) => format!("{number}/{protocol}"),
            (number, node, protocol) => format!("{number}:{node}/{protocol}"),
        })
        .collect();
    if texts.is_empty() { "<none>".to_owned() } else { texts.join(",") }
}
