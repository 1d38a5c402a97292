//! v1 Binding: assigns a pod to a node. Nothing is stored under its own name.
//!
//! Upstream: `pkg/registry/core/pod/storage/storage.go`.

use crate::core::namespaced;
use proa_registry::kind::KindDef;

/// The kind.
pub(crate) fn kind() -> KindDef {
    namespaced("Binding", "bindings").answered()
}
