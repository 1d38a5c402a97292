//! Kinds of the group `storage.k8s.io`, `v1`.
//!
//! Deliberately absent: whatever acts on them. No CSI driver runs here, and nothing binds claims to volumes.

pub(crate) mod csi_driver;
pub(crate) mod csi_node;
pub(crate) mod csi_storage_capacity;
pub(crate) mod storage_class;
pub(crate) mod volume_attachment;
pub(crate) mod volume_attributes_class;

use crate::{cursor::Cursor, facts};
use proa_meta::{FieldErrors, Gvk, names};
use proa_schema::SchemaRef;

/// Longest name of a driver.
const DRIVER: usize = 63;
/// Most parameters, and their bytes in all.
const PARAMETERS: (usize, usize) = (512, 256 << 10);

/// Name and schema of a kind of the group.
fn named(kind: &'static str) -> (Gvk, SchemaRef) {
    let schema = facts::schema(&format!("io.k8s.api.storage.v1.{kind}"));
    (Gvk::new("storage.k8s.io", "v1", kind), schema)
}

/// The name of a CSI driver. Upstream: `ValidateCSIDriverName`.
pub(crate) fn driver_name(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !at.must_be_set(errors) {
        return;
    }
    if at.text().len() > DRIVER {
        errors.too_long(at.path(), DRIVER);
    }
    at.invalid_each(errors, &names::is_dns1123_subdomain(&at.text().to_lowercase()));
}

/// Who provisions volumes of a class. Upstream: `validateProvisioner`.
fn provisioner(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if at.must_be_set(errors) {
        let name = at.text().to_lowercase().into();
        at.with(&name).named(errors, names::is_qualified_name);
    }
}

/// What a class tells its driver. Upstream: `validateParameters`.
fn parameters(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (most, largest) = PARAMETERS;
    let entries = at.value().as_object();
    if entries.is_some_and(|entries| entries.len() > most) {
        return errors.too_long(at.path(), most);
    }
    let mut bytes = 0;
    for (key, value) in entries.into_iter().flatten() {
        if key.is_empty() {
            at.with(&"".into()).invalid(errors, "field can not be empty.");
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > largest {
        errors.too_long(at.path(), largest);
    }
}
