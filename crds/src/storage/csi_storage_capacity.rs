//! storage.k8s.io/v1 CSIStorageCapacity.
//!
//! Upstream: `pkg/registry/storage/csistoragecapacity/strategy.go`, `pkg/apis/storage/validation/validation.go`.

use super::named;
use crate::{
    cursor::{Cursor, NEGATIVE},
    selector,
};
use proa_meta::{FieldErrors, names, quantity::Quantity};
use proa_registry::kind::{KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("CSIStorageCapacity");
    KindDef::namespaced(gvk, "csistoragecapacities", schema).with_strategy(Strategy {
        validate,
        validate_update: |new, old, errors| {
            let (new, old) = (Cursor::root(new), Cursor::root(old));
            for field in ["nodeTopology", "storageClassName"] {
                new.get(field).immutable(&old.get(field), errors);
            }
        },
        unconditional_update: false,
        ..Strategy::default()
    })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    selector::validate(&root.get("nodeTopology"), errors);
    root.get("storageClassName").named(errors, names::is_dns1123_subdomain);
    let capacity = root.get("capacity");
    if Quantity::from_json(capacity.value()).is_ok_and(|quantity| quantity < Quantity::ZERO) {
        capacity.invalid(errors, NEGATIVE);
    }
}
