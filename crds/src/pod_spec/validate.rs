//! Validation of pod specs, for Pods and for every owner of a pod template.
//!
//! Texts, paths and their order are upstream's, odd spellings included. Deliberately absent: names of Windows
//! users.
//! Upstream: `pkg/apis/core/validation/validation.go` (`ValidatePodSpec` and below), with the feature gates of 1.37.

mod container;
mod env;
mod files;
mod handlers;
mod host;
mod legacy_volumes;
mod mounts;
pub(crate) mod persistent_volume;
mod pod_resources;
mod projected;
mod resource_list;
mod restart;
mod scheduling;
mod security;
mod topology;
mod volumes;
mod windows;

pub(crate) use container::image_of_pod;
pub(crate) use handlers::port;
pub(crate) use resource_list::{
    container_name as container_resource_name, limits as resource_limits, name_of as resource_name,
    quantity as resource_quantity,
};
pub(crate) use scheduling::{node_selector, taint_effect, tolerations};
pub(crate) use security::annotations as security_annotations;
pub(crate) use volumes::claim_spec;

use super::each_container;
use crate::{cursor::Cursor, network, selector};
use proa_meta::{FieldErrors, names};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What parts of a pod spec need to know of the rest.
pub(crate) struct Context<'v> {
    /// A Pod, not a template.
    pub(crate) is_pod: bool,
    /// Name of the pod, empty for templates.
    pub(crate) pod_name: &'v str,
    /// Valid volumes by name.
    pub(crate) volumes: BTreeMap<&'v str, &'v Value>,
    /// Names of resource claims.
    pub(crate) claims: BTreeSet<&'v str>,
    /// `terminationGracePeriodSeconds`.
    pub(crate) grace: Option<i64>,
    /// `restartPolicy`.
    pub(crate) restart_policy: &'v str,
    /// The pod shares the host's user namespace.
    pub(crate) host_users: bool,
    /// `os.name`, `None` without `os`.
    pub(crate) os: Option<&'v str>,
}

/// Validates a pod spec; `metadata` is a Pod's, or null for templates.
pub(crate) fn pod_spec(spec: &Cursor<'_, '_>, metadata: &Value, errors: &mut FieldErrors) {
    let mut context = context(spec, metadata);
    if context.grace.is_none() {
        spec.get("terminationGracePeriodSeconds").required(errors, "");
    }
    context.volumes = volumes::volumes(&spec.get("volumes"), &context, errors);
    claims(spec, metadata, errors);
    container::containers(spec, &context, errors);
    pod_resources::pod_resources(spec, &context, errors);
    host_network_ports(spec, context.is_pod, errors);
    spec.get("restartPolicy").one_of(errors, &["Always", "OnFailure", "Never"]);
    spec.get("dnsPolicy").one_of(errors, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    selector::labels(&spec.get("nodeSelector"), errors);
    security::pod(spec, errors);
    scheduling::affinity(&spec.get("affinity"), errors);
    host::dns_config(spec, errors);
    for gate in spec.get("readinessGates").items() {
        gate.get("conditionType").named(errors, names::is_qualified_name);
    }
    scheduling_gates(spec, errors);
    topology::constraints(&spec.get("topologySpreadConstraints"), errors);
    windows::host_process(spec, errors);
    host::users(spec, errors);
    host::name_override(spec, errors);
    names_and_numbers(spec, errors);
    tail(spec, errors);
}

fn context<'v>(spec: &Cursor<'v, '_>, metadata: &'v Value) -> Context<'v> {
    let claims = spec.value()["resourceClaims"].as_array().into_iter().flatten();
    Context {
        is_pod: !metadata.is_null(),
        pod_name: metadata["name"].as_str().unwrap_or(""),
        volumes: BTreeMap::new(),
        claims: claims.filter_map(|c| c["name"].as_str()).filter(|name| !name.is_empty()).collect(),
        grace: spec.get("terminationGracePeriodSeconds").opt_int(),
        restart_policy: spec.text_of("restartPolicy"),
        host_users: spec.get("hostUsers").value() != false,
        os: spec.present("os").map(|os| os.text_of("name")),
    }
}

fn names_and_numbers(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    spec.get("serviceAccountName").opt_named(errors, names::is_dns1123_subdomain);
    spec.get("nodeName").opt_named(errors, names::is_dns1123_subdomain);
    let deadline = spec.get("activeDeadlineSeconds");
    deadline.number(errors, |value| names::is_in_range(value, 1, i64::from(i32::MAX)));
    spec.get("hostname").opt_named(errors, names::is_dns1123_label);
    spec.get("subdomain").opt_named(errors, names::is_dns1123_label);
    tolerations(&spec.get("tolerations"), errors);
    for alias in spec.get("hostAliases").items() {
        network::ip(&alias.get("ip"), &Value::Null, errors);
        for name in alias.get("hostnames").items() {
            name.named(errors, names::is_dns1123_subdomain);
        }
    }
    spec.get("priorityClassName").opt_named(errors, names::is_dns1123_subdomain);
    if let Some(class) = spec.present("runtimeClassName") {
        class.named(errors, names::is_dns1123_subdomain);
    }
    if let Some(policy) = spec.present("preemptionPolicy") {
        policy.one_of(errors, &["PreemptLowerPriority", "Never"]);
    }
}

fn tail(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let overhead = spec.get("overhead");
    resource_list::limits(&overhead, &overhead, errors);
    if let Some(os) = spec.present("os") {
        match os.text_of("name") {
            "" => os.get("name").required(errors, ""),
            "linux" => windows::forbid_options(spec, errors),
            "windows" => windows::windows_pod(spec, errors),
            _ => os.with(os.get("name").value()).unsupported(errors, &["linux", "windows"]),
        }
    }
    each_container(spec, |container| env::file_references(container, spec.value(), errors));
}

fn scheduling_gates(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for gate in spec.get("schedulingGates").items() {
        let name = gate.get("name");
        let shown = gate.with(name.value());
        shown.named(errors, names::is_qualified_name);
        if !seen.insert(name.text()) {
            shown.duplicate(errors);
        }
    }
}

fn host_network_ports(spec: &Cursor<'_, '_>, is_pod: bool, errors: &mut FieldErrors) {
    if !spec.get("hostNetwork").is_true() {
        return;
    }
    for container in spec.get("containers").items() {
        for port in container.get("ports").items() {
            let (host, own) = (port.int_of("hostPort"), port.int_of("containerPort"));
            if (is_pod || host != 0) && host != own {
                let value = Value::from(host);
                let text = "must match `containerPort` when `hostNetwork` is true";
                port.get("hostPort").with(&value).invalid(errors, text);
            }
        }
    }
}

fn claims(spec: &Cursor<'_, '_>, metadata: &Value, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for claim in spec.get("resourceClaims").items() {
        if metadata["annotations"].get("kubernetes.io/config.mirror").is_some() {
            Cursor::root(&Value::Null).forbidden(errors, "static pods do not support resource claims");
            continue;
        }
        let name = claim.get("name");
        if name.must_be_set(errors) {
            match seen.insert(name.text()) {
                true => {
                    name.named(errors, names::is_dns1123_label);
                }
                false => name.duplicate(errors),
            }
        }
        claim_source(&claim, errors);
    }
}

fn claim_source(claim: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (name, template) = (claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName"));
    // Upstream shows its own names of the fields.
    let shown = json!({"Name": claim.text_of("name"), "ResourceClaimName": name.value(),
        "ResourceClaimTemplateName": template.value()});
    let shown = claim.with(&shown);
    match (name.is_set(), template.is_set()) {
        (true, true) => shown.invalid(
            errors,
            "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        ),
        (false, false) => {
            shown.invalid(errors, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
        }
        _ => {}
    }
    for reference in [name, template] {
        if reference.is_set() {
            reference.named(errors, names::is_dns1123_subdomain);
        }
    }
}
