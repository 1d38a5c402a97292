//! Changes through `pods/status`.
//!
//! Upstream: `podStatusStrategy`, `ValidatePodStatusUpdate`.

mod claims;

use crate::{
    cursor::Cursor,
    fill::{is_zero, items, keep, present, remove, set},
    network,
    pod_spec::update,
};
use proa_meta::{FieldErrors, names};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};

/// `podIP` is the first of `podIPs`, and wins when they differ.
pub(super) fn default(pod: &mut Value) {
    let Some(status) = present(pod, "status") else { return };
    let first = status["podIPs"][0]["ip"].as_str().unwrap_or("").to_owned();
    match status["podIP"].as_str().unwrap_or("").to_owned() {
        ip if ip.is_empty() && first.is_empty() => {}
        ip if ip.is_empty() => set(status, "podIP", first),
        ip if ip != first => set(status, "podIPs", json!([{"ip": ip}])),
        _ => {}
    }
}

const LISTS: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

/// What a writer of the status leaves out because it does not know it stays; what belongs to features that are off goes.
pub(super) fn prepare(new: &mut Value, old: &Value) {
    for field in ["qosClass", "observedGeneration"] {
        if new.get(field).is_none_or(is_zero) {
            keep(new, old, field);
        }
    }
    for field in ["resourceClaimStatuses", "extendedResourceClaimStatus"] {
        if new.get(field).is_none_or(Value::is_null) {
            keep(new, old, field);
        }
    }
    keep_observed(new, old);
    for field in ["nodeAllocatableResourceClaimStatuses", "volumeHealth"] {
        remove(new, field);
    }
    for list in LISTS {
        for container in items(new, list) {
            items(container, "volumeMounts").for_each(|mount| remove(mount, "volumeStatus"));
        }
    }
}

/// A condition without `observedGeneration` keeps what was observed. Types may repeat.
fn keep_observed(new: &mut Value, old: &Value) {
    let mut earlier: HashMap<&str, VecDeque<&Value>> = HashMap::new();
    for condition in old["conditions"].as_array().into_iter().flatten() {
        earlier.entry(condition["type"].as_str().unwrap_or_default()).or_default().push_back(condition);
    }
    for condition in items(new, "conditions") {
        let of_type = earlier.get_mut(condition["type"].as_str().unwrap_or_default());
        let Some(before) = of_type.and_then(VecDeque::pop_front) else { continue };
        if condition.get("observedGeneration").is_none_or(is_zero) {
            keep(condition, before, "observedGeneration");
        }
    }
}

/// Validates a change of status.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    let metadata = new.get("metadata");
    let annotations = metadata.get("annotations");
    update::annotation_changes(&annotations, &old.value()["metadata"]["annotations"], errors);
    let (status, before, spec) = (new.get("status"), old.get("status"), new.get("spec"));
    update::annotations(&annotations, &spec, errors);
    conditions(&status.get("conditions"), errors);
    nominated(&status, &before, &spec, errors);
    let observed = status.get("observedGeneration");
    if observed.int() < 0 {
        observed.invalid(errors, "must be a non-negative integer");
    }
    status.get("qosClass").immutable(&before.get("qosClass"), errors);
    transitions(&status, &before, old.value(), errors);
    claims::claims(&status, spec.value(), errors);
    claims::extended(&status, spec.value(), errors);
    pod_ips(&status, before.value(), errors);
    host_ips(&status, before.value(), errors);
    for list in LISTS {
        status.get(list).items().for_each(|container| user(&container, spec.value(), errors));
    }
    let extended = &status.value()["extendedResourceClaimStatus"];
    for (list, own) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        claims::given(&status.get(list), &spec.value()[own], extended, errors);
    }
    for container in status.get("ephemeralContainerStatuses").items() {
        let given = container.get("allocatedResourcesStatus");
        if !given.is_empty() {
            given.forbidden(errors, "must not be specified in container status");
        }
    }
}

/// Who a container's first process runs as.
fn user(container: &Cursor<'_, '_>, spec: &Value, errors: &mut FieldErrors) {
    let user = container.get("user");
    let linux = user.get("linux");
    match spec["os"]["name"].as_str().unwrap_or("linux") {
        "windows" if linux.is_set() => linux.forbidden(errors, "cannot be set for a windows pod"),
        "linux" => {
            // A runtime may report any user, also one that a spec may not name.
            linux.get("uid").number(errors, |id| names::is_in_range(id, 0, i64::from(u32::MAX)));
            linux.get("gid").number(errors, names::is_valid_user_id);
            linux.get("supplementalGroups").items().for_each(|id| id.number(errors, names::is_valid_user_id));
        }
        _ => {}
    }
}

fn conditions(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for condition in list.items() {
        let observed = condition.get("observedGeneration");
        if observed.int() < 0 {
            observed.invalid(errors, "must be a non-negative integer");
        }
        let kind = condition.get("Type");
        let kind = kind.with(condition.get("type").value());
        if !matches!(kind.text(), "PodScheduled" | "Ready" | "Initialized") {
            kind.named(errors, names::is_qualified_name);
        }
    }
}

fn nominated(
    status: &Cursor<'_, '_>,
    before: &Cursor<'_, '_>,
    spec: &Cursor<'_, '_>,
    errors: &mut FieldErrors,
) {
    let node = status.get("nominatedNodeName");
    if node.is_empty() || node.text() == before.text_of("nominatedNodeName") {
        return;
    }
    node.named(errors, names::is_dns1123_subdomain);
    if !spec.text_of("nodeName").is_empty() {
        node.forbidden(errors, "may not be set on pods that are already bound to a node");
    }
}

/// A container that has ended starts again only if its restart policy says so.
fn transitions(status: &Cursor<'_, '_>, before: &Cursor<'_, '_>, pod: &Value, errors: &mut FieldErrors) {
    for (list, containers) in LISTS.into_iter().zip(["containers", "initContainers", ""]) {
        let now = status.get(list);
        let statuses = before.get(list).list();
        for (i, old) in statuses.iter().enumerate() {
            let exit = &old["state"]["terminated"];
            let running = now.list().iter().find(|new| new["name"] == old["name"]);
            let revived = running.is_some_and(|new| new["state"]["terminated"].is_null());
            if !exit.is_null() && revived && !may_restart(pod, containers, &old["name"], exit) {
                let path = now.path().index(i);
                errors.forbidden(&path.child("state"), "may not be transitioned to non-terminated state");
            }
        }
    }
}

fn may_restart(pod: &Value, list: &str, name: &Value, exit: &Value) -> bool {
    let spec = &pod["spec"];
    let mut containers = spec[list].as_array().into_iter().flatten();
    let Some(container) = containers.find(|container| container["name"] == *name) else { return false };
    let code = exit["exitCode"].as_i64().unwrap_or(0);
    let mut rules = container["restartPolicyRules"].as_array().into_iter().flatten();
    if rules.any(|rule| rule_fits(rule, code)) || restarts_all(spec) {
        return true;
    }
    let own = container["restartPolicy"].as_str();
    match own.or(spec["restartPolicy"].as_str()).unwrap_or("Always") {
        "Always" => true,
        "OnFailure" => code != 0,
        _ => false,
    }
}

fn rule_fits(rule: &Value, code: i64) -> bool {
    let listed = rule["exitCodes"]["values"].as_array().is_some_and(|codes| codes.iter().any(|c| *c == code));
    match rule["exitCodes"]["operator"].as_str() {
        Some("In") => listed,
        Some("NotIn") => !listed,
        _ => false,
    }
}

/// Any container may restart all of them.
fn restarts_all(spec: &Value) -> bool {
    let lists = ["initContainers", "containers"].iter().flat_map(|list| spec[*list].as_array());
    let mut rules =
        lists.flatten().flat_map(|container| container["restartPolicyRules"].as_array()).flatten();
    rules.any(|rule| rule["action"] == "RestartAllContainers")
}

fn pod_ips(status: &Cursor<'_, '_>, before: &Value, errors: &mut FieldErrors) {
    let list = status.get("podIPs");
    each_ip(&list, &before["podIPs"], errors);
    let first = status.get("podIP");
    match list.list().first() {
        one if one.is_some() == first.is_empty() => {
            list.invalid(errors, "podIP and podIPs must either both be set or both be unset");
        }
        Some(one) if one["ip"] != *first.value() => {
            let at = list.path().index(0);
            errors.invalid(&at.child("ip"), &one["ip"], "must be equal to `podIP`");
        }
        _ => {}
    }
}

fn host_ips(status: &Cursor<'_, '_>, before: &Value, errors: &mut FieldErrors) {
    let list = status.get("hostIPs");
    if let Some(first) = list.items().next()
        && first.text_of("ip") != status.text_of("hostIP")
    {
        first.get("ip").invalid(errors, "must be equal to `hostIP`");
    }
    each_ip(&list, &before["hostIPs"], errors);
}

fn each_ip(list: &Cursor<'_, '_>, kept: &Value, errors: &mut FieldErrors) {
    for entry in list.items() {
        network::ip(&entry.with(entry.get("ip").value()), kept, errors);
    }
    let texts: Vec<&str> = list.list().iter().filter_map(|entry| entry["ip"].as_str()).collect();
    network::one_per_family(list, &texts, "may specify no more than one IP for each IP family", errors);
}
