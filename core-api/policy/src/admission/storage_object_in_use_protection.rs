//! StorageObjectInUseProtection: new claims and volumes get a finalizer that keeps them while they are used.
//!
//! Left out: VolumeAttributesClasses, since nobody would take theirs off again.
//!
//! Upstream: `plugin/pkg/admission/storage/storageobjectinuseprotection/admission.go`.

use super::{list_at, map_at};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::ApiResult;
use proa_registry::{AdmissionRequest, Mutate, Operation};
use serde_json::Value;

/// The plugin.
pub struct StorageObjectInUseProtection;

/// The operator of persistent volumes takes it off again.
fn finalizer(group: &str, resource: &str) -> Option<&'static str> {
    match (group, resource) {
        ("", "persistentvolumeclaims") => Some("kubernetes.io/pvc-protection"),
        ("", "persistentvolumes") => Some("kubernetes.io/pv-protection"),
        _ => None,
    }
}

fn add(object: &mut Value, finalizer: &str) {
    if map_at(object, "metadata").is_none() {
        return;
    }
    if let Some(list) = list_at(&mut object["metadata"], "finalizers")
        && !list.iter().any(|own| own == finalizer)
    {
        list.push(finalizer.into());
    }
}

impl Mutate for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create
            && request.subresource.is_empty()
            && finalizer(&request.kind.gvk.group, &request.kind.resource).is_some()
    }

    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            if let Some(finalizer) = finalizer(&request.kind.gvk.group, &request.kind.resource) {
                add(object, finalizer);
            }
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_finalizer_is_added_once() {
        for (given, want) in [
            (json!({"metadata": {}}), json!(["f"])),
            (json!({"metadata": {"finalizers": ["f"]}}), json!(["f"])),
            (json!({"metadata": {"finalizers": ["other"]}}), json!(["other", "f"])),
        ] {
            let mut object = given;
            add(&mut object, "f");
            assert_eq!(object["metadata"]["finalizers"], want);
        }
    }
}
