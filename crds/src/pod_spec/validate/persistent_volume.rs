//! Specs of PersistentVolumes, whose sources are much like those of a pod's volumes.
//!
//! Upstream: `ValidatePersistentVolumeSpec`.

use super::{
    legacy_volumes as legacy, scheduling,
    volumes::{self, access_modes},
};
use crate::{cursor::Cursor, pod_spec::resources, storage};
use proa_meta::{FieldErrors, names, quantity::Quantity};
use serde_json::Value;

type Check = fn(&Cursor<'_, '_>, &mut FieldErrors);

/// Sources in upstream's order, which decides which one of several is "too many".
const SOURCES: [(&str, Check); 22] = [
    ("hostPath", volumes::host_path),
    ("gcePersistentDisk", legacy::gce_disk),
    ("awsElasticBlockStore", legacy::aws_disk),
    ("glusterfs", legacy::glusterfs_volume),
    ("flocker", legacy::flocker),
    ("nfs", volumes::nfs),
    ("rbd", |at, errors| legacy::require(at, &["monitors", "image"], errors)),
    ("quobyte", legacy::quobyte),
    ("cephfs", |at, errors| legacy::require(at, &["monitors"], errors)),
    ("iscsi", legacy::iscsi_volume),
    ("cinder", legacy::cinder_volume),
    ("fc", legacy::fibre_channel),
    ("flexVolume", legacy::flex),
    ("azureFile", legacy::azure_file_volume),
    ("vsphereVolume", |at, errors| legacy::require(at, &["volumePath"], errors)),
    ("photonPersistentDisk", |at, errors| legacy::require(at, &["pdID"], errors)),
    ("portworxVolume", |at, errors| legacy::require(at, &["volumeID"], errors)),
    ("azureDisk", legacy::azure_disk),
    ("scaleIO", |at, errors| legacy::require(at, &["gateway", "system", "volumeName"], errors)),
    ("local", local),
    ("storageos", legacy::storage_os_volume),
    ("csi", csi),
];

/// Fields of a spec that are its source.
pub(crate) fn sources() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|(field, _)| *field)
}

/// What a spec is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A PersistentVolume.
    Object,
    /// A volume that only an attachment names.
    Inline,
}

/// Validates a spec.
pub(crate) fn spec(spec: &Cursor<'_, '_>, of: Use, errors: &mut FieldErrors) {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    if of == Use::Inline {
        for field in ["claimRef", "capacity"] {
            let is_given =
                if field == "claimRef" { spec.get(field).is_set() } else { !spec.get(field).is_empty() };
            if is_given {
                spec.get(field).forbidden(errors, INLINE);
            }
        }
        if !spec.get("csi").is_set() {
            spec.get("csi").required(errors, "has to be specified in the context of inline volumes");
        }
    }
    let modes = spec.get("accessModes");
    modes.must_be_set(errors);
    access_modes(&modes, errors);
    if of == Use::Object {
        capacity(&spec.get("capacity"), errors);
    }
    let policy = spec.get("persistentVolumeReclaimPolicy");
    match of {
        _ if policy.is_empty() => {}
        Use::Inline if policy.text() != "Retain" => {
            policy.forbidden(errors, "may only be Retain in the context of inline volumes");
        }
        Use::Inline => {}
        Use::Object => {
            policy.enumeration(errors, &["Delete", "Recycle", "Retain"]);
        }
    }
    if let Some(affinity) = spec.present("nodeAffinity") {
        match of {
            Use::Inline => affinity.forbidden(errors, INLINE),
            Use::Object => node_affinity(&affinity, errors),
        }
    }
    source(spec, errors);
    let host = spec.get("hostPath");
    let path = host.text_of("path");
    let is_root = path.starts_with('/') && path.split('/').all(|part| part.is_empty() || part == ".");
    if is_root && policy.text() == "Recycle" {
        policy.forbidden(errors, "may not be 'recycle' for a hostPath mount of '/'");
    }
    classes(spec, of, errors);
}

fn capacity(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    at.must_be_set(errors);
    let entries = at.value().as_object();
    if entries.is_none_or(|entries| entries.len() != 1 || !entries.contains_key("storage")) {
        errors.not_supported(at.path(), at.value(), &["storage"]);
    }
    for (name, entry) in at.entries() {
        not_negative(&entry, errors);
        if resources::amount(at.value(), name).is_some_and(|quantity| quantity <= Quantity::ZERO) {
            entry.invalid(errors, "must be greater than zero");
        }
    }
}

/// Upstream: `validateBasicResource`.
pub(crate) fn not_negative(entry: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if let Some(amount) = Quantity::from_json(entry.value()).ok().map(|quantity| quantity.value())
        && amount < 0
    {
        entry.with(&amount.into()).invalid(errors, "must be a valid resource quantity");
    }
}

fn node_affinity(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    match at.present("required") {
        Some(required) => scheduling::node_selector(&required, errors),
        None => at.get("required").required(errors, "must specify required node constraints"),
    }
}

fn source(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut found = false;
    for (field, check) in SOURCES {
        let Some(at) = spec.present(field) else { continue };
        // Upstream misses it that a Flex volume is one more.
        if found && field != "flexVolume" {
            // The path is upstream's.
            let shown = if field == "cephfs" { "cephFS" } else { field };
            spec.get(shown).forbidden(errors, "may not specify more than 1 volume type");
        } else {
            check(&at, errors);
            if field == "local" && !spec.get("nodeAffinity").is_set() {
                spec.get("nodeAffinity").required(errors, "Local volume requires node affinity");
            }
        }
        found = true;
    }
    if !found {
        spec.required(errors, "must specify a volume type");
    }
}

fn classes(spec: &Cursor<'_, '_>, of: Use, errors: &mut FieldErrors) {
    let (class, mode) = (spec.get("storageClassName"), spec.get("volumeMode"));
    match of {
        Use::Inline => {
            if !class.is_empty() {
                class.forbidden(errors, "may not be specified in the context of inline volumes");
            }
            if mode.is_set() && mode.text() != "Filesystem" {
                let text =
                    "may not specify volumeMode other than Filesystem in the context of inline volumes";
                mode.forbidden(errors, text);
            }
        }
        Use::Object => {
            class.opt_named(errors, names::is_dns1123_subdomain);
            mode.opt_one_of(errors, &["Block", "Filesystem"]);
        }
    }
    if let Some(attributes) = spec.present("volumeAttributesClassName").filter(|_| of == Use::Object) {
        match attributes.is_empty() {
            true => attributes.required(errors, "an empty string is disallowed"),
            false => {
                attributes.named(errors, names::is_dns1123_subdomain);
            }
        }
        if !spec.get("csi").is_set() {
            let text = "has to be specified when using volumeAttributesClassName";
            spec.get("csi").required(errors, text);
        }
    }
}

fn local(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let path = at.get("path");
    if path.must_be_set(errors) {
        super::files::no_backsteps(&path, errors);
    }
}

fn csi(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const SECRETS: [&str; 4] = [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ];
    storage::driver_name(&at.get("driver"), errors);
    at.get("volumeHandle").must_be_set(errors);
    for secret in
        SECRETS.iter().filter_map(|field| at.value().get(field).filter(|v| !v.is_null()).map(|_| *field))
    {
        let secret = at.get(secret);
        let (name, namespace) = (secret.get("name"), secret.get("namespace"));
        if name.must_be_set(errors) {
            name.named(errors, names::is_dns1123_subdomain);
        }
        if namespace.must_be_set(errors) {
            namespace.named(errors, names::is_dns1123_label);
        }
    }
}

/// `RWO,ROX,RWX,RWOP`, those that are there.
pub(crate) fn short_modes(modes: &Value) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| modes.as_array().is_some_and(|modes| modes.iter().any(|own| own == mode));
    let found = SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short);
    found.collect::<Vec<_>>().join(",")
}
