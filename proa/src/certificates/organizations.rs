//! Subjects of users in several groups.
//!
//! A group is an organization of the subject, and rcgen's subjects have at most one. The certificate is made with one,
//! then its subject is replaced and the whole is signed again.

use anyhow::{Context, Result};
use proa_operator_certificates::build::reissue::{reissued, value};
use rcgen::SigningKey;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
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
    reissued(certificate, &subject(common_name, organizations), None, key).context("sign the certificate")
}

fn subject(common_name: &str, organizations: &[String]) -> Vec<u8> {
    let attribute = |kind: &[u8], text: &str| {
        let pair = [value(OBJECT_ID, kind), value(UTF8_STRING, text.as_bytes())].concat();
        value(SET, &value(SEQUENCE, &pair))
    };
    let names = organizations.iter().map(|name| attribute(&ORGANIZATION, name));
    value(SEQUENCE, &names.chain([attribute(&COMMON_NAME, common_name)]).collect::<Vec<_>>().concat())
}
