//! Kinds of the group `certificates.k8s.io`, `v1`.

pub(crate) mod certificate_signing_request;
pub(crate) mod cluster_trust_bundle;
pub(crate) mod pod_certificate_request;

use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names, pem};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Longest domain of a signer's name.
const DOMAIN: usize = 253;
/// Longest name: domain, slash, and a path that fits a label and a subdomain.
const SIGNER: usize = DOMAIN + 1 + 253 + 63 + 1;

/// The name of who signs, such as `example.com/signer`.
pub(crate) fn signer_name(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let name = at.text();
    if !at.must_be_set(errors) {
        return;
    }
    let parts: Vec<&str> = name.split('/').collect();
    let [domain, path] = parts[..] else {
        let text = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return at.invalid(errors, text);
    };
    if domain.len() > DOMAIN {
        errors.too_long(at.path(), DOMAIN);
    }
    labels(at, domain, names::is_dns1123_label, errors);
    if !domain.contains('.') {
        let text = "should be a domain with at least two segments separated by dots";
        at.with(&domain.into()).invalid(errors, text);
    }
    labels(at, path, names::is_dns1123_subdomain, errors);
    if name.len() > SIGNER {
        errors.too_long(at.path(), SIGNER);
    }
}

/// The first part between dots that does not pass says why.
fn labels(at: &Cursor<'_, '_>, text: &str, check: fn(&str) -> Vec<String>, errors: &mut FieldErrors) {
    let wrong = text.split('.').map(|label| (label, check(label))).find(|(_, why)| !why.is_empty());
    for why in wrong.iter().flat_map(|(_, why)| why) {
        let label = wrong.as_ref().map_or("", |(label, _)| label);
        at.with(&text.into()).invalid(errors, &format!("validating label {label:?}: {why}"));
    }
}

/// What is wrong with certificates in PEM, if anything; none at all is fine.
fn certificates_problem(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let blocks = pem::blocks(text);
    for block in &blocks {
        if block.kind != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.kind));
        }
        if block.has_headers {
            return Some("no PEM block headers are permitted".to_owned());
        }
        if block.bytes.is_empty() {
            return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        if X509Certificate::from_der(&block.bytes).is_err() {
            return Some("x509: malformed certificate".to_owned());
        }
    }
    blocks.is_empty().then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}
