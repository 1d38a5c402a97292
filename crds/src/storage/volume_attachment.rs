//! storage.k8s.io/v1 VolumeAttachment, with `/status`.
//!
//! Upstream: `pkg/registry/storage/volumeattachment/strategy.go`, `pkg/apis/storage/validation/validation.go`.

use super::{DRIVER, driver_name, named};
use crate::{
    cursor::Cursor,
    fill::{keep, sub},
    pod_spec::validate::persistent_volume,
    table,
};
use jiff::Timestamp;
use proa_meta::{
    FieldErrors,
    field::{FieldError, Problem},
    names,
};
use proa_registry::kind::{Column, KindDef, Strategy};
use proa_schema::apply::Reset;
use serde_json::Value;

const METADATA: usize = 256 << 10;
const MESSAGE: usize = 1024;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("VolumeAttachment");
    let columns = [
        Column::name(),
        Column::text("Attacher").with_format("name"),
        Column::text("PV"),
        Column::text("Node"),
        Column::of("Attached", "boolean"),
        Column::age(),
    ];
    KindDef::cluster(gvk, "volumeattachments", schema).with_status().with_table(&columns, row).with_strategy(
        Strategy {
            prepare_status: |new, old| {
                for field in ["labels", "annotations"] {
                    keep(sub(new, "metadata"), &old["metadata"], field);
                }
            },
            validate_create: |object, errors| {
                written(object, errors);
                attacher(object, errors);
            },
            resets: |path| (path == "status").then_some(Reset::Exclude(&[&["metadata"], &["spec"]])),
            validate_update,
            validate_status: validate_update,
            unconditional_update: false,
            returns_deleted: true,
            ..Strategy::default()
        },
    )
}

fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let spec = root.get("spec");
    driver_name(&spec.get("attacher"), errors);
    written(new, errors);
    Cursor::root(new).get("spec").declared_immutable(&Cursor::root(old).get("spec"), errors);
}

/// What upstream declares on the type, which comes last.
fn attacher(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let name = spec.get("attacher");
    if !name.must_be_set(errors) {
        return;
    }
    name.named(errors, names::is_dns1123_subdomain_of_any_case);
    if name.text().chars().count() > DRIVER {
        errors.push(FieldError {
            problem: Problem::TooLong,
            field: name.path().to_string(),
            body: format!("Too long: may not be more than {DRIVER} characters"),
        });
    }
}

fn written(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (spec, status) = (root.get("spec"), root.get("status"));
    source(&spec.get("source"), errors);
    spec.get("nodeName").named(errors, names::is_dns1123_subdomain);
    let metadata = status.get("attachmentMetadata");
    let entries = metadata.value().as_object().into_iter().flatten();
    if entries.map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum::<usize>() > METADATA {
        errors.too_long(metadata.path(), METADATA);
    }
    for field in ["attachError", "detachError"] {
        let error = status.get(field);
        let (message, code) = (error.get("message"), error.get("errorCode"));
        if message.text().len() > MESSAGE {
            errors.too_long(message.path(), MESSAGE);
        }
        if code.int() < 0 {
            code.invalid(errors, &names::inclusive_range_error(0, i64::from(i32::MAX)));
        }
    }
    let source = spec.get("source");
    if let Some(name) = source.present("persistentVolumeName") {
        name.named(errors, names::is_dns1123_subdomain);
    }
}

fn source(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const EITHER: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (at.present("inlineVolumeSpec"), at.present("persistentVolumeName")) {
        (None, None) => at.required(errors, EITHER),
        (Some(_), Some(_)) => at.forbidden(errors, EITHER),
        (None, Some(name)) if name.is_empty() => {
            name.required(errors, "must specify non empty persistentVolumeName");
        }
        (None, Some(_)) => {}
        (Some(spec), None) => persistent_volume::spec(&spec, persistent_volume::Use::Inline, errors),
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        table::name(object),
        table::text_or(&spec["attacher"], ""),
        table::text_or(&spec["source"]["persistentVolumeName"], ""),
        table::text_or(&spec["nodeName"], ""),
        (object["status"]["attached"] == true).into(),
        table::age(object, now),
    ]
}
