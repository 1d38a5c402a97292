//! resource.k8s.io/v1 DeviceClass: devices that are asked for by one name.
//!
//! Upstream: `pkg/registry/resource/deviceclass/strategy.go`.

use super::{configuration, is_short, named, selectors};
use crate::{cursor::Cursor, table};
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("DeviceClass");
    KindDef::cluster(gvk, "deviceclasses", schema)
        .with_table(&[Column::name(), Column::age()], |object, now| {
            vec![table::name(object), table::age(object, now)]
        })
        .with_strategy(Strategy {
            validate,
            generation: Generation::Spec,
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    selectors(&spec.get("selectors"), errors);
    let configurations = spec.get("config");
    if is_short(&configurations, super::CONFIGURATIONS, errors) {
        configurations.items().for_each(|one| configuration(&one, errors));
    }
    if let Some(name) = spec.present("extendedResourceName")
        && !is_extended(name.text())
    {
        name.invalid(errors, "must be a valid extended resource name");
    }
}

/// A resource of a domain that is not Kubernetes' own, and whose quota can be named.
fn is_extended(name: &str) -> bool {
    const QUOTA: &str = "requests.";
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    !is_native && !name.starts_with(QUOTA) && names::is_qualified_name(&format!("{QUOTA}{name}")).is_empty()
}
