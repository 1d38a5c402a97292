//! Volume mounts and block devices of containers. Several errors carry the path of the list, as upstream's do.

use super::{Context, files};
use crate::cursor::Cursor;
use proa_meta::FieldErrors;
use std::collections::BTreeSet;

/// `volumeMounts`.
pub(super) fn mounts(container: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let list = container.get("volumeMounts");
    let devices = container.get("volumeDevices");
    let mut points = BTreeSet::new();
    for mount in list.items() {
        let (name, path) = (mount.get("name"), mount.get("mountPath"));
        name.must_be_set(errors);
        if !context.volumes.contains_key(name.text()) {
            name.not_found(errors);
        }
        path.must_be_set(errors);
        if !points.insert(path.text()) {
            path.invalid(errors, "must be unique");
        }
        if devices.items().any(|device| device.text_of("name") == name.text()) {
            name.invalid(errors, "must not already exist in volumeDevices");
        }
        if devices.items().any(|device| device.text_of("devicePath") == path.text()) {
            path.invalid(errors, "must not already exist as a path in volumeDevices");
        }
        sub_paths(&mount, &list, errors);
        propagation(&mount, &list, container, errors);
        recursive_read_only(&mount, &list, errors);
    }
}

fn sub_paths(mount: &Cursor<'_, '_>, list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (path, expression) = (mount.get("subPath"), mount.get("subPathExpr"));
    if !path.is_empty() {
        files::descending(&list.get("subPath").with(path.value()), errors);
    }
    if !expression.is_empty() {
        if !path.is_empty() {
            expression.invalid(errors, "subPathExpr and subPath are mutually exclusive");
        }
        files::descending(&list.get("subPathExpr").with(expression.value()), errors);
    }
}

fn propagation(
    mount: &Cursor<'_, '_>,
    list: &Cursor<'_, '_>,
    container: &Cursor<'_, '_>,
    errors: &mut FieldErrors,
) {
    let Some(mode) = mount.present("mountPropagation") else { return };
    let shown = list.get("mountPropagation");
    let shown = shown.with(mode.value());
    shown.enumeration(errors, &["Bidirectional", "HostToContainer", "None"]);
    let privileged = container.get("securityContext").get("privileged").is_true();
    if mode.text() == "Bidirectional" && !privileged {
        shown.forbidden(errors, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(mount: &Cursor<'_, '_>, list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let Some(mode) = mount.present("recursiveReadOnly") else { return };
    let shown = list.get("recursiveReadOnly");
    let shown = shown.with(mode.value());
    match mode.text() {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.get("readOnly").is_true() {
                shown.forbidden(errors, "may only be specified when readOnly is true");
            }
            if !matches!(mount.text_of("mountPropagation"), "" | "None") {
                let text = "may only be specified when mountPropagation is None or not specified";
                shown.forbidden(errors, text);
            }
        }
        _ => shown.unsupported(errors, &["Disabled", "Enabled", "IfPossible"]),
    }
}

/// `volumeDevices`.
pub(super) fn devices(container: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let mounts = container.get("volumeMounts");
    let (mut paths, mut device_names) = (BTreeSet::new(), BTreeSet::new());
    for device in container.get("volumeDevices").items() {
        let (name, path) = (device.get("name"), device.get("devicePath"));
        name.must_be_set(errors);
        if !device_names.insert(name.text()) && !name.is_empty() {
            name.invalid(errors, "must be unique");
        }
        match context.volumes.get(name.text()) {
            None => name.not_found(errors),
            Some(v) if v["persistentVolumeClaim"].is_null() && v["ephemeral"].is_null() => {
                let text =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                name.invalid(errors, text);
            }
            Some(_) => {}
        }
        path.must_be_set(errors);
        if paths.contains(path.text()) {
            path.invalid(errors, "must be unique");
        }
        if files::has_backsteps(path.text()) {
            path.invalid(errors, "can not contain backsteps ('..')");
        } else {
            paths.insert(path.text());
        }
        if mounts.items().any(|mount| mount.text_of("name") == name.text()) {
            name.invalid(errors, "must not already exist in volumeMounts");
        }
        if mounts.items().any(|mount| mount.text_of("mountPath") == path.text()) {
            path.invalid(errors, "must not already exist as a path in volumeMounts");
        }
    }
}
