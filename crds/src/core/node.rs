//! v1 Node.
//!
//! Upstream: `pkg/registry/core/node/strategy.go`, `ValidateNode`, `ValidateNodeUpdate`.

use crate::{
    core::{cluster, proxy},
    cursor::Cursor,
    fill::{present, remove, set, sub},
    network,
    pod_spec::{resources, validate as pod},
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, KindDef, Selectable, Strategy};
use serde_json::Value;
use std::collections::BTreeSet;

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";

const UNUSED: &str = "this field is deprecated, and is unused by Kubernetes";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::text("Status"),
        Column::text("Roles"),
        Column::age(),
        Column::text("Version"),
        Column::text("Internal-IP").wide(),
        Column::text("External-IP").wide(),
        Column::text("OS-Image").wide(),
        Column::text("Kernel-Version").wide(),
        Column::text("Container-Runtime").wide(),
    ];
    cluster("Node", "nodes")
        .short(&["no"])
        .with_status()
        .with_subresource(proxy("NodeProxyOptions"))
        .selectable(&[Selectable::new("spec.unschedulable").or("false")])
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            // Kubelets register themselves with their status.
            status_on_create: true,
            // What dynamic kubelet configuration has left behind.
            prepare_create: |object| {
                remove(sub(object, "spec"), "configSource");
                remove(sub(object, "status"), "config");
            },
            prepare_update: |new, old| {
                if old["spec"]["configSource"].is_null() {
                    remove(sub(new, "spec"), "configSource");
                }
            },
            prepare_status: |new, _| remove(sub(new, "status"), "config"),
            warnings: |object| {
                let used = !crate::fill::is_empty(&object["spec"]["externalID"]);
                used.then(|| format!("spec.externalID: {UNUSED}")).into_iter().collect()
            },
            validate,
            validate_create: |object, errors| cidrs(&Cursor::root(object).get("spec"), &Value::Null, errors),
            validate_update: |new, old, errors| {
                cidrs(&Cursor::root(new).get("spec"), &old["spec"]["podCIDRs"], errors);
                validate_update(new, old, errors);
            },
            validate_status: validate_update,
            ..Strategy::default()
        })
}

/// `podCIDR` is the first of `podCIDRs`, and wins when they differ.
fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    // Its feature, like those in `pod_spec::alpha`, is off.
    remove(spec, "podPreemptionPolicy");
    let first = spec["podCIDRs"][0].as_str().unwrap_or("").to_owned();
    match spec["podCIDR"].as_str().unwrap_or("").to_owned() {
        one if one.is_empty() && first.is_empty() => {}
        one if one.is_empty() => set(spec, "podCIDR", first),
        one if one != first => set(spec, "podCIDRs", vec![one]),
        _ => {}
    }
    if let Some(status) = present(object, "status") {
        if status["capacity"].is_object() && crate::fill::is_empty(&status["allocatable"]) {
            let capacity = status["capacity"].clone();
            set(status, "allocatable", capacity);
        }
        for list in ["capacity", "allocatable"] {
            present(status, list).into_iter().for_each(resources::round_up);
        }
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    taints(&root, errors);
    amounts(&root, errors);
    let (metadata, status) = (root.get("metadata"), root.get("status"));
    let swap = &object["status"]["nodeInfo"]["swap"]["capacity"];
    if !swap.is_null() {
        // Upstream's path.
        metadata.get("nodeSwapStatus").get("capacity").with(swap).positive(errors);
    }
    features(&status.get("declaredFeatures"), errors);
}

fn taints(root: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    // Upstream's path.
    let metadata = root.get("metadata");
    taint_list(&metadata.get("taints").with(&root.value()["spec"]["taints"]), errors);
}

fn amounts(root: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let status = root.get("status");
    for list in ["capacity", "allocatable"] {
        let amounts = status.get(list);
        for (name, amount) in amounts.entries() {
            pod::resource_quantity(&amounts.get(name).with(amount.value()), name, errors);
        }
    }
}

/// Names of features, sorted.
fn features(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut before: Option<&str> = None;
    for feature in list.items() {
        let text = feature.text();
        match before {
            Some(before) if before == text => feature.duplicate(errors),
            Some(before) if before > text => {
                feature.invalid(errors, "list must be sorted alphabetically");
            }
            _ => {}
        }
        if text.len() > 253 {
            let problem = format!("invalid feature name {text:?}: must be no more than 253 characters");
            feature.invalid(errors, &problem);
        } else if !is_feature(text) {
            feature.invalid(errors, &format!("invalid feature name {text:?}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"));
        }
        before = Some(text);
    }
}

/// `MyFeature/mySubFeature`.
fn is_feature(text: &str) -> bool {
    let is_segment = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    text.starts_with(|c: char| c.is_ascii_uppercase()) && text.split('/').all(is_segment)
}

fn cidrs(spec: &Cursor<'_, '_>, kept: &Value, errors: &mut FieldErrors) {
    let list = spec.get("podCIDRs");
    list.items().for_each(|one| {
        network::cidr(&one, kept, errors);
    });
    let texts: Vec<&str> = list.list().iter().filter_map(Value::as_str).collect();
    network::one_per_family(&list, &texts, "may specify no more than one CIDR for each IP family", errors);
}

fn taint_list(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for taint in list.items() {
        taint.get("key").named(errors, names::is_qualified_name);
        let problems = names::is_label_value(taint.text_of("value"));
        if !problems.is_empty() {
            taint.get("value").invalid(errors, &problems.join(";"));
        }
        pod::taint_effect(&taint.get("effect"), errors);
        if !seen.insert((taint.text_of("effect"), taint.text_of("key"))) {
            errors.push(proa_meta::FieldError {
                problem: proa_meta::field::Problem::Duplicate,
                field: taint.path().to_string(),
                body: format!(
                    "Duplicate value: {{\"Key\":{:?},\"Value\":{:?},\"Effect\":{:?},\"TimeAdded\":{}}}: taints must be unique by key and effect pair",
                    taint.text_of("key"),
                    taint.text_of("value"),
                    taint.text_of("effect"),
                    taint.get("timeAdded").value()
                ),
            });
        }
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    let (spec, before) = (new.get("spec"), old.get("spec"));
    let status = new.get("status");
    amounts(&new, errors);
    features(&status.get("declaredFeatures"), errors);
    let addresses = status.get("addresses");
    let mut seen = BTreeSet::new();
    for address in addresses.items().filter(|one| !seen.insert((one.text_of("type"), one.text_of("address"))))
    {
        address.duplicate(errors);
    }
    let (cidrs, old_cidrs) = (spec.get("podCIDRs"), before.get("podCIDRs"));
    if !old_cidrs.is_empty() && cidrs.list() != old_cidrs.list() {
        let text = "node updates may not change podCIDR except from \"\" to valid";
        cidrs.forbidden(errors, text);
    }
    let (provider, own) = (before.text_of("providerID"), spec.get("providerID"));
    match own.text() {
        _ if provider.is_empty() => {}
        "" => errors.invalid(own.path(), &Value::Null, "field cannot be cleared once set"),
        id if id != provider => errors.invalid(own.path(), &Value::Null, "field cannot be modified once set"),
        _ => {}
    }
    taints(&new, errors);
    if spec.text_of("externalID") != before.text_of("externalID") {
        spec.get("externalID").forbidden(errors, "may not be updated");
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let info = &object["status"]["nodeInfo"];
    let mut kernel =
        info["kernelVersion"].as_str().filter(|k| !k.is_empty()).unwrap_or("<unknown>").to_owned();
    if let Some(architecture) = info["architecture"].as_str().filter(|a| !a.is_empty()) {
        kernel = format!("{kernel} ({architecture})");
    }
    vec![
        table::name(object),
        status(object).into(),
        roles(object).into(),
        table::age(object, now),
        table::text_or(&info["kubeletVersion"], ""),
        address(object, "InternalIP"),
        address(object, "ExternalIP"),
        table::text_or(&info["osImage"], "<unknown>"),
        kernel.into(),
        table::text_or(&info["containerRuntimeVersion"], "<unknown>"),
    ]
}

fn status(object: &Value) -> String {
    let ready = match table::condition(object, "Ready") {
        "" => "Unknown",
        "True" => "Ready",
        _ => "NotReady",
    };
    let cordoned = object["spec"]["unschedulable"] == true;
    if cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

fn roles(object: &Value) -> String {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    let role = |(key, value): (&'_ String, &Value)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => Some(role.to_owned()),
        None if key == ROLE => value.as_str().map(str::to_owned),
        None => None,
    };
    let roles: BTreeSet<String> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    if roles.is_empty() { "<none>".to_owned() } else { Vec::from_iter(roles).join(",") }
}

fn address(object: &Value, kind: &str) -> Value {
    let mut list = object["status"]["addresses"].as_array().into_iter().flatten();
    let found = list.find(|address| address["type"] == kind);
    table::text_or(found.map_or(&Value::Null, |address| &address["address"]), "<none>")
}
