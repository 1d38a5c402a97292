//! Changes through `pods/status`.
//!
//! Deliberately absent: statuses of resource claims and allocated devices.
//! Upstream: `ValidatePodStatusUpdate`, `preserveOldObservedGeneration`.

use crate::{
    cursor::Cursor,
    fill::{is_zero, items, keep, present, set},
    network,
    pod_spec::update,
};
use proa_meta::{FieldErrors, names};
use serde_json::{Value, json};

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

/// A status writer that does not know `observedGeneration` keeps what was observed.
pub(super) fn keep_observed(new: &mut Value, old: &Value) {
    let conditions = old["conditions"].as_array().cloned().unwrap_or_default();
    for condition in items(new, "conditions") {
        if condition.get("observedGeneration").is_none_or(is_zero)
            && let Some(before) = conditions.iter().find(|old| old["type"] == condition["type"])
        {
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
    conditions(&status.get("conditions"), errors);
    nominated(&status, &before, &spec, errors);
    let observed = status.get("observedGeneration");
    if observed.int() < 0 {
        observed.invalid(errors, "must be a non-negative integer");
    }
    status.get("qosClass").immutable(&before.get("qosClass"), errors);
    transitions(&status, &before, old.value(), errors);
    addresses(&status, errors);
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        status.get(list).items().for_each(|container| user(&container, errors));
    }
}

/// Who a container's first process runs as.
fn user(container: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let user = container.get("user");
    let linux = user.get("linux");
    for id in ["uid", "gid"] {
        linux.get(id).number(errors, names::is_valid_user_id);
    }
    linux.get("supplementalGroups").items().for_each(|id| id.number(errors, names::is_valid_user_id));
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
    let lists = [
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", ""),
    ];
    for (list, containers) in lists {
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

fn addresses(status: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let hosts = status.get("hostIPs");
    if let Some(first) = hosts.items().next()
        && first.text_of("ip") != status.text_of("hostIP")
    {
        first.get("ip").invalid(errors, "must be equal to `hostIP`");
    }
    for list in [status.get("podIPs"), hosts] {
        for entry in list.items() {
            network::ip(&entry.with(entry.get("ip").value()), errors);
        }
        let texts: Vec<&str> = list.list().iter().filter_map(|entry| entry["ip"].as_str()).collect();
        network::one_per_family(&list, &texts, "may specify no more than one IP for each IP family", errors);
    }
}
