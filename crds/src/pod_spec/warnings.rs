//! Warnings about pods and pod templates: what is accepted but probably not meant.
//!
//! Upstream: `pkg/api/pod/warnings.go`, `pkg/api/node/util.go`.

mod paths;

use super::{each_container, resources};
use crate::{cursor::Cursor, network};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];
const VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_TEXT: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// Warnings of a Pod or, with `is_template`, of a pod template.
pub(crate) fn warnings(at: &Cursor<'_, '_>, is_template: bool) -> Vec<String> {
    let mut found = Vec::new();
    let spec = at.get("spec");
    node_labels(&spec, &mut found);
    annotations(at, &mut found);
    volumes(&spec, &mut found);
    duplicates(&spec.get("hostAliases"), "ip", "ip", &mut found);
    duplicates(&spec.get("imagePullSecrets"), "name", "name", &mut found);
    for secret in spec.get("imagePullSecrets").items().filter(|s| s.text_of("name").is_empty()) {
        found.push(format!("{}: invalid empty name \"\"", secret.get("name").path()));
    }
    for name in ["memory", "ephemeral-storage"] {
        fraction(&spec.get("overhead"), name, &mut found);
    }
    profiles(at, is_template, &mut found);
    ports(&spec, &mut found);
    let grace = spec.get("terminationGracePeriodSeconds");
    if grace.int() < 0 {
        let text = "must be >= 0; negative values are invalid and will be treated as 1";
        found.push(format!("{}: {text}", grace.path()));
    }
    pod_affinity(&spec.get("affinity"), &mut found);
    found.extend(spec.get("dnsConfig").get("nameservers").items().filter_map(|ip| network::ip_warning(&ip)));
    let aliases = spec.get("hostAliases");
    found.extend(aliases.items().filter_map(|alias| network::ip_warning(&alias.get("ip"))));
    found
}

/// What a label of nodes is called since it is stable.
pub(crate) fn new_label(key: &str) -> Option<&'static str> {
    renamed(key).map(|(_, instead)| instead)
}

/// Labels of nodes that were renamed: since when, and to what.
fn renamed(key: &str) -> Option<(&'static str, &'static str)> {
    Some(match key {
        "beta.kubernetes.io/arch" => ("v1.14", "kubernetes.io/arch"),
        "beta.kubernetes.io/os" => ("v1.14", "kubernetes.io/os"),
        "failure-domain.beta.kubernetes.io/region" => ("v1.17", "topology.kubernetes.io/region"),
        "failure-domain.beta.kubernetes.io/zone" => ("v1.17", "topology.kubernetes.io/zone"),
        "beta.kubernetes.io/instance-type" => ("v1.17", "node.kubernetes.io/instance-type"),
        _ => return None,
    })
}

/// What is said of a label of nodes that has a new name.
pub(crate) fn renamed_label(key: &str) -> Option<String> {
    let (since, instead) = renamed(key)?;
    Some(format!("deprecated since {since}; use \"{instead}\" instead"))
}

/// Warnings of a node selector that is not a pod's.
pub(crate) fn old_node_labels(selector: &Cursor<'_, '_>) -> Vec<String> {
    let texts = selector.entries().filter_map(|(key, _)| renamed_label(key));
    texts.map(|text| format!("{}: {text}", selector.path())).collect()
}

fn node_labels(spec: &Cursor<'_, '_>, found: &mut Vec<String>) {
    for (key, entry) in spec.get("nodeSelector").entries() {
        found.extend(renamed_label(key).map(|text| format!("{}: {text}", entry.path())));
    }
    let affinity = spec.get("affinity");
    let node = affinity.get("nodeAffinity");
    let required = node.get(REQUIRED);
    required.get("nodeSelectorTerms").items().for_each(|term| node_term(&term, false, found));
    for preferred in node.get(PREFERRED).items() {
        node_term(&preferred.get("preference"), true, found);
    }
    for constraint in spec.get("topologySpreadConstraints").items() {
        let key = constraint.get("topologyKey");
        let text = renamed_label(key.text());
        found.extend(text.map(|text| format!("{}: {} is {text}", key.path(), key.text())));
        let selector = constraint.get("labelSelector");
        if !selector.is_set() {
            found.push(format!("{}: {NULL_SELECTOR}", selector.path()));
        }
    }
}

fn pod_affinity(affinity: &Cursor<'_, '_>, found: &mut Vec<String>) {
    let mut selector = |term: &Cursor<'_, '_>| {
        if !term.get("labelSelector").is_set() {
            found.push(format!("{}: {NULL_SELECTOR}", term.get("labelSelector").path()));
        }
    };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let terms = affinity.get(kind);
        terms.get(REQUIRED).items().for_each(|term| selector(&term));
        terms.get(PREFERRED).items().for_each(|term| selector(&term.get("podAffinityTerm")));
    }
}

/// Warnings of a term of a node affinity.
pub(crate) fn node_term(term: &Cursor<'_, '_>, check_values: bool, found: &mut Vec<String>) {
    for requirement in term.get("matchExpressions").items() {
        let key = requirement.get("key");
        let text = renamed_label(key.text());
        found.extend(text.map(|text| format!("{}: {} is {text}", key.path(), key.text())));
        for value in requirement.get("values").items().filter(|_| check_values) {
            let problems = proa_meta::names::is_label_value(value.text());
            if !problems.is_empty() {
                let text = problems.join("; ");
                let shown = value.text();
                found.push(format!("{}: {shown} is invalid, {text}", value.path()));
            }
        }
    }
}

fn annotations(at: &Cursor<'_, '_>, found: &mut Vec<String>) {
    let metadata = at.get("metadata");
    let own = metadata.get("annotations");
    for (key, text) in ANNOTATIONS {
        if own.key(key).is_set() {
            found.push(format!("{}: {text}", own.key(key).path()));
        }
    }
}

/// What is said of the pod's profile and of each container.
fn profiles(at: &Cursor<'_, '_>, is_template: bool, found: &mut Vec<String>) {
    let (metadata, spec) = (at.get("metadata"), at.get("spec"));
    let own = metadata.get("annotations");
    let has = |owner: &Cursor<'_, '_>, field: &str| owner.get("securityContext").get(field).is_set();
    if own.key(SECCOMP_POD).is_set() && !has(&spec, "seccompProfile") {
        found.push(format!("{}: {SECCOMP_TEXT}", own.key(SECCOMP_POD).path()));
    }
    let pods = &spec.value()["securityContext"]["appArmorProfile"];
    each_container(&spec, |container| {
        let seccomp = format!("{SECCOMP_CONTAINER}{}", container.text_of("name"));
        if own.key(&seccomp).is_set() && !has(container, "seccompProfile") {
            found.push(format!("{}: {SECCOMP_TEXT}", own.key(&seccomp).path()));
        }
        let apparmor = format!("{APPARMOR}{}", container.text_of("name"));
        let apparmor = own.key(&apparmor);
        let says_more = apparmor.is_set() && apparmor_profile(apparmor.text()) != *pods;
        if is_template && says_more && !has(container, "appArmorProfile") {
            let text = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            found.push(format!("{}: {text}", apparmor.path()));
        }
        let requirements = container.get("resources");
        for name in ["memory", "ephemeral-storage"] {
            fraction(&requirements.get("limits"), name, found);
            fraction(&requirements.get("requests"), name, found);
        }
        hidden_variables(&container.get("env"), found);
    });
}

/// The profile that an annotation means.
fn apparmor_profile(annotation: &str) -> Value {
    match (annotation, annotation.strip_prefix("localhost/")) {
        ("runtime/default", _) => json!({"type": "RuntimeDefault"}),
        ("unconfined", _) => json!({"type": "Unconfined"}),
        (_, Some(file)) if !file.is_empty() => json!({"type": "Localhost", "localhostProfile": file}),
        _ => json!(false),
    }
}

fn volumes(spec: &Cursor<'_, '_>, found: &mut Vec<String>) {
    for volume in spec.get("volumes").items() {
        for (field, shown, text) in VOLUMES {
            if volume.get(field).is_set() {
                found.push(format!("{}: {text}", volume.get(shown).path()));
            }
        }
        let (claim, template) = (volume.get("ephemeral"), "volumeClaimTemplate.spec");
        claim_sizes(&claim.get(template).with(&claim.value()["volumeClaimTemplate"]["spec"]), found);
    }
    spec.get("volumes").items().for_each(|volume| paths::overlaps(&volume, found));
}

/// Warnings of a claim's spec.
pub(crate) fn claim_sizes(spec: &Cursor<'_, '_>, found: &mut Vec<String>) {
    let resources = spec.get("resources");
    for list in ["requests", "limits"] {
        fraction(&resources.get(list), "storage", found);
    }
}

fn duplicates(list: &Cursor<'_, '_>, field: &str, what: &str, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for item in list.items() {
        let text = item.text_of(field);
        if !seen.insert(text) {
            found.push(format!("{}: duplicate {what} {text:?}", item.get(field).path()));
        }
    }
}

fn fraction(list: &Cursor<'_, '_>, name: &str, found: &mut Vec<String>) {
    let amount = resources::amount(list.value(), name);
    if let Some(amount) = amount.filter(|amount| amount.milli_value() % 1000 != 0) {
        let text = format!("fractional byte value \"{amount}\" is invalid, must be an integer");
        found.push(format!("{}: {text}", list.key(name).path()));
    }
}

fn hidden_variables(list: &Cursor<'_, '_>, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for variable in list.items() {
        let (name, value) = (variable.text_of("name"), variable.text_of("value"));
        if seen.insert(name) {
            continue;
        }
        let reference = format!("$({name})");
        let extends = value != reference && value.contains(&reference);
        if variable.get("valueFrom").is_set() || !extends {
            let text = "which may be dropped when using apply";
            found.push(format!("{}: hides previous definition of {name:?}, {text}", variable.path()));
        }
    }
}

fn ports(spec: &Cursor<'_, '_>, found: &mut Vec<String>) {
    let mut by_number: BTreeMap<String, Vec<(String, String, i64)>> = BTreeMap::new();
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    let mut named = Vec::new();
    each_container(spec, |container| {
        for port in container.get("ports").items() {
            let here = port.path().to_string();
            let (ip, host) = (port.text_of("hostIP").to_owned(), port.int_of("hostPort"));
            if !ip.is_empty() && host == 0 {
                let shown = format!(
                    "{{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{ip}}}",
                    port.text_of("name"),
                    port.int_of("containerPort"),
                    port.text_of("protocol")
                );
                found.push(format!("{here}: hostIP set without hostPort: {shown}"));
            }
            let key = format!("{}/{}", port.int_of("containerPort"), port.text_of("protocol"));
            let others = by_number.entry(key).or_default();
            for (there, other_ip, other_host) in others.iter() {
                let problem = overlap((&ip, host), (other_ip, *other_host));
                found.extend(problem.map(|p| format!("{here}: {p} port definition with {there}")));
            }
            others.push((here.clone(), ip, host));
            let name = port.text_of("name");
            match by_name.get(name) {
                Some(other) => named.push(format!(
                    "{here}: duplicate port name {name:?} with {other}, services and probes that select ports by name will use {other}"
                )),
                None if !name.is_empty() => { by_name.insert(name.to_owned(), here); }
                None => {}
            }
        }
    });
    found.append(&mut named);
}

fn overlap((ip, host): (&str, i64), (other_ip, other_host): (&str, i64)) -> Option<&'static str> {
    if ip == other_ip && host == other_host {
        return Some("duplicate");
    }
    if host == 0 || other_host == 0 {
        return Some("overlapping");
    }
    (host == other_host && ip.is_empty() != other_ip.is_empty()).then_some("dangerously ambiguous")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_ports() {
        let pod = json!({"spec": {"containers": [{"name": "c",
            "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "A", "value": "$(A)x"}],
            "ports": [{"containerPort": 80, "protocol": "TCP", "name": "a"}, {"containerPort": 80, "protocol": "TCP"}],
        }], "terminationGracePeriodSeconds": -1}});
        assert_eq!(
            warnings(&Cursor::root(&pod), false),
            [
                "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
                "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
                "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            ]
        );
    }
}
