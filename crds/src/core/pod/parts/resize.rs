//! `pods/resize`: CPU and memory of a pod that runs. KEP-1287, KEP-5419.
//!
//! Upstream: `podResizeStrategy`, `ValidatePodResize`.

use super::{is_mirror, keep_metadata};
use crate::{
    cursor::Cursor,
    fill::{keep, present, same, set, sub},
    pod_spec::{qos, resources},
};
use proa_meta::FieldErrors;
use serde_json::Value;

const LISTS: [&str; 2] = ["containers", "initContainers"];
const ONLY: &str = "only cpu and memory resources are mutable";

/// Everything but resources stays. Containers that were added, removed or moved are left for validation to refuse.
pub(super) fn keep_rest(new: &mut Value, old: &Value) {
    if LISTS.iter().any(|list| count(new, list) != count(old, list)) {
        return;
    }
    let resources = new["spec"]["resources"].take();
    let mut lists = LISTS.map(|list| (list, new["spec"][list].take()));
    for (list, containers) in &mut lists {
        keep_containers(containers, &old["spec"][*list]);
    }
    keep(new, old, "spec");
    keep(new, old, "status");
    keep_metadata(new, old);
    let spec = sub(new, "spec");
    for (list, containers) in lists.into_iter().filter(|(_, containers)| !containers.is_null()) {
        set(spec, list, containers);
    }
    // A client that does not know the pod's own resources does not take them away.
    if !resources.is_null() {
        set(spec, "resources", resources);
    }
    resources::pod_level_defaults(spec);
}

fn count(pod: &Value, list: &str) -> usize {
    pod["spec"][list].as_array().map_or(0, Vec::len)
}

/// The old containers with the new resources, unless some have another name than before.
fn keep_containers(new: &mut Value, old: &Value) {
    let (Some(now), Some(before)) = (new.as_array_mut(), old.as_array()) else { return };
    if now.iter().zip(before).any(|(now, before)| now["name"] != before["name"]) {
        return;
    }
    for (now, before) in now.iter_mut().zip(before) {
        let mut kept = before.clone();
        for field in ["resources", "resizePolicy"] {
            keep(&mut kept, now, field);
        }
        *now = kept;
    }
}

/// Validates the change.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (root, before) = (Cursor::root(new), Cursor::root(old));
    if is_mirror(old) {
        return root.forbidden(errors, "static pods cannot be resized");
    }
    if old["spec"]["os"]["name"] == "windows" {
        return root.forbidden(errors, "windows pods cannot be resized");
    }
    let (spec, before) = (root.get("spec"), before.get("spec"));
    let class = &new["status"]["qosClass"];
    if old["status"]["qosClass"].as_str().is_some_and(|class| class != qos::class(spec.value())) {
        spec.with(class).invalid(errors, "Pod QOS Class may not change as a result of resizing");
    }
    if !is_supported(old) {
        spec.forbidden(errors, "Pod running on node without support for resize");
    }
    pod_level(&spec, &before, errors);
    let known = errors.len();
    order(&spec, &before, errors);
    if errors.len() > known {
        return;
    }
    for list in LISTS.iter().rev() {
        let (now, before) = (spec.get(list), before.get(list));
        for (now, before) in now.items().zip(before.items()) {
            nothing_removed(&now.get("resources"), &before.get("resources"), "resource", errors);
        }
    }
    for (now, before) in spec.get("containers").items().zip(before.get("containers").items()) {
        if !same(&fixed(now.value(), before.value()), before.value()) {
            spec.forbidden(errors, ONLY);
        }
    }
    for (now, before) in spec.get("initContainers").items().zip(before.get("initContainers").items()) {
        init(&now, &before, errors);
    }
}

/// Whether the pod's node says what its containers were given.
fn is_supported(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let mut running = statuses.filter(|status| !status["state"]["running"].is_null());
    running.next().is_none_or(|status| !status["resources"].is_null())
}

/// The pod's own resources: none goes, and nothing but CPU and memory changes.
fn pod_level(spec: &Cursor<'_, '_>, before: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (now, before) = (spec.get("resources"), before.get("resources"));
    if !now.is_set() && before.is_set() {
        return now.forbidden(errors, "pod-level resources cannot be removed");
    }
    if before.is_set() {
        nothing_removed(&now, &before, "pod-level resource", errors);
    }
    if !same(&fixed_resources(now.value(), before.value()), before.value()) {
        spec.forbidden(errors, &format!("{ONLY} at pod-level"));
    }
}

fn order(spec: &Cursor<'_, '_>, before: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for list in LISTS {
        let (now, before) = (spec.get(list), before.get(list));
        if now.list().len() != before.list().len() {
            now.forbidden(errors, &format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (now, before) in now.items().zip(before.list()) {
            let name = now.get("name");
            if *name.value() != before["name"] {
                name.forbidden(errors, &format!("{list} may not be renamed or reordered on resize"));
            }
        }
    }
}

fn nothing_removed(now: &Cursor<'_, '_>, before: &Cursor<'_, '_>, what: &str, errors: &mut FieldErrors) {
    for list in ["requests", "limits"] {
        let (now, before) = (now.get(list), before.get(list));
        if before
            .value()
            .as_object()
            .is_some_and(|old| old.keys().any(|name| now.value().get(name).is_none()))
        {
            now.forbidden(errors, &format!("{what} {list} cannot be removed"));
        }
    }
}

fn init(now: &Cursor<'_, '_>, before: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !same(&fixed(now.value(), before.value()), before.value()) {
        now.forbidden(errors, "only cpu and memory resources for init or sidecar containers are mutable");
    }
    let is_sidecar = now.text_of("restartPolicy") == "Always";
    if is_sidecar || same(now.value(), before.value()) {
        return;
    }
    for policy in now.get("resizePolicy").items() {
        if policy.text_of("restartPolicy") == "RestartContainer" {
            let text =
                "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            now.forbidden(errors, text);
        }
    }
}

/// A container with the CPU and memory that it had before.
fn fixed(now: &Value, before: &Value) -> Value {
    let mut now = now.clone();
    let resources = fixed_resources(&now["resources"], &before["resources"]);
    set(&mut now, "resources", resources);
    now
}

/// Resources with the CPU and memory of before; none where there were none and nothing else came.
fn fixed_resources(now: &Value, before: &Value) -> Value {
    let mut now = now.clone();
    for list in ["requests", "limits"] {
        if now.get(list).is_none() && before.get(list).is_none() {
            continue;
        }
        let amounts = sub(&mut now, list);
        for name in ["cpu", "memory"] {
            keep(amounts, &before[list], name);
        }
        if present(&mut now, list).is_some_and(|amounts| crate::fill::is_empty(amounts)) {
            crate::fill::remove(&mut now, list);
        }
    }
    if before.is_null() && crate::fill::is_empty(&now) { Value::Null } else { now }
}
