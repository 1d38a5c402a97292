//! A certificate with another subject and another key, signed anew.
//!
//! rcgen's subjects have at most one organization and its keys only the algorithms it can sign with. So a certificate is
//! made with what rcgen knows, then these two parts are replaced by bytes and the whole is signed again. Owns the few
//! lines of DER that this takes.

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::SigningKey;
use x509_parser::parse_x509_certificate;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The certificate (DER) with another subject and perhaps another public key, both DER, signed by `key`, which must have
/// signed it before. `None` when the certificate is malformed or cannot be signed.
pub fn reissued(
    certificate: &[u8],
    subject: &[u8],
    key_info: Option<&[u8]>,
    key: &impl SigningKey,
) -> Option<Vec<u8>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let signed = parsed.tbs_certificate.as_ref();
    let (old_subject, old_key) =
        (parsed.tbs_certificate.subject.as_raw(), parsed.tbs_certificate.subject_pki.raw);
    let (at, key_at) = (position(signed, old_subject)?, position(signed, old_key)?);
    let body = header_length(signed)?;
    // The key stands right behind the subject.
    let parts = [
        &signed[body..at],
        subject,
        &signed[at + old_subject.len()..key_at],
        key_info.unwrap_or(old_key),
        &signed[key_at + old_key.len()..],
    ];
    let signed = value(SEQUENCE, &parts.concat());
    let signature = key.sign(&signed).ok()?;
    // The algorithm stands between what is signed and the signature, and is the same as before.
    let algorithm = algorithm(certificate)?;
    let signature = value(BIT_STRING, &[&[0][..], &signature].concat());
    Some(value(SEQUENCE, &[&signed, algorithm, &signature].concat()))
}

/// Where `part`, a slice of `whole`, begins in it.
fn position(whole: &[u8], part: &[u8]) -> Option<usize> {
    let at = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (at + part.len() <= whole.len()).then_some(at)
}

/// Second element of the outer sequence.
fn algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let rest = certificate.get(header_length(certificate)?..)?;
    let rest = rest.get(length(rest)?..)?;
    rest.get(..length(rest)?)
}

/// Bytes of tag and length.
fn header_length(der: &[u8]) -> Option<usize> {
    let first = *der.get(1)?;
    Some(2 + if first < 0x80 { 0 } else { usize::from(first & 0x7f) })
}

/// Bytes of the whole element.
fn length(der: &[u8]) -> Option<usize> {
    let header = header_length(der)?;
    let body = if header == 2 {
        usize::from(*der.get(1)?)
    } else {
        der.get(2..header)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    };
    Some(header + body)
}

/// A DER element.
pub fn value(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match u8::try_from(body.len()) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            let bytes = body.len().to_be_bytes();
            let skip = bytes.iter().take_while(|byte| **byte == 0).count();
            let digits = &bytes[skip..];
            // A usize has at most eight bytes.
            der.push(0x80 | u8::try_from(digits.len()).unwrap_or(0));
            der.extend_from_slice(digits);
        }
    }
    der.extend_from_slice(body);
    der
}

/// A certificate as PEM.
pub fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, further) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = further;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
