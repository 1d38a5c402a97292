//! apps/v1 StatefulSet. Deliberately absent: the strategy `Recreate`, whose feature is off upstream.
//!
//! Upstream: `pkg/registry/apps/statefulset/strategy.go`, `pkg/apis/apps/{v1/defaults.go,validation/validation.go}`.

use super::{collisions, counts, namespaced, parts_of_all, rollout, scale};
use crate::{
    cursor::Cursor,
    fill::{absent, is_empty, items, present, remove, set, sub, zero},
    pod_spec::{defaults, resources, template, validate::claim_spec, warnings::claim_sizes},
    selector, table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::{Value, json};

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::text("Ready"),
        Column::age(),
        Column::text("Containers").wide(),
        Column::text("Images").wide(),
    ];
    namespaced("StatefulSet", "statefulsets")
        .short(&["sts"])
        .categories(&["all"])
        .with_status()
        .with_scale(scale())
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            validate_create: |object, errors| validate(object, true, errors),
            validate_update: |object, old, errors| {
                const FIXED: [&str; 4] =
                    ["selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy"];
                validate(object, false, errors);
                let (new, old) = (Cursor::root(object), Cursor::root(old));
                let (new, old) = (new.get("spec"), old.get("spec"));
                for field in FIXED {
                    new.get(field).immutable(&old.get(field), errors);
                }
            },
            validate_status,
            warnings,
            create_warnings,
            name: names::name_is_dns_label,
            generation: Generation::Spec,
            ..Strategy::default()
        })
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    zero(spec, "podManagementPolicy", "OrderedReady");
    let strategy = sub(spec, "updateStrategy");
    if is_empty(&strategy["type"]) {
        zero(strategy, "type", "RollingUpdate");
        sub(strategy, "rollingUpdate");
    }
    if strategy["type"] == "RollingUpdate" && strategy["rollingUpdate"].is_object() {
        let rolling = sub(strategy, "rollingUpdate");
        absent(rolling, "partition", 0);
        absent(rolling, "maxUnavailable", 1);
    }
    let retention = sub(spec, "persistentVolumeClaimRetentionPolicy");
    zero(retention, "whenDeleted", "Retain");
    zero(retention, "whenScaled", "Retain");
    absent(spec, "replicas", 1);
    absent(spec, "revisionHistoryLimit", 10);
    for claim in items(spec, "volumeClaimTemplates") {
        set(claim, "apiVersion", "v1");
        set(claim, "kind", "PersistentVolumeClaim");
        zero(sub(claim, "status"), "phase", "Pending");
        let spec = sub(claim, "spec");
        absent(spec, "volumeMode", "Filesystem");
        for list in ["requests", "limits"] {
            present(spec, "resources")
                .and_then(|all| present(all, list))
                .into_iter()
                .for_each(resources::round_up);
        }
    }
    defaults::template(spec);
}

/// Validates a set; what may not change later is looked at while it is new.
fn validate(object: &Value, is_new: bool, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let policy = spec.get("podManagementPolicy");
    if !matches!(policy.text(), "OrderedReady" | "Parallel") {
        policy.invalid(errors, "must be 'OrderedReady' or 'Parallel'");
    }
    strategy(&spec.get("updateStrategy"), errors);
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        retention.get(field).enumeration(errors, &["Retain", "Delete"]);
    }
    if is_new {
        let claims = spec.get("volumeClaimTemplates");
        claims.items().for_each(|claim| claim_spec(&claim.get("spec"), true, errors));
    }
    spec.get("replicas").non_negative(errors);
    spec.get("minReadySeconds").non_negative(errors);
    spec.get("ordinals").get("start").non_negative(errors);
    if is_new {
        spec.get("serviceName").opt_named(errors, names::is_dns1123_label);
    }
    let own = spec.get("selector");
    if !own.is_set() {
        own.required(errors, "");
    } else {
        selector::validate(&own, errors);
        if selector::is_empty(own.value()) {
            own.invalid(errors, "empty selector is invalid for statefulset");
        }
    }
    let at = spec.get("template");
    if selector::matches(own.value(), &Value::Null).is_none() {
        own.invalid(errors, "");
    } else {
        if !own.is_set() || !selector::is_empty(own.value()) {
            template::selected(&spec, errors);
        }
        let completed = completed(&spec);
        template::template(&at.with(&completed), errors);
    }
    template::runs_for_ever(&at, "StatefulSet", errors);
}

fn strategy(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let rolling = at.get("rollingUpdate");
    match (at.text_of("type"), rolling.is_set()) {
        ("OnDelete", true) => rolling.invalid(errors, "only allowed for updateStrategy 'RollingUpdate'"),
        ("OnDelete", false) => {}
        ("RollingUpdate", _) => {
            rolling.get("partition").non_negative(errors);
            let most = rolling.get("maxUnavailable");
            if most.is_set() {
                rollout::int_or_percent(&most, errors);
                if rollout::amount(most.value()) == 0 {
                    most.invalid(errors, "cannot be 0");
                }
                rollout::at_most_all(&most, errors);
            }
        }
        _ => at.invalid(errors, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

/// The template as pods get it: host name and subdomain are the operator's, and each claim is a volume.
fn completed(spec: &Cursor<'_, '_>) -> Value {
    let mut template = spec.get("template").value().clone();
    let claims = spec.get("volumeClaimTemplates");
    let mut names: Vec<&str> = Vec::new();
    for claim in claims.list() {
        let name = claim["metadata"]["name"].as_str().unwrap_or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let pod = sub(&mut template, "spec");
    remove(pod, "hostname");
    remove(pod, "subdomain");
    if names.is_empty() {
        return template;
    }
    let own = pod["volumes"].as_array().into_iter().flatten();
    let is_kept = |volume: &&Value| volume["name"].as_str().is_none_or(|name| !names.contains(&name));
    let own: Vec<Value> = own.filter(is_kept).cloned().collect();
    let made = names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    pod["volumes"] = made.chain(own).collect();
    template
}

fn validate_status(new: &Value, old: &Value, errors: &mut FieldErrors) {
    const COUNTS: [&str; 7] = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    const PARTS: [&str; 4] = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    let status = new.get("status");
    counts(&status, &COUNTS, errors);
    parts_of_all(&status, &PARTS, "status.readyReplicas", errors);
    collisions(&status, &old.get("status"), errors);
}

/// Those of the claims. Upstream's path leaves out that the amounts are in the spec.
fn create_warnings(object: &Value) -> Vec<String> {
    let (root, mut found) = (Cursor::root(object), Vec::new());
    for claim in root.get("spec").get("volumeClaimTemplates").items() {
        claim_sizes(&claim.with(&claim.value()["spec"]), &mut found);
    }
    found
}

fn warnings(object: &Value) -> Vec<String> {
    let mut found = template::template_warnings(object);
    if object["spec"]["revisionHistoryLimit"].as_i64().is_some_and(|limit| limit < 0) {
        found.push("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".to_owned());
    }
    found
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let [names, images] = table::containers(&spec["template"]["spec"]);
    vec![
        table::name(object),
        format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"])).into(),
        table::age(object, now),
        names,
        images,
    ]
}
