//! storage.k8s.io/v1 CSIStorageCapacity.
//!
//! Upstream: `pkg/registry/storage/csistoragecapacity/strategy.go`, `pkg/apis/storage/validation/validation.go`.

use super::named;
use crate::{
    cursor::{Cursor, IMMUTABLE, NEGATIVE},
    fill::same,
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
            let (topology, before) = (new.get("nodeTopology"), old.get("nodeTopology"));
            // No topology is not the empty one.
            if topology.is_set() != before.is_set() || !same(topology.value(), before.value()) {
                errors.invalid(topology.path(), topology.value(), IMMUTABLE);
            }
            if new.text_of("storageClassName") != old.text_of("storageClassName") {
                new.get("storageClassName").invalid(errors, IMMUTABLE);
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
