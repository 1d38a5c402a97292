//! Validation of services.
//!
//! Upstream: `validateService`, `ValidateServiceClusterIPsRelatedFields`, `validateUpgradeDowngrade*` in
//! `pkg/apis/core/validation/validation.go`.

use super::{is_external, is_headless, needs_health_check};
use crate::{cursor::Cursor, fill::same, network, pod_spec::validate as pod, selector};
use proa_meta::{FieldError, FieldErrors, field::Problem, names};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const MODE: &str = "service.kubernetes.io/topology-mode";
const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const BALANCER_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const SET_ONCE: &str = "may not change once set";

/// Validates a service as it is; `before` is what it was, whose addresses may stay.
pub(super) fn service(object: &Value, before: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (spec, old) = (root.get("spec"), &before["spec"]);
    annotations(&root, errors);
    let headless = is_headless(spec.value());
    let ports = spec.get("ports");
    if ports.is_empty() && !headless && spec.text_of("type") != "ExternalName" {
        ports.required(errors, "");
    }
    by_type(&spec, headless, errors);
    let mut seen = BTreeSet::new();
    let many = ports.list().len() > 1;
    ports.items().for_each(|port| service_port(&port, many, &mut seen, errors));
    selector::labels(&spec.get("selector"), errors);
    affinity(&spec, errors);
    addresses_and_families(&spec, old, errors);
    for ip in spec.get("externalIPs").items() {
        if network::ip(&ip, &old["externalIPs"], errors) {
            network::endpoint_ip(&ip, errors);
        }
    }
    spec.get("type").one_of(errors, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    repeated_ports(&spec, errors);
    source_ranges(&root, before, errors);
    balancer(&spec, errors);
    traffic(&spec, errors);
}

fn annotations(root: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let metadata = root.get("metadata");
    let annotations = metadata.get("annotations");
    let (mode, hints) = (annotations.key(MODE), annotations.key(HINTS));
    if mode.is_set() && hints.is_set() && mode.text() != hints.text() {
        mode.invalid(errors, &format!("must match annotations[{HINTS}] when both are specified"));
    }
}

fn by_type(spec: &Cursor<'_, '_>, headless: bool, errors: &mut FieldErrors) {
    let kind = spec.text_of("type");
    if headless && matches!(kind, "LoadBalancer" | "NodePort") {
        let ips = spec.get("clusterIPs");
        for ip in ips.items() {
            ip.invalid(errors, &format!("may not be set to 'None' for {kind} services"));
        }
    }
    if kind != "ExternalName" {
        return;
    }
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !spec.get(field).is_empty() {
            spec.get(field).forbidden(errors, "may not be set for ExternalName services");
        }
    }
    let name = spec.get("externalName");
    match name.text().strip_suffix('.').unwrap_or(name.text()) {
        "" => name.required(errors, ""),
        text => {
            name.with(&text.into()).named(errors, names::is_dns1123_subdomain);
        }
    }
}

fn service_port<'v>(
    port: &Cursor<'v, '_>,
    needs_name: bool,
    seen: &mut BTreeSet<&'v str>,
    errors: &mut FieldErrors,
) {
    let name = port.get("name");
    if needs_name && name.is_empty() {
        name.required(errors, "");
    } else if !name.is_empty() {
        name.named(errors, names::is_dns1123_label);
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
    }
    let number = port.int_of("port");
    port.get("port").with(&number.into()).invalid_each(errors, &names::is_valid_port_num(number));
    port.get("protocol").one_of(errors, &["SCTP", "TCP", "UDP"]);
    pod::port(&port.get("targetPort"), errors);
    if let Some(protocol) = port.present("appProtocol") {
        protocol.named(errors, names::is_qualified_name);
    }
}

fn affinity(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const NEEDED: &str = "when session affinity type is ClientIP";
    let (kind, config) = (spec.get("sessionAffinity"), spec.get("sessionAffinityConfig"));
    kind.one_of(errors, &["ClientIP", "None"]);
    match kind.text() {
        "None" if config.is_set() => {
            config.forbidden(errors, "must not be set when session affinity is None");
        }
        "ClientIP" => {
            let client = config.get("clientIP");
            let timeout = client.get("timeoutSeconds");
            match (config.is_set(), client.is_set(), timeout.opt_int()) {
                (false, _, _) => config.required(errors, NEEDED),
                (_, false, _) => client.required(errors, NEEDED),
                (_, _, None) => timeout.required(errors, NEEDED),
                (_, _, Some(1..=86_400)) => {}
                _ => timeout.invalid(errors, "must be greater than 0 and less than 86400"),
            }
        }
        _ => {}
    }
}

/// `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` fit together.
pub(super) fn addresses_and_families(spec: &Cursor<'_, '_>, old: &Value, errors: &mut FieldErrors) {
    if spec.text_of("type") == "ExternalName" {
        return;
    }
    let (ip, ips) = (spec.text_of("clusterIP"), spec.get("clusterIPs"));
    match (ip.is_empty(), ips.list().first()) {
        (false, None) => ips.required(errors, ""),
        (false, Some(first)) if first != ip => ips.invalid(errors, "first value must match `clusterIP`"),
        (true, Some(_)) => ips.invalid(errors, "must be empty when `clusterIP` is not specified"),
        _ => {}
    }
    let families = spec.get("ipFamilies");
    let mut seen = BTreeSet::new();
    for family in families.items() {
        family.enumeration(errors, &["IPv4", "IPv6"]);
        if !seen.insert(family.text()) {
            family.duplicate(errors);
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    spec.get("ipFamilyPolicy").opt_one_of(errors, &policies);
    if each_address(&ips, &old["clusterIPs"], errors) {
        family_of_each(spec, &ips, &families, errors);
    }
}

fn each_address(ips: &Cursor<'_, '_>, kept: &Value, errors: &mut FieldErrors) -> bool {
    let mut valid = true;
    for (i, ip) in ips.items().enumerate() {
        if i == 0 && ip.text() == "None" {
            if ips.list().len() > 1 {
                ips.invalid(errors, "'None' must be the first and only value");
                valid = false;
            }
            continue;
        }
        valid &= network::ip(&ip, kept, errors);
    }
    if ips.list().len() > 2 {
        ips.invalid(errors, "may only hold up to 2 values");
    }
    valid
}

fn family_of_each(
    spec: &Cursor<'_, '_>,
    ips: &Cursor<'_, '_>,
    families: &Cursor<'_, '_>,
    errors: &mut FieldErrors,
) {
    let texts: Vec<&str> = ips.list().iter().filter_map(Value::as_str).collect();
    let same_family = texts.windows(2).any(|two| network::is_v6(two[0]) == network::is_v6(two[1]));
    if texts.len() > 1 && same_family {
        ips.invalid(errors, "may specify no more than one IP for each IP family");
    }
    if is_headless(spec.value()) {
        return;
    }
    for (i, (ip, family)) in ips.items().zip(families.items()).enumerate() {
        let is_v6 = network::is_v6(ip.text());
        if matches!((family.text(), is_v6), ("IPv4", true) | ("IPv6", false)) {
            let text = format!("expected an {} value as indicated by `ipFamilies[{i}]`", family.text());
            ip.invalid(errors, &text);
        }
    }
}

fn repeated_ports(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let ports = spec.get("ports");
    if spec.text_of("type") == "ClusterIP" {
        for port in ports.items().filter(|port| port.int_of("nodePort") != 0) {
            port.get("nodePort").forbidden(errors, "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = BTreeSet::new();
    for port in ports.items().filter(|port| port.int_of("nodePort") != 0) {
        if !seen.insert((port.text_of("protocol"), port.int_of("nodePort"))) {
            port.get("nodePort").duplicate(errors);
        }
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let (protocol, number) = (port.text_of("protocol"), port.int_of("port"));
        if !seen.insert((protocol, number)) {
            // Upstream shows its own names of the fields, and only two of them set.
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{protocol:?},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}"
            );
            errors.push(FieldError {
                problem: Problem::Duplicate,
                field: port.path().to_string(),
                body: format!("Duplicate value: {shown}"),
            });
        }
    }
}

fn source_ranges(root: &Cursor<'_, '_>, before: &Value, errors: &mut FieldErrors) {
    let (spec, kept) = (root.get("spec"), &before["spec"]["loadBalancerSourceRanges"]);
    let is_balancer = spec.text_of("type") == "LoadBalancer";
    let (list, shown) = (spec.get("loadBalancerSourceRanges"), spec.get("LoadBalancerSourceRanges"));
    let shown = shown.with(list.value());
    if !list.is_empty() {
        if !is_balancer {
            shown.forbidden(errors, BALANCER_ONLY);
        }
        for range in shown.items() {
            network::cidr(&range.with(&range.text().trim().into()), kept, errors);
        }
        return;
    }
    let metadata = root.get("metadata");
    let annotations = metadata.get("annotations");
    let Some(ranges) = Some(annotations.key(RANGES)).filter(Cursor::is_set) else { return };
    if !is_balancer {
        ranges.forbidden(errors, BALANCER_ONLY);
    }
    if before["metadata"]["annotations"].get(RANGES) == Some(ranges.value()) {
        return;
    }
    for range in ranges.text().split(',').map(str::trim).filter(|_| !ranges.text().trim().is_empty()) {
        network::cidr(&ranges.with(&range.into()), &Value::Null, errors);
    }
}

fn balancer(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let allocate = spec.get("allocateLoadBalancerNodePorts");
    if spec.text_of("type") != "LoadBalancer" && allocate.is_set() {
        allocate.forbidden(errors, BALANCER_ONLY);
    }
    balancer_class(spec, errors);
}

fn balancer_class(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    match (spec.present("loadBalancerClass"), spec.text_of("type")) {
        (Some(class), "LoadBalancer") => {
            class.named(errors, names::is_qualified_name);
        }
        (Some(class), _) => class.forbidden(errors, BALANCER_ONLY),
        (None, _) => {}
    }
}

fn traffic(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let external = spec.get("externalTrafficPolicy");
    if is_external(spec.value()) {
        external.one_of(errors, &["Cluster", "Local"]);
    } else if !external.is_empty() {
        external.invalid(errors, "may only be set for externally-accessible services");
    }
    let port = spec.get("healthCheckNodePort");
    match (needs_health_check(spec.value()), port.int()) {
        (true, 0) => port.required(errors, ""),
        (true, _) => port.number(errors, names::is_valid_port_num),
        (false, 0) => {}
        (false, _) => port.invalid(
            errors,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ),
    }
    let internal = spec.get("internalTrafficPolicy");
    if !internal.is_set() && matches!(spec.text_of("type"), "ClusterIP" | "NodePort" | "LoadBalancer") {
        internal.required(errors, "");
    }
    internal.opt_one_of(errors, &["Cluster", "Local"]);
    let distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    spec.get("trafficDistribution").opt_one_of(errors, &distributions);
}

/// Validates a change, then what it leads to.
pub(super) fn update(object: &Value, before: &Value, errors: &mut FieldErrors) {
    let (new, old) = (Cursor::root(object), Cursor::root(before));
    let (new, old) = (new.get("spec"), old.get("spec"));
    let external = [&new, &old].iter().any(|spec| spec.text_of("type") == "ExternalName");
    let (headless, was) = (is_headless(new.value()), is_headless(old.value()));
    if !(external || headless && was) {
        set_once(&new, &old, "clusterIPs", errors);
    }
    if !external && !headless && !was {
        set_once(&new, &old, "ipFamilies", errors);
    }
    let class = new.get("loadBalancerClass");
    let balancers = [&new, &old].iter().all(|spec| spec.text_of("type") == "LoadBalancer");
    if balancers && !same(class.value(), old.get("loadBalancerClass").value()) {
        errors.invalid(class.path(), class.value(), SET_ONCE);
    }
    balancer_class(&new, errors);
    let checks = [&new, &old].iter().all(|spec| needs_health_check(spec.value()));
    let port = new.get("healthCheckNodePort");
    if checks && port.int() != old.int_of("healthCheckNodePort") {
        port.forbidden(errors, crate::cursor::IMMUTABLE);
    }
    service(object, before, errors);
}

/// The first value stays; a second may come and, with `SingleStack`, go.
fn set_once(new: &Cursor<'_, '_>, old: &Cursor<'_, '_>, field: &str, errors: &mut FieldErrors) {
    let (now, before) = (new.get(field), old.get(field));
    let (list, old_list) = (now.list(), before.list());
    let what = if field == "clusterIPs" { "clusterIP" } else { "ipFamily" };
    let place = |i: usize| if field == "clusterIPs" { i } else { 0 };
    let changed = list.iter().zip(old_list).enumerate().filter(|(_, (a, b))| a != b);
    let same_length = list.len() == old_list.len();
    // Upstream shows the addresses where the number of families changes, and goes by them.
    let addresses = new.get("clusterIPs");
    let shown = if same_length { now.value() } else { addresses.value() };
    for (i, _) in changed.filter(|(i, _)| same_length || *i == 0) {
        errors.invalid(&now.path().index(place(i)), shown, SET_ONCE);
    }
    if list.len() < old_list.len() && addresses.is_empty() {
        errors.invalid(&now.path().index(0), &json!([]), &format!("primary {what} can not be unset"));
    }
    if list.len() == 1 && old_list.len() == 2 && new.text_of("ipFamilyPolicy") != "SingleStack" {
        let text = format!("must be set to 'SingleStack' when releasing the secondary {what}");
        new.get("ipFamilyPolicy").invalid(errors, &text);
    }
}

/// Validates a change through `/status`.
pub(super) fn status(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let (status, spec) = (root.get("status"), root.get("spec"));
    let balancer = status.get("loadBalancer");
    let list = balancer.get("ingress");
    if spec.text_of("type") != "LoadBalancer" && !list.is_empty() {
        return list.forbidden(errors, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    let kept = &old["status"]["loadBalancer"]["ingress"];
    list.items().for_each(|ingress| validate_ingress(&ingress, kept, errors));
}

fn validate_ingress(ingress: &Cursor<'_, '_>, kept: &Value, errors: &mut FieldErrors) {
    let (ip, mode, name) = (ingress.get("ip"), ingress.get("ipMode"), ingress.get("hostname"));
    if !ip.is_empty() {
        network::ip(&ip, kept, errors);
    }
    match (ip.is_empty(), mode.is_set()) {
        (false, false) => mode.required(errors, "must be specified when `ip` is set"),
        (true, true) => mode.forbidden(errors, "may not be specified when `ip` is not set"),
        _ => {
            mode.opt_one_of(errors, &["Proxy", "VIP"]);
        }
    }
    if name.opt_named(errors, names::is_dns1123_subdomain) && network::parse(name.text()).is_some() {
        name.invalid(errors, "must be a DNS name, not an IP address");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_were_there_stay_however_they_are_written() {
        let service = |ips: Value, ranges: Value| {
            json!({"metadata": {"annotations": {RANGES: "x"}}, "spec": {
                "type": "LoadBalancer", "sessionAffinity": "None", "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster", "clusterIP": ips[0], "clusterIPs": [ips[0]], "externalIPs": ips,
                "loadBalancerSourceRanges": ranges, "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
            }})
        };
        let old = service(json!(["010.1.0.1"]), json!([" 10.0.0.1/8"]));
        let mut errors = FieldErrors::default();
        update(&old, &old, &mut errors);
        update(&service(json!(["010.1.0.1"]), Value::Null), &old, &mut errors);
        assert_eq!(errors.summary(), "");
        let more = service(json!(["010.1.0.1", "010.1.0.2"]), json!(["10.0.0.1/8", "10.0.0.2/8"]));
        update(&more, &old, &mut errors);
        let found: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(found, ["spec.externalIPs[1]", "spec.LoadBalancerSourceRanges[1]"]);
    }
}
