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
    if let Some(name) = spec.present("extendedResourceName") {
        extended(&name, errors);
    }
}

/// A resource of a domain that is not Kubernetes' own, and whose quota can be named.
fn extended(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const QUOTA: &str = "requests.";
    const OWN: &str = "kubernetes.io/";
    let name = at.text();
    if !name.contains('/') {
        at.invalid(errors, "a name must be a domain-prefixed path, such as 'example.com/my-prop'");
    } else if name.contains(OWN) {
        at.invalid(errors, &format!("must not have {OWN:?} domain"));
    }
    if name.starts_with(QUOTA) {
        at.invalid(errors, &format!("must not have {QUOTA:?} prefix"));
    }
    at.invalid_each(errors, &names::is_qualified_name(&format!("{QUOTA}{name}")));
}
