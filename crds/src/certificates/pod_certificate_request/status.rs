//! What a signer may answer: a certificate for the key that was asked for, or that there is none.

use super::without_value;
use crate::{conditions, cursor::Cursor, fill::same};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use proa_meta::{FieldErrors, pem};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509CertificationRequest};

/// Conditions that end a request.
pub(super) const FINAL: [&str; 3] = ["Issued", "Denied", "Failed"];
/// Largest chain.
const CHAIN: usize = 100 << 10;
/// How long after its begin and before its end a certificate may first be renewed.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// Validates a change.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let status = root.get("status");
    let list = status.get("conditions");
    known(&list, errors);
    conditions::validate(&list, errors);
    if !errors.is_empty() {
        return;
    }
    let mut must_be = |wanted: &Value, text: &str| {
        if !same(status.value(), wanted) {
            without_value(&status, text, errors);
        }
    };
    if is_final(old) {
        must_be(&old["status"], "immutable after PodCertificateRequest is issued, denied, or failed");
    } else if has(new, "Denied") || has(new, "Failed") {
        must_be(
            &json!({"conditions": list.value()}),
            "non-condition status fields must be empty when denying or failing the PodCertificateRequest",
        );
    } else if has(new, "Issued") {
        issued(&status, &new["spec"], errors);
    } else {
        let text = "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"";
        must_be(&old["status"], text);
    }
}

fn has(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|condition| condition["type"] == kind))
}

fn is_final(object: &Value) -> bool {
    FINAL.iter().any(|kind| has(object, kind))
}

/// Upstream's paths have a dot before the index.
fn known(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut count = 0;
    for (index, condition) in list.list().iter().enumerate() {
        let index = format!("[{index}]");
        let path = list.path().child(&index);
        let place = Cursor::at(condition, path);
        let (kind, status) = (place.get("type"), place.get("status"));
        if !kind.enumeration(errors, &FINAL) {
            continue;
        }
        count += 1;
        if count > 1 {
            kind.invalid(
                errors,
                "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"",
            );
        }
        status.enumeration(errors, &["True"]);
    }
}

/// The first thing that is wrong with an issued certificate.
fn issued(status: &Cursor<'_, '_>, spec: &Value, errors: &mut FieldErrors) {
    let chain = status.get("certificateChain");
    if chain.text().len() > CHAIN {
        return errors.too_long(chain.path(), CHAIN);
    }
    let blocks = pem::blocks(chain.text());
    let Some(leaf) = blocks.first() else {
        return chain.invalid(errors, "issued certificate chain must contain at least one certificate");
    };
    if blocks.iter().any(|block| block.kind != "CERTIFICATE") {
        let text = "issued certificate chain must consist entirely of CERTIFICATE PEM blocks";
        return chain.invalid(errors, text);
    }
    let Ok((_, certificate)) = X509Certificate::from_der(&leaf.bytes) else {
        return chain.invalid(errors, "leaf certificate does not parse as valid X.509");
    };
    names(&chain, &certificate, errors);
    if !is_for(&certificate, spec) {
        return chain.invalid(errors, "leaf certificate was not issued to the requested public key");
    }
    if !times(status, &certificate, spec, errors) {
        return;
    }
    if blocks.iter().any(|block| X509Certificate::from_der(&block.bytes).is_err()) {
        chain.invalid(errors, "intermediate certificate does not parse as valid X.509");
    }
}

fn names(chain: &Cursor<'_, '_>, certificate: &X509Certificate<'_>, errors: &mut FieldErrors) {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return };
    for name in &names.value.general_names {
        let GeneralName::DNSName(name) = name else { continue };
        let shown = (*name).into();
        let shown = chain.with(&shown);
        if name.is_empty() {
            shown.invalid(errors, "leaf certificate should not contain empty DNSName");
        }
        if name.contains("..") {
            shown.invalid(errors, "leaf certificate's DNSName should not contain '..'");
        }
        if name.starts_with('.') || name.ends_with('.') {
            shown.invalid(errors, "leaf certificate's DNSName should not start or end with '.'");
        }
    }
}

fn is_for(certificate: &X509Certificate<'_>, spec: &Value) -> bool {
    let request = STANDARD.decode(spec["stubPKCS10Request"].as_str().unwrap_or("")).unwrap_or_default();
    let Ok((_, request)) = X509CertificationRequest::from_der(&request) else { return false };
    certificate.public_key().raw == request.certification_request_info.subject_pki.raw
}

/// Whether the times fit the certificate and what was asked for.
fn times(
    status: &Cursor<'_, '_>,
    certificate: &X509Certificate<'_>,
    spec: &Value,
    errors: &mut FieldErrors,
) -> bool {
    let known = errors.len();
    let consistent = "must be present and consistent with the issued certificate";
    let range = "must be present and in the range [notbefore+10min, notafter-10min]";
    for (field, text) in [("notBefore", consistent), ("notAfter", consistent), ("beginRefreshAt", range)] {
        let at = status.get(field);
        if at.is_empty() {
            at.required(errors, text);
        }
    }
    if errors.len() > known {
        return false;
    }
    let time = |field: &str| status.text_of(field).parse::<Timestamp>().unwrap_or_default();
    let (begin, end, refresh) = (time("notBefore"), time("notAfter"), time("beginRefreshAt"));
    let validity = certificate.validity();
    let (first, last) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let life = last.saturating_sub(first);
    let most = spec["maxExpirationSeconds"].as_i64().unwrap_or(0);
    let chain = status.get("certificateChain");
    let shown = format!("{life}s").into();
    let wrong = if begin.as_second() != first {
        Some((
            status.get("notBefore"),
            "must be set to the NotBefore time encoded in the leaf certificate".to_owned(),
        ))
    } else if end.as_second() != last {
        Some((
            status.get("notAfter"),
            "must be set to the NotAfter time encoded in the leaf certificate".to_owned(),
        ))
    } else if life < 3600 {
        Some((chain.with(&shown), "leaf certificate lifetime must be >= 1 hour".to_owned()))
    } else if life > most {
        let text = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})");
        Some((chain.with(&shown), text))
    } else if refresh < begin.saturating_add(MARGIN).unwrap_or(begin) {
        Some((status.get("beginRefreshAt"), "must be at least 10 minutes after status.notBefore".to_owned()))
    } else if refresh > end.saturating_sub(MARGIN).unwrap_or(end) {
        Some((status.get("beginRefreshAt"), "must be at least 10 minutes before status.notAfter".to_owned()))
    } else {
        None
    };
    if let Some((at, text)) = &wrong {
        at.invalid(errors, text);
    }
    wrong.is_none()
}
