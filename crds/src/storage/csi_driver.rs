//! storage.k8s.io/v1 CSIDriver.
//!
//! Upstream: `pkg/registry/storage/csidriver/strategy.go`, `pkg/apis/storage/{v1/defaults,validation/validation}.go`.

use super::named;
use crate::{
    cursor::Cursor,
    fill::{absent, is_empty, set, sub},
    table,
};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("CSIDriver");
    let columns = [
        Column::name(),
        Column::of("AttachRequired", "boolean"),
        Column::of("PodInfoOnMount", "boolean"),
        Column::of("StorageCapacity", "boolean"),
        Column::text("TokenRequests"),
        Column::of("RequiresRepublish", "boolean"),
        Column::text("Modes"),
        Column::age(),
    ];
    KindDef::cluster(gvk, "csidrivers", schema).with_table(&columns, row).with_strategy(Strategy {
        default,
        validate,
        validate_update: |new, old, errors| {
            let (new, old) = (Cursor::root(new), Cursor::root(old));
            let (new, old) = (new.get("spec"), old.get("spec"));
            let attach = new.get("attachRequired");
            // Upstream's name of the field.
            new.get("attachedRequired").with(attach.value()).immutable(&old.get("attachRequired"), errors);
            new.get("volumeLifecycleModes").immutable(&old.get("volumeLifecycleModes"), errors);
        },
        warnings,
        generation: Generation::Given,
        unconditional_update: false,
        returns_deleted: true,
        ..Strategy::default()
    })
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    absent(spec, "attachRequired", true);
    for field in [
        "podInfoOnMount",
        "storageCapacity",
        "requiresRepublish",
        "seLinuxMount",
        "preventPodSchedulingIfMissing",
    ] {
        absent(spec, field, false);
    }
    absent(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if is_empty(&spec["volumeLifecycleModes"]) {
        set(spec, "volumeLifecycleModes", json!(["Persistent"]));
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    spec.get("fsGroupPolicy").opt_one_of(errors, &["File", "None", "ReadWriteOnceWithFSType"]);
    let mut audiences = BTreeSet::new();
    let requests = spec.get("tokenRequests");
    for request in requests.items() {
        let (audience, expiration) = (request.get("audience"), request.get("expirationSeconds"));
        if !audiences.insert(audience.text()) {
            audience.duplicate(errors);
            continue;
        }
        match expiration.opt_int() {
            Some(..600) => expiration.invalid(errors, "may not specify a duration less than 10 minutes"),
            Some(4_294_967_297..) => {
                expiration.invalid(errors, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
    let modes = spec.get("volumeLifecycleModes");
    for mode in modes.items() {
        modes.with(mode.value()).enumeration(errors, &["Persistent", "Ephemeral"]);
    }
    let period = spec.get("nodeAllocatableUpdatePeriodSeconds");
    if period.opt_int().is_some_and(|seconds| seconds < 10) {
        period.invalid(errors, "must be greater than or equal to 10 seconds");
    }
    let secrets = spec.get("serviceAccountTokenInSecrets");
    if secrets.is_set() && requests.is_empty() {
        let text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        secrets.invalid(errors, text);
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let spec = &object["spec"];
    let is_unset = spec.get("serviceAccountTokenInSecrets").is_none_or(Value::is_null);
    let text = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent \
                possible logging of tokens in volume attributes";
    if is_unset && !is_empty(&spec["tokenRequests"]) { vec![text.to_owned()] } else { Vec::new() }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let is = |field: &str| Value::from(spec[field] == true);
    let list = |list: &Value, text: fn(&Value) -> Option<&str>| {
        list.as_array().map(|list| list.iter().filter_map(text).collect::<Vec<_>>().join(","))
    };
    let audiences = list(&spec["tokenRequests"], |request| request["audience"].as_str());
    let modes = list(&spec["volumeLifecycleModes"], Value::as_str).filter(|modes| !modes.is_empty());
    vec![
        table::name(object),
        (spec["attachRequired"] != false).into(),
        is("podInfoOnMount"),
        is("storageCapacity"),
        audiences.unwrap_or_else(|| "<unset>".to_owned()).into(),
        is("requiresRepublish"),
        modes.unwrap_or_else(|| "<none>".to_owned()).into(),
        table::age(object, now),
    ]
}
