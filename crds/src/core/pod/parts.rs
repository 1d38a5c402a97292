//! Parts of a pod with paths of their own: `pods/ephemeralcontainers` and `pods/resize`.

mod ephemeral;
mod resize;

use crate::fill::keep_metadata;
use proa_registry::kind::PartDef;
use proa_schema::apply::Reset;
use serde_json::Value;

/// The parts.
pub(super) const ALL: [PartDef; 2] = [
    PartDef {
        name: "ephemeralcontainers",
        keep: ephemeral::keep_rest,
        validate: ephemeral::validate,
        owned: Reset::Only(&[&["spec", "ephemeralContainers"]]),
    },
    PartDef {
        name: "resize",
        keep: resize::keep_rest,
        validate: resize::validate,
        owned: Reset::Only(&[
            &["spec", "containers", "*", "resources"],
            &["spec", "containers", "*", "resizePolicy"],
            &["spec", "initContainers", "*", "resources"],
            &["spec", "initContainers", "*", "resizePolicy"],
        ]),
    },
];

/// A pod that its node made by itself, shown by the API only.
fn is_mirror(pod: &Value) -> bool {
    pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_some()
}
