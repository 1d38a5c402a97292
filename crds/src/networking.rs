//! Kinds of the group `networking.k8s.io`, `v1`.

pub(crate) mod ingress;
pub(crate) mod ingress_class;
pub(crate) mod ip_address;
pub(crate) mod network_policy;
pub(crate) mod service_cidr;

use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};

/// Group, kind and name of an object that this API does not know.
fn reference(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if let Some(group) = at.present("apiGroup") {
        group.named(errors, names::is_dns1123_subdomain);
    }
    for field in ["kind", "name"] {
        let field = at.get(field);
        if field.must_be_set(errors) {
            field.named(errors, names::is_path_segment_name);
        }
    }
}
