//! certificates.k8s.io/v1 CertificateSigningRequest, with `/status` and `/approval`.
//!
//! Who asks and when conditions changed is noted by admission, which knows user and time.
//! Upstream: `pkg/registry/certificates/certificates/strategy.go`, `pkg/apis/certificates/validation/validation.go`.

use super::{certificates_problem, signer_name};
use crate::{
    cursor::Cursor,
    facts,
    fill::{items, keep, same, set, sub},
    pod_spec::update::differences,
    table,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names, pem};
use proa_registry::kind::{Column, KindDef, PartDef, Selectable, Strategy};
use proa_schema::apply::Reset;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use x509_parser::{
    prelude::{FromDer as _, X509CertificationRequest},
    public_key::PublicKey,
};

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const LEGACY: &str = "kubernetes.io/legacy-unknown";
const APPROVAL: [&str; 2] = ["Approved", "Denied"];

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("certificates.k8s.io", "v1", "CertificateSigningRequest");
    let schema = facts::schema("io.k8s.api.certificates.v1.CertificateSigningRequest");
    let columns = [
        Column::name(),
        Column::age(),
        Column::text("SignerName"),
        Column::text("Requestor"),
        Column::text("RequestedDuration"),
        Column::text("Condition"),
    ];
    KindDef::cluster(gvk, "certificatesigningrequests", schema)
        .short(&["csr"])
        .with_status()
        .with_part(PartDef {
            name: "approval",
            keep: |new, old| {
                let conditions = sub(new, "status")["conditions"].take();
                keep(new, old, "spec");
                keep(new, old, "status");
                if !conditions.is_null() {
                    set(sub(new, "status"), "conditions", conditions);
                }
            },
            validate: |new, old, errors| change(new, old, errors, Path::Approval),
            owned: Reset::Exclude(&[&["spec"], &["status", "certificate"]]),
        })
        .selectable(&[Selectable::new("spec.signerName")])
        .with_table(&columns, row)
        .with_strategy(Strategy {
            prepare_create: |object| set(object, "status", json!({})),
            prepare_update: |new, old| keep(new, old, "spec"),
            prepare_status,
            validate,
            validate_status: |new, old, errors| {
                validate(new, errors);
                change(new, old, errors, Path::Status);
            },
            name: names::name_is_path_segment,
            resets: |path| match path {
                "" => Some(Reset::Exclude(&[&["spec"], &["status"]])),
                "status" => Some(Reset::Exclude(&[&["spec"], &["status", "conditions"]])),
                _ => None,
            },
            ..Strategy::default()
        })
}

/// Approvals are not changed on the way of the status; a change shows as an error only if their number differs.
fn prepare_status(new: &mut Value, old: &Value) {
    for kind in APPROVAL {
        let before: Vec<Value> = of_kind(old, kind).cloned().collect();
        let now = items(sub(new, "status"), "conditions").filter(|condition| condition["type"] == kind);
        let now: Vec<&mut Value> = now.collect();
        if now.len() == before.len() {
            now.into_iter().zip(before).for_each(|(now, before)| *now = before);
        }
    }
}

fn of_kind<'a>(object: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.filter(move |condition| condition["type"] == kind)
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let request = spec.get("request");
    if let Some(why) = request_problem(request.text()) {
        errors.invalid(request.path(), request.value(), &why);
    }
    let usages = spec.get("usages");
    usages.must_be_set(errors);
    usages.items().for_each(|usage| {
        usage.enumeration(errors, &USAGES);
    });
    let mut seen = BTreeSet::new();
    for usage in usages.items() {
        if !seen.insert(usage.text()) {
            usage.duplicate(errors);
        }
    }
    let signer = spec.get("signerName");
    if signer.text() == LEGACY {
        signer.invalid(errors, "the legacy signerName is not allowed via this API version");
    } else {
        signer_name(&signer, errors);
    }
    let expiration = spec.get("expirationSeconds");
    if expiration.opt_int().is_some_and(|seconds| seconds < 600) {
        let text = "may not specify a duration less than 600 seconds (10 minutes)";
        expiration.invalid(errors, text);
    }
    let status = root.get("status");
    conditions(&status.get("conditions"), errors);
}

/// What is wrong with a request: base64 of PEM of a signed PKCS#10 request.
fn request_problem(request: &str) -> Option<String> {
    let text = STANDARD.decode(request).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.unwrap_or_default();
    let blocks = pem::blocks(&text);
    let Some(block) = blocks.first().filter(|block| block.kind == "CERTIFICATE REQUEST") else {
        return Some("PEM block type must be CERTIFICATE REQUEST".to_owned());
    };
    match X509CertificationRequest::from_der(&block.bytes) {
        Err(_) => Some("x509: malformed certificate request".to_owned()),
        Ok((_, request)) => {
            let key = &request.certification_request_info.subject_pki;
            request.verify_signature().err().map(|_| match key.parsed() {
                Ok(PublicKey::RSA(_)) => "crypto/rsa: verification error".to_owned(),
                Ok(PublicKey::EC(_)) => "x509: ECDSA verification failure".to_owned(),
                _ => "x509: Ed25519 verification failure".to_owned(),
            })
        }
    }
}

fn conditions(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for condition in list.items() {
        let (kind, status) = (condition.get("type"), condition.get("status"));
        kind.must_be_set(errors);
        let is_final = APPROVAL.contains(&kind.text()) || kind.text() == "Failed";
        status.one_of(errors, if is_final { &["True"] } else { &["False", "True", "Unknown"] });
        if !seen.insert(kind.text()) {
            kind.duplicate(errors);
        }
    }
    let decided = APPROVAL.map(|decision| {
        let found = list.list().iter().any(|condition| condition["type"] == decision);
        found.then(|| format!("conditions[{{\"type\": \"{decision}\"}}]"))
    });
    if let [Some(approved), Some(denied)] = decided {
        let text = format!("must specify at most one of: `{approved}`, `{denied}`");
        list.with(&format!("{{{approved}, {denied}}}").into()).invalid(errors, &text);
    }
}

/// On which way a request changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Status,
    Approval,
}

fn change(new: &Value, old: &Value, errors: &mut FieldErrors, path: Path) {
    let root = Cursor::root(new);
    let status = root.get("status");
    let conditions = status.get("conditions");
    for kind in ["Approved", "Denied", "Failed"] {
        if of_kind(new, kind).count() < of_kind(old, kind).count() {
            conditions.forbidden(errors, &format!("updates may not remove a condition of type {kind:?}"));
        }
    }
    if path != Path::Approval {
        for kind in APPROVAL {
            let (now, before): (Value, Value) =
                (of_kind(new, kind).cloned().collect(), of_kind(old, kind).cloned().collect());
            let count = |list: &Value| list.as_array().map_or(0, Vec::len);
            if count(&now) > count(&before) {
                conditions.forbidden(errors, &format!("updates may not add a condition of type {kind:?}"));
            } else if count(&now) == count(&before) && !same(&now, &before) {
                let difference = differences(&before, &now);
                let text = format!("updates may not modify a condition of type {kind:?}\n{difference}");
                conditions.forbidden(errors, &text);
            }
        }
    }
    let (certificate, before) = (status.get("certificate"), &old["status"]["certificate"]);
    if same(certificate.value(), before) {
        return;
    }
    let text = STANDARD.decode(certificate.text()).unwrap_or_default();
    if let Some(why) = certificates_problem(&String::from_utf8_lossy(&text)) {
        certificate.with(&"<certificate data>".into()).invalid(errors, &why);
    }
    if path != Path::Status {
        certificate.forbidden(errors, "updates may not set certificate content");
    } else if before.as_str().is_some_and(|before| !before.is_empty()) {
        certificate.forbidden(errors, "updates may not modify existing certificate content");
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let duration = spec["expirationSeconds"].as_i64().map(proa_schema::table::human_duration);
    vec![
        table::name(object),
        table::age(object, now),
        table::text_or(&spec["signerName"], "<none>"),
        table::text_or(&spec["username"], ""),
        duration.unwrap_or_else(|| "<none>".to_owned()).into(),
        state(object).into(),
    ]
}

fn state(object: &Value) -> String {
    let has = |kind: &str| of_kind(object, kind).next().is_some();
    let mut text = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    }
    .to_owned();
    if has("Failed") {
        text.push_str(",Failed");
    }
    if object["status"]["certificate"].as_str().is_some_and(|certificate| !certificate.is_empty()) {
        text.push_str(",Issued");
    }
    text
}
