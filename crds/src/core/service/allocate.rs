//! Addresses and node ports of services: what is kept, picked, checked and released.
//!
//! Single-stack IPv4: the second family of a dual-stack request is refused where it is required and left out where it
//! is only preferred. Node ports of all protocols come from one range, as upstream's do; one service may use a number
//! for several protocols.
//! Upstream: `pkg/registry/core/service/storage/{alloc,storage}.go`.

use super::{is_headless, needs_health_check, text, validate::addresses_and_families};
use crate::{
    cursor::Cursor,
    fill::{absent, is_empty, items, keep, present, remove, same, set, sub, zero},
    network,
};
use proa_meta::{FieldErrors, FieldPath, Gvr};
use proa_registry::kind::{Claim, ClaimProblem, Pool, Record};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ADDRESSES: &str = "clusterIP";
const PORTS: &str = "nodePort";

/// Each address has an IPAddress that names its service.
pub(super) const RECORD: Record = Record { space: ADDRESSES, gvr: &IP_ADDRESSES, make: ip_address };

static IP_ADDRESSES: Gvr = Gvr::new("networking.k8s.io", "v1", "ipaddresses");

fn ip_address(ip: &str, service: &Value) -> Value {
    let metadata = &service["metadata"];
    let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {"name": ip, "labels": {
            "ipaddress.kubernetes.io/ip-family": family,
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }},
        "spec": {"parentRef": {
            "group": "", "resource": "services", "namespace": metadata["namespace"], "name": metadata["name"],
        }},
    })
}

/// What a service holds.
pub(super) fn held(object: &Value) -> Vec<Claim> {
    let spec = &object["spec"];
    let claim = |space, value: String| Claim { space, value };
    let ips = spec["clusterIPs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut claims: Vec<Claim> =
        ips.filter(|ip| network::parse(ip).is_some()).map(|ip| claim(ADDRESSES, ip.to_owned())).collect();
    let mut ports = node_ports(spec);
    ports.extend(spec["healthCheckNodePort"].as_i64().filter(|port| *port != 0));
    ports.sort_unstable();
    ports.dedup();
    claims.extend(ports.iter().map(|port| claim(PORTS, port.to_string())));
    claims
}

/// Node ports that are set, in order.
pub(super) fn node_ports(spec: &Value) -> Vec<i64> {
    let ports = spec["ports"].as_array().into_iter().flatten();
    ports.filter_map(|port| port["nodePort"].as_i64()).filter(|port| *port != 0).collect()
}

/// Brings `clusterIP` and `clusterIPs` together where the caller knew only one of them.
pub(super) fn normalize(new: &mut Value, old: Option<&Value>) {
    let spec = sub(new, "spec");
    let (ip, has_list) = (text(spec, "clusterIP").to_owned(), !is_empty(&spec["clusterIPs"]));
    let Some(old) = old.map(|old| &old["spec"]) else {
        if !ip.is_empty() && !has_list {
            set(spec, "clusterIPs", json!([ip]));
        }
        return;
    };
    let before = text(old, "clusterIP");
    if !has_list && before == ip {
        keep(spec, old, "clusterIPs");
    }
    if before != ip && same(&spec["clusterIPs"], &old["clusterIPs"]) {
        match ip.as_str() {
            "" => remove(spec, "clusterIPs"),
            ip => set(spec, "clusterIPs", json!([ip])),
        }
    }
}

/// What an update left out is what the service already has.
pub(super) fn keep_allocated(new: &mut Value, old: &Value) {
    let by_ip = |spec: &Value| text(spec, "type") != "ExternalName";
    if by_ip(old) && by_ip(new) {
        let ip = old["clusterIP"].clone();
        if !ip.is_null() {
            zero(new, "clusterIP", ip);
        }
        if is_empty(&new["clusterIPs"]) {
            keep(new, old, "clusterIPs");
        }
    }
    if wants_node_ports(old) && wants_node_ports(new) {
        keep_node_ports(new, old);
    }
    if needs_health_check(old) && needs_health_check(new) {
        let port = old["healthCheckNodePort"].clone();
        zero(new, "healthCheckNodePort", port);
    }
}

fn wants_node_ports(spec: &Value) -> bool {
    match text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => spec["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

fn keep_node_ports(new: &mut Value, old: &Value) {
    let (before, now) = (node_ports(old), node_ports(new));
    let used = |port: i64| before.contains(&port) && now.contains(&port);
    let old_ports = old["ports"].as_array().into_iter().flatten();
    let by_name: BTreeMap<&str, i64> =
        old_ports.map(|port| (text(port, "name"), port["nodePort"].as_i64().unwrap_or(0))).collect();
    for port in items(new, "ports") {
        let kept = by_name.get(text(port, "name")).copied().unwrap_or(0);
        if kept != 0 && !used(kept) {
            zero(port, "nodePort", kept);
        }
    }
}

/// Completes a service with free values and reports values that it cannot have.
pub(super) fn allocate(new: &mut Value, old: Option<&Value>, pool: &dyn Pool, errors: &mut FieldErrors) {
    let old = old.map(|old| &old["spec"]);
    let spec = sub(new, "spec");
    let known = errors.len();
    if text(spec, "type") != "ExternalName" {
        families(spec, old, errors);
        if errors.len() == known && !is_headless(spec) {
            addresses(spec, old, pool, errors);
        }
    }
    if errors.len() == known && matches!(text(spec, "type"), "NodePort" | "LoadBalancer") {
        ports(spec, old, pool, errors);
    }
    if errors.len() == known && needs_health_check(spec) {
        health_check(spec, old, pool, errors);
    }
}

/// `ipFamilyPolicy` and `ipFamilies`.
fn families(spec: &mut Value, old: Option<&Value>, errors: &mut FieldErrors) {
    let unselected_headless = is_headless(spec) && is_empty(&spec["selector"]);
    let policy = match old.and_then(|old| old["ipFamilyPolicy"].as_str()) {
        Some(policy) => policy,
        None if unselected_headless => "RequireDualStack",
        None => "SingleStack",
    };
    absent(spec, "ipFamilyPolicy", policy);
    let known = errors.len();
    addresses_and_families(&at_spec(spec), old.unwrap_or(&Value::Null), errors);
    if errors.len() > known {
        return;
    }
    if let Some(old) = old {
        released(spec, old, errors);
    }
    given(&at_spec(spec), errors);
    if errors.len() > known {
        return;
    }
    if unselected_headless {
        return headless_families(spec);
    }
    let at = at_spec(spec);
    let policy = at.get("ipFamilyPolicy");
    if policy.text() == "RequireDualStack" {
        policy.invalid(errors, "this cluster is not configured for dual-stack services");
    }
    for family in at.get("ipFamilies").items().filter(|family| family.text() == "IPv6") {
        family.invalid(errors, "not configured on this cluster");
    }
    if errors.len() == known {
        zero(spec, "ipFamilies", json!(["IPv4"]));
    }
}

fn at_spec(spec: &Value) -> Cursor<'_, 'static> {
    Cursor::at(spec, FieldPath::root("spec"))
}

/// An update to one family gives the second up; any other must name what it had.
fn released(spec: &mut Value, old: &Value, errors: &mut FieldErrors) {
    let single = text(spec, "ipFamilyPolicy") == "SingleStack";
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (now, before) =
            (spec[field].as_array().map_or(0, Vec::len), old[field].as_array().map_or(0, Vec::len));
        if single {
            if same(&spec[field], &old[field])
                && let Some(Value::Array(list)) = present(spec, field)
            {
                list.truncate(1);
            }
        } else if now != 0 && now < before {
            let text = format!("must be 'SingleStack' to release the secondary {what}");
            at_spec(spec).get("ipFamilyPolicy").invalid(errors, &text);
        }
    }
}

/// What the caller gave fits the policy, and the cluster where it is an address without a family.
fn given(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (policy, ips, families) = (at.get("ipFamilyPolicy"), at.get("clusterIPs"), at.get("ipFamilies"));
    if policy.text() == "SingleStack" {
        for (list, what) in [(&ips, "cluster IPs"), (&families, "IP families")] {
            if list.list().len() == 2 {
                let text = format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                );
                policy.invalid(errors, &text);
            }
        }
    }
    for ip in ips.items().skip(families.list().len()).filter(|ip| ip.text().contains(':')) {
        ip.with(ips.value()).invalid(errors, "IPv6 is not configured on this cluster");
    }
}

/// Headless services without a selector say what their endpoints may be, not what the cluster has.
fn headless_families(spec: &mut Value) {
    zero(spec, "ipFamilies", json!(["IPv4"]));
    let single = spec["ipFamilyPolicy"] == "SingleStack";
    if let Some(Value::Array(list)) = present(spec, "ipFamilies")
        && !single
        && list.len() == 1
    {
        let other = if list[0] == "IPv4" { "IPv6" } else { "IPv4" };
        list.push(other.into());
    }
}

fn addresses(spec: &mut Value, old: Option<&Value>, pool: &dyn Pool, errors: &mut FieldErrors) {
    let keeps = old.is_some_and(|old| text(old, "type") != "ExternalName" && !is_empty(&old["clusterIPs"]));
    if keeps {
        return;
    }
    let root = FieldPath::root("spec");
    let shown = spec["clusterIPs"].clone();
    let shown = Cursor::at(if shown.is_null() { &EMPTY_LIST } else { &shown }, root.child("clusterIPs"));
    let asked = shown.list().first().and_then(Value::as_str).unwrap_or("");
    if asked.is_empty() {
        match pool.pick(ADDRESSES) {
            Some(ip) => {
                set(spec, "clusterIP", ip.as_str());
                set(spec, "clusterIPs", json!([ip]));
            }
            None => shown.invalid(errors, "failed to allocate IP: range is full"),
        }
        return;
    }
    // Texts that are no address are validation's to report.
    if network::parse(asked).is_some()
        && let Err(problem) = pool.check(&Claim { space: ADDRESSES, value: asked.to_owned() })
    {
        let why = match problem {
            ClaimProblem::Taken => "provided IP is already allocated".to_owned(),
            ClaimProblem::OutOfRange(_) => "the provided network does not match the current range".to_owned(),
        };
        shown.invalid(errors, &format!("failed to allocate IP {asked}: {why}"));
    }
}

static EMPTY_LIST: Value = Value::Array(Vec::new());

/// Whether ports without a number get one.
fn allocates(spec: &Value) -> bool {
    text(spec, "type") == "NodePort" || spec["allocateLoadBalancerNodePorts"] != false
}

fn ports(spec: &mut Value, old: Option<&Value>, pool: &dyn Pool, errors: &mut FieldErrors) {
    let before = old.map(node_ports).unwrap_or_default();
    let allocates = allocates(spec);
    let mut taken: Vec<i64> = Vec::new();
    // On create, ports of equal number and different protocol share a node port.
    let mut by_port: BTreeMap<i64, i64> = if old.is_none() { asked_ports(spec) } else { BTreeMap::new() };
    let root = FieldPath::root("spec");
    let path = root.child("ports");
    for (i, port) in items(spec, "ports").enumerate() {
        let number = port["port"].as_i64().unwrap_or(0);
        let wanted = match (port["nodePort"].as_i64().unwrap_or(0), by_port.get(&number)) {
            (0, _) if !allocates => continue,
            (0, shared) => shared.copied(),
            (asked, _) => Some(asked),
        };
        let is_new = |wanted: &i64| !before.contains(wanted) && !taken.contains(wanted);
        let known = errors.len();
        if let Some(wanted) = wanted.filter(is_new) {
            check_port(wanted, &path.index(i).child("nodePort"), pool, errors);
        }
        if errors.len() > known {
            return;
        }
        let Some(chosen) = wanted.or_else(|| pick(pool, &taken)) else {
            errors.internal(&path, "failed to allocate a nodePort: range is full");
            continue;
        };
        set(port, "nodePort", chosen);
        taken.push(chosen);
        if old.is_none() {
            by_port.entry(number).or_insert(chosen);
        }
    }
}

/// Node ports that the caller asked for, by port.
fn asked_ports(spec: &Value) -> BTreeMap<i64, i64> {
    let ports = spec["ports"].as_array().into_iter().flatten();
    let asked = |port: &Value| {
        Some((port["port"].as_i64()?, port["nodePort"].as_i64().filter(|node_port| *node_port != 0)?))
    };
    ports.rev().filter_map(asked).collect()
}

/// A free port that this service did not get already in the same write.
fn pick(pool: &dyn Pool, taken: &[i64]) -> Option<i64> {
    const ATTEMPTS: usize = 64;
    let picks = (0..ATTEMPTS).filter_map(|_| pool.pick(PORTS)?.parse().ok());
    picks.into_iter().find(|port| !taken.contains(port))
}

fn check_port(port: i64, path: &FieldPath<'_>, pool: &dyn Pool, errors: &mut FieldErrors) {
    let why = match pool.check(&Claim { space: PORTS, value: port.to_string() }) {
        Ok(()) => return,
        Err(ClaimProblem::Taken) => "provided port is already allocated".to_owned(),
        Err(ClaimProblem::OutOfRange(range)) => {
            format!("provided port is not in the valid range. The range of valid ports is {range}")
        }
    };
    errors.invalid(path, &port.into(), &why);
}

fn health_check(spec: &mut Value, old: Option<&Value>, pool: &dyn Pool, errors: &mut FieldErrors) {
    if old.is_some_and(needs_health_check) {
        return;
    }
    let root = FieldPath::root("spec");
    match spec["healthCheckNodePort"].as_i64().unwrap_or(0) {
        0 => {
            let picked = pick(pool, &node_ports(spec));
            picked.into_iter().for_each(|port| set(spec, "healthCheckNodePort", port));
        }
        port => check_port(port, &root.child("healthCheckNodePort"), pool, errors),
    }
}
