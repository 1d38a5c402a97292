//! Volume sources of storage systems that Kubernetes no longer builds in. Objects may still carry them.

use super::files;
use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};
use serde_json::Value;

/// These fields must not be empty.
pub(super) fn require(at: &Cursor<'_, '_>, fields: &[&str], errors: &mut FieldErrors) {
    for field in fields {
        at.get(field).must_be_set(errors);
    }
}

pub(super) fn git_repo(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    require(at, &["repository"], errors);
    files::descending(&at.get("directory"), errors);
}

fn partition(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !(0..=255).contains(&at.int_of("partition")) {
        at.get("partition").invalid(errors, &names::inclusive_range_error(1, 255));
    }
}

/// Upstream's path is not the field's name.
pub(super) fn gce_disk(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let place = Cursor::at(at.value(), at.path().sibling("persistentDisk"));
    require(&place, &["pdName"], errors);
    partition(&place, errors);
}

pub(super) fn aws_disk(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    require(at, &["volumeID"], errors);
    partition(at, errors);
}

fn secret_ref(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if let Some(reference) = at.present("secretRef") {
        reference.get("name").must_be_set(errors);
    }
}

/// A secret outside of the namespace of whom it is for.
fn remote_secret_ref(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if let Some(reference) = at.present("secretRef") {
        require(&reference, &["name", "namespace"], errors);
    }
}

pub(super) fn cinder(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    require(at, &["volumeID"], errors);
    secret_ref(at, errors);
}

/// As a PersistentVolume has it.
pub(super) fn cinder_volume(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    require(at, &["volumeID"], errors);
    remote_secret_ref(at, errors);
}

/// As a PersistentVolume has it.
pub(super) fn glusterfs_volume(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    require(at, &["endpoints", "path"], errors);
    let Some(namespace) = at.present("endpointsNamespace") else { return };
    if namespace.is_empty() {
        namespace.invalid(errors, "if the endpointnamespace is set, it must be a valid namespace name");
    } else {
        namespace.named(errors, names::is_dns1123_label);
    }
}

/// As a PersistentVolume has it.
pub(super) fn azure_file_volume(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    require(at, &["secretName", "shareName"], errors);
    if let Some(namespace) = at.present("secretNamespace") {
        namespace.must_be_set(errors);
    }
}

fn lun(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !(0..=255).contains(&at.int_of("lun")) {
        at.get("lun").invalid(errors, &names::inclusive_range_error(0, 255));
    }
}

pub(super) fn iscsi(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    iscsi_names(at, "must be valid format starting with iqn, eui, or naa", |_, _| (), errors);
}

/// As a PersistentVolume has it.
pub(super) fn iscsi_volume(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    iscsi_names(at, "must be valid format", secret_ref, errors);
}

fn iscsi_names(
    at: &Cursor<'_, '_>,
    unknown: &str,
    secret: fn(&Cursor<'_, '_>, &mut FieldErrors),
    errors: &mut FieldErrors,
) {
    require(at, &["targetPortal", "iqn"], errors);
    let iqn = at.get("iqn");
    if !iqn.is_empty() {
        initiator(&iqn, &iqn, unknown, errors);
    }
    lun(at, errors);
    let chap = at.get("chapAuthDiscovery").is_true() || at.get("chapAuthSession").is_true();
    if chap && !at.get("secretRef").is_set() {
        at.get("secretRef").required(errors, "");
    }
    secret(at, errors);
    if let Some(name) = at.present("initiatorName") {
        initiator(&name, &at.get("initiatorname"), unknown, errors);
    }
}

fn initiator(name: &Cursor<'_, '_>, shown: &Cursor<'_, '_>, unknown: &str, errors: &mut FieldErrors) {
    let shown = shown.with(name.value());
    let text = name.text();
    let alnum = |rest: &str, length| rest.len() == length && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    let ok = match text.get(..3) {
        Some("iqn") => is_iqn(text),
        Some("eui") => text.get(4..).is_some_and(|rest| alnum(rest, 16)),
        Some("naa") => text.get(4..).is_some_and(|rest| alnum(rest, 32)),
        _ => return shown.invalid(errors, unknown),
    };
    if !ok {
        shown.invalid(errors, "must be valid format");
    }
}

/// `iqn.2001-04.com.example:storage.disk1`.
fn is_iqn(text: &str) -> bool {
    let Some((authority, unique)) = text.strip_prefix("iqn.").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let (Some(date), Some(name)) = (authority.get(..7), authority.get(8..)) else { return false };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    digits(&date[..4])
        && &date[4..5] == "-"
        && digits(&date[5..])
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        && !unique.is_empty()
        && !unique.contains([',', ';', '*', '&', '$', '|'])
        && !unique.contains(char::is_whitespace)
}

pub(super) fn flocker(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (name, uuid) = (at.get("datasetName"), at.get("datasetUUID"));
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => at.required(errors, "one of datasetName and datasetUUID is required"),
        (false, false) => {
            let text = "datasetName and datasetUUID can not be specified simultaneously";
            at.with(&"resource".into()).invalid(errors, text);
        }
        _ => {}
    }
    if name.text().contains('/') {
        name.invalid(errors, "must not contain '/'");
    }
}

pub(super) fn quobyte(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const TEXT: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = at.get("registry");
    if registry.is_empty() {
        registry.required(errors, TEXT);
    } else if at.text_of("tenant").len() >= 65 {
        at.get("tenant").required(errors, "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in registry.text().split(',').filter(|pair| !pair.contains(':')) {
            registry.invalid(errors, TEXT);
        }
    }
    require(at, &["volume"], errors);
}

pub(super) fn fibre_channel(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (targets, ids) = (at.get("targetWWNs"), at.get("wwids"));
    match (targets.is_empty(), ids.is_empty()) {
        (true, true) => targets.required(errors, "must specify either targetWWNs or wwids, but not both"),
        (false, false) => {
            targets.invalid(errors, "targetWWNs and wwids can not be specified simultaneously");
        }
        _ => {}
    }
    if !targets.is_empty() {
        match at.get("lun").is_set() {
            true => lun(at, errors),
            false => at.get("lun").required(errors, "lun is required if targetWWNs is specified"),
        }
    }
}

pub(super) fn flex(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    require(at, &["driver"], errors);
    for (key, option) in at.get("options").entries() {
        let namespace = format!(".{}", key.split('/').next().unwrap_or(key).to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            let text = "kubernetes.io and k8s.io namespaces are reserved";
            option.with(&key.into()).invalid(errors, text);
        }
    }
}

pub(super) fn azure_disk(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.windows.net/{container-name}/{disk-name}.vhd";
    require(at, &["diskName", "diskURI"], errors);
    at.get("cachingMode").opt_one_of(errors, &["None", "ReadOnly", "ReadWrite"]);
    at.get("kind").opt_one_of(errors, &["Dedicated", "Managed", "Shared"]);
    let uri = at.get("diskURI");
    match at.get("kind").value() {
        Value::Null => {}
        kind if kind == "Managed" && !uri.text().starts_with("/subscriptions/") => {
            uri.unsupported(errors, &[MANAGED]);
        }
        kind if kind != "Managed" && !uri.text().starts_with("https://") => uri.unsupported(errors, &[BLOB]),
        _ => {}
    }
}

pub(super) fn storage_os(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    storage_os_names(at, errors);
    secret_ref(at, errors);
}

/// As a PersistentVolume has it.
pub(super) fn storage_os_volume(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    storage_os_names(at, errors);
    remote_secret_ref(at, errors);
}

fn storage_os_names(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let name = at.get("volumeName");
    if name.must_be_set(errors) {
        name.named(errors, names::is_dns1123_label);
    }
    at.get("volumeNamespace").opt_named(errors, names::is_dns1123_label);
}
