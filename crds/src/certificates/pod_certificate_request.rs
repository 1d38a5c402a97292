//! certificates.k8s.io/v1 PodCertificateRequest, with `/status`.
//!
//! That a certificate begins now, and who may sign, is the matter of admission, which knows time and user.
//! Upstream: `pkg/registry/certificates/podcertificaterequest/strategy.go`, `ValidatePodCertificateRequest*`.

mod status;

use super::signer_name;
use crate::{
    cursor::Cursor,
    facts,
    fill::{absent, keep, sub},
    selector, table,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use proa_meta::{
    FieldErrors, Gvk,
    field::{FieldError, Problem},
    names,
};
use proa_registry::kind::{Column, KindDef, Selectable, Strategy};
use serde_json::Value;
use x509_parser::{
    certification_request::X509CertificationRequest, prelude::FromDer as _, public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

/// Longest uid.
const UID: usize = 128;
/// Largest request.
const REQUEST: usize = 10 << 10;
/// Shortest life of a certificate that may be asked for.
const SHORTEST: i64 = 3600;
/// Most bytes of annotations.
const ANNOTATIONS: usize = 256 << 10;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("certificates.k8s.io", "v1", "PodCertificateRequest");
    let schema = facts::schema("io.k8s.api.certificates.v1.PodCertificateRequest");
    let columns = [
        Column::name(),
        Column::text("PodName"),
        Column::text("ServiceAccountName"),
        Column::text("NodeName"),
        Column::text("SignerName"),
        Column::text("State"),
        Column::text("UnverifiedUserAnnotations"),
    ];
    KindDef::namespaced(gvk, "podcertificaterequests", schema)
        .with_status()
        .selectable(&["spec.signerName", "spec.podName", "spec.nodeName"].map(Selectable::new))
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default: |object| absent(sub(object, "spec"), "maxExpirationSeconds", 86_400),
            prepare_status: |new, old| {
                for field in ["labels", "annotations"] {
                    keep(sub(new, "metadata"), &old["metadata"], field);
                }
            },
            validate_create: validate,
            validate_update: |new, old, errors| {
                Cursor::root(new).get("spec").immutable(&Cursor::root(old).get("spec"), errors);
            },
            validate_status: status::validate,
            unconditional_update: false,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    signer_name(&spec.get("signerName"), errors);
    annotations(&spec.get("unverifiedUserAnnotations"), errors);
    for (name, uid) in
        [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")]
    {
        spec.get(name).named(errors, names::is_dns1123_subdomain);
        let uid = spec.get(uid);
        if uid.is_empty() {
            uid.invalid(errors, "must not be empty");
        }
        if uid.text().len() > UID {
            errors.too_long(uid.path(), UID);
        }
    }
    let life = spec.get("maxExpirationSeconds");
    let Some(seconds) = life.opt_int() else { return life.required(errors, "must be set") };
    let longest = longest_life(spec.text_of("signerName"));
    if !(SHORTEST..=longest).contains(&seconds) {
        life.invalid(errors, &format!("must be in the range [{SHORTEST}, {longest}]"));
    }
    let proof = spec.get("stubPKCS10Request");
    if proof.is_empty() {
        let text = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set";
        return without_value(&spec, text, errors);
    }
    request(&proof, errors);
}

/// A day for Kubernetes' own signers, else 91 days.
pub(crate) fn longest_life(signer: &str) -> i64 {
    let domain = signer.split('/').next().unwrap_or("");
    if domain == "kubernetes.io" || domain.ends_with(".kubernetes.io") { 86_400 } else { 91 * 86_400 }
}

fn annotations(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut bytes = 0;
    for (key, value) in at.value().as_object().into_iter().flatten() {
        names::validate_domain_prefixed_key(&key.to_lowercase(), at.path(), errors);
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS {
        errors.too_long(at.path(), ANNOTATIONS);
    }
}

/// A PKCS#10 request that its key signed; what it says besides the key does not matter.
fn request(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const RSA: &str = "RSA keys must have modulus size 3072 or 4096";
    const CURVE: &str = "elliptic public keys must use curve P256, P384, or P521";
    const UNKNOWN: &str = "unknown public key type; supported types are Ed25519, ECDSA, and RSA";
    /// OID of Ed25519 keys, which the parser does not know by name.
    const ED25519: &str = "1.3.101.112";
    let der = STANDARD.decode(at.text()).unwrap_or_default();
    if der.len() > REQUEST {
        return errors.too_long(at.path(), REQUEST);
    }
    let Some(request) = X509CertificationRequest::from_der(&der)
        .ok()
        .filter(|(rest, _)| rest.is_empty())
        .map(|(_, request)| request)
    else {
        return without_value(at, "must be a valid PKCS#10 CSR", errors);
    };
    let key = &request.certification_request_info.subject_pki;
    let is_ed25519 = key.algorithm.algorithm.to_id_string() == ED25519;
    match key.parsed() {
        _ if is_ed25519 => {}
        Ok(PublicKey::RSA(key)) if !matches!(key.key_size(), 3072 | 4096) => {
            return at.with(&format!("{}-bit modulus", key.key_size()).into()).invalid(errors, RSA);
        }
        Ok(PublicKey::EC(_)) if let Some(curve) = odd_curve(key) => {
            return at.with(&format!("curve {curve}").into()).invalid(errors, CURVE);
        }
        Ok(PublicKey::RSA(_) | PublicKey::EC(_)) => {}
        _ => return without_value(at, UNKNOWN, errors),
    }
    if request.verify_signature().is_err() {
        without_value(at, "invalid signature", errors);
    }
}

/// The name of a curve that is known and not taken.
fn odd_curve(key: &SubjectPublicKeyInfo<'_>) -> Option<&'static str> {
    const P224: &str = "1.3.132.0.33";
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    (curve.to_id_string() == P224).then_some("P-224")
}

/// An error that does not show the value.
fn without_value(at: &Cursor<'_, '_>, why: &str, errors: &mut FieldErrors) {
    let (field, body) = (at.path().to_string(), format!("Invalid value: {why}"));
    errors.push(FieldError { problem: Problem::Invalid, field, body });
}

fn row(object: &Value, _: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let mut states = conditions.filter_map(|condition| condition["type"].as_str());
    let state = states.rfind(|kind| status::FINAL.contains(kind)).unwrap_or("Pending");
    vec![
        table::name(object),
        table::text_or(&spec["podName"], ""),
        table::text_or(&spec["serviceAccountName"], ""),
        table::text_or(&spec["nodeName"], ""),
        table::text_or(&spec["signerName"], ""),
        state.into(),
        selector::label_text(&spec["unverifiedUserAnnotations"]).into(),
    ]
}
