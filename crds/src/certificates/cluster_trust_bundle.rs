//! certificates.k8s.io/v1 ClusterTrustBundle.
//!
//! Upstream: `pkg/registry/certificates/clustertrustbundle/strategy.go`,
//! `ValidateClusterTrustBundle`, `ValidateClusterTrustBundleName`.

use super::signer_name;
use crate::{
    cursor::{Cursor, IMMUTABLE},
    facts, table,
};
use proa_meta::{FieldErrors, Gvk, names, pem};
use proa_registry::kind::{Column, KindDef, Selectable, Strategy};
use serde_json::Value;
use std::collections::BTreeMap;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const LARGEST: usize = 1 << 20;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("certificates.k8s.io", "v1", "ClusterTrustBundle");
    let schema = facts::schema("io.k8s.api.certificates.v1.ClusterTrustBundle");
    KindDef::cluster(gvk, "clustertrustbundles", schema)
        .selectable(&[Selectable::new("spec.signerName")])
        .with_table(&[Column::name(), Column::text("SignerName")], |object, _| {
            vec![table::name(object), table::text_or(&object["spec"]["signerName"], "<none>")]
        })
        .with_strategy(Strategy {
            validate,
            validate_create: |object, errors| {
                let root = Cursor::root(object);
                anchors(&root.get("spec").get("trustBundle"), errors);
            },
            validate_update: |new, old, errors| {
                let (new, old) = (Cursor::root(new), Cursor::root(old));
                let (new, old) = (new.get("spec"), old.get("spec"));
                if new.text_of("trustBundle") != old.text_of("trustBundle") {
                    anchors(&new.get("trustBundle"), errors);
                }
                if new.text_of("signerName") != old.text_of("signerName") {
                    new.get("signerName").invalid(errors, IMMUTABLE);
                }
            },
            // The rule depends on the signer: see `validate`.
            name: |_, _| Vec::new(),
            unconditional_update: false,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (metadata, spec) = (root.get("metadata"), root.get("spec"));
    let signer = spec.get("signerName");
    for (field, is_prefix) in [("generateName", true), ("name", false)] {
        let name = metadata.get(field);
        if !name.is_empty() {
            name.invalid_each(errors, &name_problems(signer.text(), name.text(), is_prefix));
        }
    }
    if !signer.is_empty() {
        signer_name(&signer, errors);
    }
}

/// What is wrong with the name of a bundle of a signer, or of none.
pub(crate) fn name_problems(signer: &str, name: &str, is_prefix: bool) -> Vec<String> {
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
        }
        return names::name_is_dns_subdomain(name, is_prefix);
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        Some(rest) => names::name_is_dns_subdomain(rest, is_prefix),
        None => {
            vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")]
        }
    }
}

/// Certificates of authorities, each once.
fn anchors(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if at.text().len() > LARGEST {
        return errors.too_long(at.path(), LARGEST);
    }
    let omitted = "<value omitted>".into();
    let shown = at.with(&omitted);
    let mut seen: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    let known = errors.len();
    for (index, block) in pem::blocks(at.text()).into_iter().enumerate() {
        match problem(&block) {
            Some(why) => shown.invalid(errors, &format!("entry {index} {why}")),
            None => seen.entry(block.bytes).or_default().push(index.to_string()),
        }
    }
    if errors.len() > known {
        return;
    }
    if seen.is_empty() {
        shown.invalid(errors, "at least one trust anchor must be provided");
    }
    for indices in seen.into_values().filter(|indices| indices.len() > 1) {
        shown.invalid(errors, &format!("duplicate trust anchor (indices [{}])", indices.join(" ")));
    }
}

fn problem(block: &pem::Block<'_>) -> Option<String> {
    if block.kind != "CERTIFICATE" {
        return Some(format!("has bad block type: {}", block.kind));
    }
    if block.has_headers {
        return Some("has PEM block headers".to_owned());
    }
    let Ok((_, certificate)) = X509Certificate::from_der(&block.bytes) else {
        return Some("does not parse as X.509".to_owned());
    };
    match certificate.basic_constraints() {
        Ok(Some(constraints)) if constraints.value.ca => None,
        Ok(_) => Some("does not have the CA bit set".to_owned()),
        Err(_) => Some("has invalid basic constraints".to_owned()),
    }
}
