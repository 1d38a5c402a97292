//! Volumes and their sources.

use super::{Context, files, legacy_volumes, projected};
use crate::{
    cursor::Cursor,
    pod_spec::{resources, template},
    selector,
};
use proa_meta::{FieldErrors, names, quantity::Quantity};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

type Check = fn(&Cursor<'_, '_>, &mut FieldErrors);

/// A kind of volume: its field, the name upstream uses in the path of "more than one", and its check.
struct Source(&'static str, &'static str, Check);

/// In upstream's order, which decides which one of several is "too many".
const SOURCES: &[Source] = &[
    Source("emptyDir", "emptyDir", empty_dir),
    Source("hostPath", "hostPath", host_path),
    Source("gitRepo", "gitRepo", legacy_volumes::git_repo),
    Source("gcePersistentDisk", "gcePersistentDisk", legacy_volumes::gce_disk),
    Source("awsElasticBlockStore", "awsElasticBlockStore", legacy_volumes::aws_disk),
    Source("secret", "secret", secret),
    Source("nfs", "nfs", nfs),
    Source("iscsi", "iscsi", legacy_volumes::iscsi),
    Source("glusterfs", "glusterfs", |at, errors| {
        legacy_volumes::require(at, &["endpoints", "path"], errors);
    }),
    Source("flocker", "flocker", legacy_volumes::flocker),
    Source("persistentVolumeClaim", "persistentVolumeClaim", |at, errors| {
        legacy_volumes::require(at, &["claimName"], errors);
    }),
    Source("rbd", "rbd", |at, errors| legacy_volumes::require(at, &["monitors", "image"], errors)),
    Source("cinder", "cinder", legacy_volumes::cinder),
    Source("cephfs", "cephFS", |at, errors| legacy_volumes::require(at, &["monitors"], errors)),
    Source("quobyte", "quobyte", legacy_volumes::quobyte),
    Source("downwardAPI", "downwarAPI", projected::downward),
    Source("fc", "fc", legacy_volumes::fibre_channel),
    Source("flexVolume", "flexVolume", legacy_volumes::flex),
    Source("configMap", "configMap", config_map),
    Source("azureFile", "azureFile", |at, errors| {
        legacy_volumes::require(at, &["secretName", "shareName"], errors);
    }),
    Source("vsphereVolume", "vsphereVolume", |at, errors| {
        legacy_volumes::require(at, &["volumePath"], errors);
    }),
    Source("photonPersistentDisk", "photonPersistentDisk", |at, errors| {
        legacy_volumes::require(at, &["pdID"], errors);
    }),
    Source("portworxVolume", "portworxVolume", |at, errors| {
        legacy_volumes::require(at, &["volumeID"], errors);
    }),
    Source("azureDisk", "azureDisk", legacy_volumes::azure_disk),
    Source("storageos", "storageos", legacy_volumes::storage_os),
    Source("projected", "projected", projected::projected),
    Source("scaleIO", "scaleIO", |at, errors| {
        legacy_volumes::require(at, &["gateway", "system", "volumeName"], errors);
    }),
    Source("csi", "csi", csi),
    Source("ephemeral", "ephemeral", ephemeral),
    Source("image", "image", image),
];

/// Validates volumes; returns the valid ones by name.
pub(super) fn volumes<'v>(
    list: &Cursor<'v, '_>,
    context: &Context<'_>,
    errors: &mut FieldErrors,
) -> BTreeMap<&'v str, &'v Value> {
    let mut valid = BTreeMap::new();
    for volume in list.items() {
        let before = errors.len();
        source(&volume, context, errors);
        let name = volume.get("name");
        if name.must_be_set(errors) {
            name.named(errors, names::is_dns1123_label);
        }
        if valid.contains_key(name.text()) {
            name.duplicate(errors);
        }
        if errors.len() == before {
            valid.insert(name.text(), volume.value());
        }
        generated_claim(&volume, list, context.pod_name, errors);
    }
    valid
}

fn source(volume: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let mut found = false;
    for Source(field, conflict, check) in SOURCES {
        let Some(at) = volume.present(field) else { continue };
        if found {
            volume.get(conflict).forbidden(errors, "may not specify more than 1 volume type");
        } else {
            check(&at, errors);
            with_context(field, volume, &at, context, errors);
        }
        found = true;
    }
    if !found {
        volume.required(errors, "must specify a volume type");
    }
}

/// Checks that need more than the source itself.
fn with_context(
    field: &str,
    volume: &Cursor<'_, '_>,
    at: &Cursor<'_, '_>,
    context: &Context<'_>,
    errors: &mut FieldErrors,
) {
    let name = volume.get("name");
    match field {
        "iscsi" if at.get("initiatorName").is_set() && iscsi_name(at, name.text()).len() > 64 => {
            let text = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
            name.invalid(errors, text);
        }
        "ephemeral" if !context.pod_name.is_empty() && !name.text().is_empty() => {
            let claim = format!("{}-{}", context.pod_name, name.text());
            for message in names::is_dns1123_subdomain(&claim) {
                name.invalid(errors, &format!("PVC name {claim:?}: {message}"));
            }
        }
        "image" if context.is_pod => {
            at.get("reference").must_be_set(errors);
        }
        _ => {}
    }
}

fn iscsi_name(at: &Cursor<'_, '_>, volume: &str) -> String {
    format!("{volume}:{}", at.text_of("targetPortal"))
}

/// A volume may not name the claim that another, ephemeral one makes.
fn generated_claim(volume: &Cursor<'_, '_>, list: &Cursor<'_, '_>, pod: &str, errors: &mut FieldErrors) {
    let claim = volume.get("persistentVolumeClaim");
    let claim = claim.get("claimName");
    let Some(made_for) = claim.text().strip_prefix(pod).and_then(|rest| rest.strip_prefix('-')) else {
        return;
    };
    let made = |v: &Value| v["name"] == made_for && !v["ephemeral"].is_null();
    if !pod.is_empty() && list.list().iter().any(made) {
        claim.invalid(errors, "must not reference a PVC that gets created for an ephemeral volume");
    }
}

fn empty_dir(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if resources::amount(at.value(), "sizeLimit").is_some_and(|limit| limit < Quantity::ZERO) {
        at.get("sizeLimit").forbidden(errors, "SizeLimit field must be a valid resource quantity");
    }
}

pub(super) fn host_path(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const TYPES: [&str; 8] =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    let path = at.get("path");
    if path.must_be_set(errors) {
        files::no_backsteps(&path, errors);
        at.get("type").opt_one_of(errors, &TYPES);
    }
}

fn secret(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    keyed_files(at, "secretName", errors);
}

fn config_map(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    keyed_files(at, "name", errors);
}

fn keyed_files(at: &Cursor<'_, '_>, name: &str, errors: &mut FieldErrors) {
    at.get(name).must_be_set(errors);
    files::mode(&at.get("defaultMode"), errors);
    at.get("items").items().for_each(|item| files::key_to_path(&item, errors));
}

pub(super) fn nfs(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    legacy_volumes::require(at, &["server", "path"], errors);
    let path = at.get("path");
    if !path.text().starts_with('/') {
        path.invalid(errors, "must be an absolute path");
    }
}

fn csi(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let driver = at.get("driver");
    if driver.must_be_set(errors) {
        if driver.text().len() > 63 {
            errors.too_long(driver.path(), 63);
        }
        driver.invalid_each(errors, &names::is_dns1123_subdomain(&driver.text().to_lowercase()));
    }
    if let Some(reference) = at.present("nodePublishSecretRef") {
        let name = reference.get("name");
        if name.must_be_set(errors) {
            at.get("name").with(name.value()).named(errors, names::is_dns1123_subdomain);
        }
    }
}

fn image(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    at.get("pullPolicy").one_of(errors, &["Always", "IfNotPresent", "Never"]);
}

fn ephemeral(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let Some(template) = at.present("volumeClaimTemplate") else {
        return at.get("volumeClaimTemplate").required(errors, "");
    };
    template::metadata(&template.get("metadata"), errors);
    claim_spec(&template.get("spec"), true, errors);
}

/// Known modes, and the one that excludes others by itself.
pub(super) fn access_modes(modes: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    for mode in modes.items() {
        modes.with(mode.value()).enumeration(errors, &MODES);
    }
    let distinct: BTreeSet<_> = modes.list().iter().filter_map(Value::as_str).collect();
    if distinct.contains("ReadWriteOncePod") && distinct.iter().filter(|m| MODES.contains(m)).count() > 1 {
        modes.forbidden(errors, "may not use ReadWriteOncePod with other access modes");
    }
}

/// The spec of a PersistentVolumeClaim.
pub(crate) fn claim_spec(spec: &Cursor<'_, '_>, checks_groups: bool, errors: &mut FieldErrors) {
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        modes.required(errors, "at least 1 access mode is required");
    }
    selector::validate(&spec.get("selector"), errors);
    access_modes(&modes, errors);
    let resources = spec.get("resources");
    let shown = resources.key("storage");
    match resources::amount(resources.get("requests").value(), "storage") {
        None => shown.required(errors, ""),
        Some(size) if size <= Quantity::ZERO => {
            shown.with(&size.to_string().into()).invalid(errors, "must be greater than zero");
        }
        Some(_) => {}
    }
    for class in ["storageClassName", "volumeAttributesClassName"] {
        spec.get(class).opt_named(errors, names::is_dns1123_subdomain);
    }
    spec.get("volumeMode").opt_one_of(errors, &["Block", "Filesystem"]);
    claim_sources(spec, checks_groups, errors);
}

/// What a claim's volume is filled from.
fn claim_sources(spec: &Cursor<'_, '_>, checks_groups: bool, errors: &mut FieldErrors) {
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    for at in [source, reference].iter().filter(|at| at.is_set()) {
        data_source(at, checks_groups, errors);
    }
    if !source.is_set() || !reference.is_set() {
        return;
    }
    let namespace = reference.get("namespace");
    // Upstream shows one of its internal values.
    let shown = json!({});
    let shown = spec.with(&shown);
    if !namespace.is_empty() {
        shown.invalid(errors, "may not be specified when dataSourceRef.namespace is specified");
    } else if ["apiGroup", "kind", "name"].iter().any(|f| source.text_of(f) != reference.text_of(f)) {
        shown.invalid(errors, "must match dataSourceRef");
    }
}

fn data_source(at: &Cursor<'_, '_>, checks_groups: bool, errors: &mut FieldErrors) {
    let (kind, group) = (at.get("kind"), at.get("apiGroup"));
    at.get("name").must_be_set(errors);
    kind.must_be_set(errors);
    if group.is_empty() && kind.text() != "PersistentVolumeClaim" {
        let text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        at.with(kind.value()).invalid(errors, text);
    }
    if checks_groups {
        group.opt_named(errors, names::is_dns1123_subdomain);
    }
    at.get("namespace").opt_named(errors, names::is_dns1123_label);
}
