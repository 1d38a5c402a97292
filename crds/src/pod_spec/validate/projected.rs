//! Downward API files and projected volumes.

use super::{env, files};
use crate::{
    certificates::{cluster_trust_bundle, pod_certificate_request::longest_life, signer_name},
    cursor::Cursor,
    selector,
};
use proa_meta::{FieldErrors, names};
use std::collections::BTreeSet;

const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const CONFLICT: &str = "conflicting duplicate paths";

/// A `downwardAPI` volume.
pub(super) fn downward(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    files::mode(&at.get("defaultMode"), errors);
    for file in at.get("items").items() {
        downward_file(&at.with(file.value()), errors);
    }
}

/// One file; errors carry the path of the whole source.
fn downward_file(file: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let path = file.get("path");
    path.must_be_set(errors);
    files::not_reserved(&path, errors);
    match (file.present("fieldRef"), file.present("resourceFieldRef")) {
        (Some(field), other) => {
            env::object_field(&field, &FILE_FIELDS, errors);
            if other.is_some() {
                let text = "fieldRef and resourceFieldRef can not be specified simultaneously";
                file.with(&"resource".into()).invalid(errors, text);
            }
        }
        (None, Some(resource)) => env::resource_field(&resource, true, errors),
        (None, None) => file.required(errors, "one of fieldRef and resourceFieldRef is required"),
    }
    files::mode(&file.get("mode"), errors);
}

/// A `projected` volume.
pub(super) fn projected(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    files::mode(&at.get("defaultMode"), errors);
    let mut paths = BTreeSet::new();
    for source in at.get("sources").items() {
        let kinds = [
            "secret",
            "configMap",
            "downwardAPI",
            "serviceAccountToken",
            "clusterTrustBundle",
            "podCertificate",
        ];
        let present: Vec<_> = kinds.into_iter().filter(|kind| source.get(kind).is_set()).collect();
        for kind in &present {
            let part = source.get(kind);
            match *kind {
                "secret" | "configMap" => keys(&part, at, &mut paths, errors),
                "downwardAPI" => downward_files(&part, at, &mut paths, errors),
                "serviceAccountToken" => token(&part, at, errors),
                "clusterTrustBundle" => trust_bundle(&part, at, &mut paths, errors),
                _ => certificate(&part, at, &mut paths, errors),
            }
        }
        if present.len() > 1 {
            source.forbidden(errors, "may not specify more than 1 volume type per source");
        }
    }
}

type Paths<'v> = BTreeSet<&'v str>;

/// Reports a path that another source has already taken, showing `shown`.
fn claim<'v>(
    path: &'v str,
    shown: &str,
    volume: &Cursor<'_, '_>,
    paths: &mut Paths<'v>,
    errors: &mut FieldErrors,
) {
    if !path.is_empty() && !paths.insert(path) {
        volume.with(&shown.into()).invalid(errors, CONFLICT);
    }
}

fn keys<'v>(part: &Cursor<'v, '_>, volume: &Cursor<'_, '_>, paths: &mut Paths<'v>, errors: &mut FieldErrors) {
    part.get("name").must_be_set(errors);
    for item in part.get("items").items() {
        files::key_to_path(&item, errors);
        claim(item.text_of("path"), part.text_of("name"), volume, paths, errors);
    }
}

fn downward_files<'v>(
    part: &Cursor<'v, '_>,
    volume: &Cursor<'_, '_>,
    paths: &mut Paths<'v>,
    errors: &mut FieldErrors,
) {
    for file in part.get("items").items() {
        downward_file(&part.with(file.value()), errors);
        claim(file.text_of("path"), file.text_of("path"), volume, paths, errors);
    }
}

fn token(part: &Cursor<'_, '_>, volume: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let expiration = part.get("expirationSeconds");
    match expiration.int() {
        ..600 => expiration.invalid(errors, "may not specify a duration less than 10 minutes"),
        4_294_967_297.. => expiration.invalid(errors, "may not specify a duration larger than 2^32 seconds"),
        _ => {}
    }
    let own = part.get("path");
    let shown = volume.get("path");
    let shown = shown.with(own.value());
    if shown.must_be_set(errors) {
        files::not_reserved(&shown, errors);
    }
}

fn trust_bundle<'v>(
    part: &Cursor<'v, '_>,
    volume: &Cursor<'_, '_>,
    paths: &mut Paths<'v>,
    errors: &mut FieldErrors,
) {
    match (part.present("name"), part.present("signerName")) {
        (Some(_), Some(_)) => part.invalid(errors, "only one of name and signerName may be used"),
        (Some(name), None) => {
            if name.is_empty() {
                name.required(errors, "must be a valid object name");
            }
            // All but the last part of a name stands for the signer, if there is more than one.
            let signer = name.text().rsplit_once(':').map_or("", |(signer, _)| signer).replace(':', "/");
            for why in cluster_trust_bundle::name_problems(&signer, name.text(), false) {
                name.invalid(errors, &format!("not a valid clustertrustbundlename: {why}"));
            }
            if let Some(labels) = part.present("labelSelector") {
                labels.invalid(errors, "labelSelector must be unset if name is specified");
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                signer.required(errors, "must be a valid signer name");
            }
            signer_name(&signer, errors);
            selector::validate(&part.get("labelSelector"), errors);
        }
        (None, None) => part.required(errors, "either name or signerName must be specified"),
    }
    let path = part.get("path");
    path.must_be_set(errors);
    files::not_reserved(&path, errors);
    claim(path.text(), path.text(), volume, paths, errors);
}

fn certificate<'v>(
    part: &Cursor<'v, '_>,
    volume: &Cursor<'_, '_>,
    paths: &mut Paths<'v>,
    errors: &mut FieldErrors,
) {
    const KEYS: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
    names::validate_domain_prefixed_path(part.text_of("signerName"), part.get("signerName").path(), errors);
    part.get("keyType").enumeration(errors, &KEYS);
    let (age, max) = (part.get("maxExpirationSeconds"), longest_life(part.text_of("signerName")));
    match age.opt_int() {
        Some(..3600) => age.invalid(errors, "if provided, maxExpirationSeconds must be >= 3600"),
        Some(seconds) if seconds > max => {
            age.invalid(errors, &format!("if provided, maxExpirationSeconds must be <= {max}"));
        }
        _ => {}
    }
    let fields = ["credentialBundlePath", "keyPath", "certificateChainPath"];
    for path in fields.iter().map(|field| part.get(field)).filter(|path| !path.is_empty()) {
        files::not_reserved(&path, errors);
        claim(path.text(), path.text(), volume, paths, errors);
    }
    if fields.iter().all(|field| part.get(field).is_empty()) {
        let text = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        part.required(errors, text);
    }
}
