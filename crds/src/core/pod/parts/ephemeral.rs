//! `pods/ephemeralcontainers`: containers are added to a pod that runs, and stay as they are.
//!
//! Upstream: `podEphemeralContainersStrategy`, `ValidatePodEphemeralContainersUpdate`.

use super::{is_mirror, keep_metadata};
use crate::{
    cursor::Cursor,
    fill::{keep, same, set, sub},
    pod_spec::update,
};
use proa_meta::FieldErrors;
use serde_json::Value;

const LIST: &str = "ephemeralContainers";

/// Everything but the ephemeral containers stays.
pub(super) fn keep_rest(new: &mut Value, old: &Value) {
    let containers = new["spec"][LIST].take();
    keep(new, old, "spec");
    keep(new, old, "status");
    keep_metadata(new, old);
    if !containers.is_null() {
        set(sub(new, "spec"), LIST, containers);
    } else if let Some(spec) = crate::fill::present(new, "spec") {
        crate::fill::remove(spec, LIST);
    }
}

/// Containers are only added.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    if is_mirror(old) {
        return root.forbidden(errors, "static pods do not support ephemeral containers");
    }
    let spec = root.get("spec");
    let list = spec.get(LIST);
    for before in old["spec"][LIST].as_array().into_iter().flatten() {
        let name = before["name"].as_str().unwrap_or_default();
        match list.list().iter().find(|container| container["name"] == name) {
            None => {
                let text = format!("existing ephemeral containers {name:?} may not be removed\n");
                list.forbidden(errors, &text);
            }
            Some(now) if !same(now, before) => {
                let difference = update::differences(before, now);
                let text = format!("existing ephemeral containers {name:?} may not be changed\n{difference}");
                list.forbidden(errors, &text);
            }
            Some(_) => {}
        }
    }
}
