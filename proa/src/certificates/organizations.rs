//! Certificates of users in several groups.
//!
//! A group is an organization of the subject, and rcgen's subjects have at most one. The certificate is made with one,
//! then its subject is replaced and the whole is signed again. Owns the few lines of DER that this takes.

use anyhow::{Context, Result};
use rcgen::SigningKey;
use x509_parser::parse_x509_certificate;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const BIT_STRING: u8 = 0x03;
/// 2.5.4.3 and 2.5.4.10, encoded.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0a];

/// The certificate (DER) with another subject, signed by `key`, which must have signed it before.
pub(super) fn with_subject(
    certificate: &[u8],
    common_name: &str,
    organizations: &[String],
    key: &impl SigningKey,
) -> Result<Vec<u8>> {
    let (_, parsed) = parse_x509_certificate(certificate).context("the certificate is malformed")?;
    let signed = parsed.tbs_certificate.as_ref();
    let old = parsed.tbs_certificate.subject.as_raw();
    let at = position(signed, old).context("the certificate has no subject")?;
    let body = header_length(signed).context("the certificate is malformed")?;
    let subject = subject(common_name, organizations);
    let signed = value(SEQUENCE, &[&signed[body..at], &subject, &signed[at + old.len()..]].concat());
    let signature = key.sign(&signed).context("sign the certificate")?;
    // The algorithm stands between what is signed and the signature, and is the same as before.
    let algorithm = algorithm(certificate).context("the certificate has no algorithm")?;
    let signature = value(BIT_STRING, &[&[0][..], &signature].concat());
    Ok(value(SEQUENCE, &[&signed, algorithm, &signature].concat()))
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
fn value(tag: u8, body: &[u8]) -> Vec<u8> {
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

fn subject(common_name: &str, organizations: &[String]) -> Vec<u8> {
    let attribute = |kind: &[u8], text: &str| {
        let pair = [value(OBJECT_ID, kind), value(UTF8_STRING, text.as_bytes())].concat();
        value(SET, &value(SEQUENCE, &pair))
    };
    let names = organizations.iter().map(|name| attribute(&ORGANIZATION, name));
    value(SEQUENCE, &names.chain([attribute(&COMMON_NAME, common_name)]).collect::<Vec<_>>().concat())
}
