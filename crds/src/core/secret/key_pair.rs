//! Whether the key of a TLS secret belongs to its certificate.
//!
//! Texts are those of Go's `tls.X509KeyPair`, which upstream warns with. Keys that `rustls` cannot use, such as short
//! RSA keys, are taken to match: they may be meant for others.

use proa_meta::pem;
use rustls::{crypto::ring::sign::any_supported_type, pki_types::PrivateKeyDer, sign::SigningKey};
use std::sync::Arc;
use x509_parser::{
    asn1_rs::Sequence,
    prelude::{FromDer as _, X509Certificate},
    x509::SubjectPublicKeyInfo,
};

/// What is wrong with the pair, each in PEM.
pub(super) fn problem(certificate: &[u8], key: &[u8]) -> Option<String> {
    let (certificate, key) = match (certificate_block(certificate), key_block(key)) {
        (Err(problem), _) | (Ok(_), Err(problem)) => return Some(problem),
        (Ok(certificate), Ok(key)) => (certificate, key),
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&certificate) else {
        return Some("x509: malformed certificate".to_owned());
    };
    match signing_key(&key) {
        Some(key) => mismatch(certificate.public_key(), &*key),
        None if Sequence::from_der(&key).is_ok() => None,
        None => Some("tls: failed to parse private key".to_owned()),
    }
}

fn certificate_block(text: &[u8]) -> Result<Vec<u8>, String> {
    first(text, |kind| kind == "CERTIFICATE").map_err(|skipped| match skipped.as_slice() {
        [] => "tls: failed to find any PEM data in certificate input".to_owned(),
        [one] if one.ends_with("PRIVATE KEY") => "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned(),
        all => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]",
            all.join(" ")
        ),
    })
}

fn key_block(text: &[u8]) -> Result<Vec<u8>, String> {
    let is_key = |kind: &str| kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY");
    first(text, is_key).map_err(|skipped| match skipped.as_slice() {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [one] if one == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        all => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
            all.join(" ")
        ),
    })
}

/// The content of the first block that fits; else the kinds of all.
fn first(text: &[u8], fits: impl Fn(&str) -> bool) -> Result<Vec<u8>, Vec<String>> {
    let text = String::from_utf8_lossy(text);
    let mut blocks = pem::blocks(&text);
    match blocks.iter().position(|block| fits(block.kind)) {
        Some(at) => Ok(blocks.swap_remove(at).bytes),
        None => Err(blocks.into_iter().map(|block| block.kind.to_owned()).collect()),
    }
}

fn signing_key(der: &[u8]) -> Option<Arc<dyn SigningKey>> {
    any_supported_type(&PrivateKeyDer::try_from(der).ok()?).ok()
}

fn mismatch(certificate: &SubjectPublicKeyInfo<'_>, key: &dyn SigningKey) -> Option<String> {
    let own = key.public_key()?;
    let (_, own) = SubjectPublicKeyInfo::from_der(&own).ok()?;
    let problem = match own.algorithm.algorithm == certificate.algorithm.algorithm {
        false => "tls: private key type does not match public key type",
        true if own.subject_public_key != certificate.subject_public_key => {
            "tls: private key does not match public key"
        }
        true => return None,
    };
    Some(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_its_certificate() {
        let pair = |algorithm| {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        let (certificate, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (_, other) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (_, another) = pair(&rcgen::PKCS_ED25519);
        for (key, why) in [
            (key, None),
            (other, Some("tls: private key does not match public key")),
            (another, Some("tls: private key type does not match public key type")),
        ] {
            assert_eq!(problem(certificate.as_bytes(), key.as_bytes()).as_deref(), why);
        }
    }

    #[test]
    fn input_that_is_no_pair() {
        let certificate = pem::encode("CERTIFICATE", &[0]);
        let key = pem::encode("PRIVATE KEY", &[0]);
        for (certificate, key, problem_of_it) in [
            ("", key.as_str(), "tls: failed to find any PEM data in certificate input"),
            (
                &key,
                &certificate,
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
            ),
            (&certificate, "x", "tls: failed to find any PEM data in key input"),
            (
                &certificate,
                &certificate,
                "tls: found a certificate rather than a key in the PEM for the private key",
            ),
            (&certificate, &key, "x509: malformed certificate"),
        ] {
            assert_eq!(problem(certificate.as_bytes(), key.as_bytes()).as_deref(), Some(problem_of_it));
        }
    }
}
