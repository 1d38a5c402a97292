//! Fields of level 1.37 whose feature is off by default. Upstream drops them without a word; so does this.
//!
//! Upstream: the `featureGate` marks in k8s.io/api `core/v1/types.go`.

use super::CONTAINER_LISTS;
use crate::fill::{is_empty, items, present, remove};
use serde_json::Value;

/// Drops them from a pod spec.
pub(crate) fn drop_disabled(spec: &mut Value) {
    for field in ["evictionResponders", "schedulingGroup"] {
        remove(spec, field);
    }
    for list in CONTAINER_LISTS {
        items(spec, list).for_each(container);
    }
    items(spec, "volumes").for_each(volume);
}

fn container(container: &mut Value) {
    items(container, "volumeMounts").for_each(|mount| remove(mount, "bindMountOptions"));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        present(container, probe).into_iter().for_each(handler);
    }
    if let Some(lifecycle) = present(container, "lifecycle") {
        let had_signal = lifecycle.get("stopSignal").is_some();
        remove(lifecycle, "stopSignal");
        for hook in ["postStart", "preStop"] {
            present(lifecycle, hook).into_iter().for_each(handler);
        }
        if had_signal && is_empty(lifecycle) {
            remove(container, "lifecycle");
        }
    }
}

fn handler(handler: &mut Value) {
    for (action, field) in [("httpGet", "protocol"), ("grpc", "mode")] {
        present(handler, action).into_iter().for_each(|action| remove(action, field));
    }
}

fn volume(volume: &mut Value) {
    present(volume, "emptyDir").into_iter().for_each(|source| remove(source, "mode"));
    for kind in ["secret", "configMap", "downwardAPI", "projected"] {
        let Some(source) = present(volume, kind) else { continue };
        remove(source, "defaultUser");
        files(source);
        items(source, "sources").for_each(projection);
    }
}

fn projection(source: &mut Value) {
    let kinds = source.as_object_mut().into_iter().flat_map(|kinds| kinds.values_mut());
    for part in kinds {
        remove(part, "user");
        files(part);
    }
}

fn files(source: &mut Value) {
    items(source, "items").for_each(|file| remove(file, "user"));
}
