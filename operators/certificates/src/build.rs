//! The certificate: what the request asks for, under the authority's rules. No I/O.
//!
//! Subject and public key are taken over byte by byte (`reissue`), whatever algorithm the key is of. Upstream:
//! `pkg/controller/certificates/authority/{authority,policies}.go`.

pub mod reissue;

use crate::plan::names;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use std::{net::IpAddr, time::Duration};
use x509_parser::{
    certification_request::X509CertificationRequest, extensions::GeneralName, pem::parse_x509_pem,
    prelude::FromDer,
};

/// Clocks of clients may be behind by this much.
const SKEW: Duration = Duration::from_mins(5);
/// Certificates that are valid shorter are not shortened by the skew.
const SHORT: Duration = Duration::from_hours(8);
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority cannot be read.
    #[error("the authority is not usable: {0}")]
    Authority(String),
    /// The authority has ended.
    #[error("the authority has ended")]
    Ended,
    /// The request cannot be signed.
    #[error("the request is not usable: {0}")]
    Request(String),
    /// A part of it cannot be encoded.
    #[error("the certificate cannot be made")]
    Encode(#[from] rcgen::Error),
}

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    not_after: Timestamp,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Authority {
    /// From its certificate and key.
    ///
    /// # Errors
    /// They are not PEM, or do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let refuse = |why: String| Error::Authority(why);
        let (_, block) = parse_x509_pem(certificate.as_bytes()).map_err(|error| refuse(error.to_string()))?;
        let parsed = block.parse_x509().map_err(|error| refuse(error.to_string()))?;
        let key = KeyPair::from_pem(key)?;
        if !parsed.is_ca() {
            return Err(refuse("the certificate is no authority".to_owned()));
        }
        if *parsed.public_key().raw != *rcgen::PublicKeyData::subject_public_key_info(&key) {
            return Err(refuse("certificate and key do not belong together".to_owned()));
        }
        let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp());
        let not_after = not_after.map_err(|error| refuse(error.to_string()))?;
        Ok(Self { issuer: Issuer::from_ca_cert_pem(certificate, key)?, not_after })
    }

    /// Signs a request (DER): the certificate as PEM.
    ///
    /// # Errors
    /// The authority has ended, or the request is not signed by its own key.
    pub fn sign(
        &self,
        request: &[u8],
        usages: &[Box<str>],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<String, Error> {
        if self.not_after <= now {
            return Err(Error::Ended);
        }
        let refuse = |error: String| Error::Request(error);
        let (_, request) =
            X509CertificationRequest::from_der(request).map_err(|error| refuse(error.to_string()))?;
        request
            .verify_signature()
            .map_err(|error| refuse(format!("unable to verify certificate request signature: {error}")))?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = names(&request).filter_map(name).collect();
        (params.key_usages, params.extended_key_usages) = purposes(usages);
        params.use_authority_key_identifier_extension = true;
        let mut no_authority = CustomExtension::from_oid_content(&BASIC_CONSTRAINTS, vec![0x30, 0]);
        no_authority.set_criticality(true);
        params.custom_extensions = vec![no_authority];
        params.serial_number = Some(SerialNumber::from(uuid::Uuid::new_v4().as_bytes().to_vec()));
        let (from, until) = self.validity(lifetime, now);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let since = |time: Timestamp| Duration::from_secs(u64::try_from(time.as_second()).unwrap_or(0));
        (params.not_before, params.not_after) = (epoch + since(from), epoch + since(until));
        let made = params.signed_by(self.issuer.key(), &self.issuer)?;
        let info = &request.certification_request_info;
        let (subject, key) = (info.subject.as_raw(), info.subject_pki.raw);
        let der = reissue::reissued(made.der(), subject, Some(key), self.issuer.key());
        der.map(|der| reissue::pem(&der)).ok_or_else(|| refuse("its subject does not fit".to_owned()))
    }

    fn validity(&self, lifetime: Duration, now: Timestamp) -> (Timestamp, Timestamp) {
        let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let begin = now - signed(SKEW);
        let end = if lifetime < SHORT { now } else { begin } + signed(lifetime);
        (begin, end.min(self.not_after))
    }
}

fn name(name: &GeneralName<'_>) -> Option<SanType> {
    match name {
        GeneralName::DNSName(name) => Some(SanType::DnsName((*name).try_into().ok()?)),
        GeneralName::RFC822Name(name) => Some(SanType::Rfc822Name((*name).try_into().ok()?)),
        GeneralName::URI(name) => Some(SanType::URI((*name).try_into().ok()?)),
        GeneralName::IPAddress(bytes) => address(bytes).map(SanType::IpAddress),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Usages as the two lists of a certificate. The API knows no other words.
fn purposes(usages: &[Box<str>]) -> (Vec<KeyUsagePurpose>, Vec<ExtendedKeyUsagePurpose>) {
    let (mut basic, mut extended) = (Vec::new(), Vec::new());
    for usage in usages {
        match &**usage {
            "signing" | "digital signature" => basic.push(KeyUsagePurpose::DigitalSignature),
            "content commitment" => basic.push(KeyUsagePurpose::ContentCommitment),
            "key encipherment" => basic.push(KeyUsagePurpose::KeyEncipherment),
            "key agreement" => basic.push(KeyUsagePurpose::KeyAgreement),
            "data encipherment" => basic.push(KeyUsagePurpose::DataEncipherment),
            "cert sign" => basic.push(KeyUsagePurpose::KeyCertSign),
            "crl sign" => basic.push(KeyUsagePurpose::CrlSign),
            "encipher only" => basic.push(KeyUsagePurpose::EncipherOnly),
            "decipher only" => basic.push(KeyUsagePurpose::DecipherOnly),
            "any" => extended.push(ExtendedKeyUsagePurpose::Any),
            "server auth" => extended.push(ExtendedKeyUsagePurpose::ServerAuth),
            "client auth" => extended.push(ExtendedKeyUsagePurpose::ClientAuth),
            "code signing" => extended.push(ExtendedKeyUsagePurpose::CodeSigning),
            "email protection" | "s/mime" => extended.push(ExtendedKeyUsagePurpose::EmailProtection),
            "timestamping" => extended.push(ExtendedKeyUsagePurpose::TimeStamping),
            "ocsp signing" => extended.push(ExtendedKeyUsagePurpose::OcspSigning),
            other => extended.extend(further(other)),
        }
    }
    basic.dedup();
    extended.dedup();
    (basic, extended)
}

fn further(usage: &str) -> Option<ExtendedKeyUsagePurpose> {
    let purpose = |last| Some(vec![1, 3, 6, 1, 5, 5, 7, 3, last]);
    let id = match usage {
        "ipsec end system" => purpose(5),
        "ipsec tunnel" => purpose(6),
        "ipsec user" => purpose(7),
        "microsoft sgc" => Some(vec![1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
        "netscape sgc" => Some(vec![2, 16, 840, 1, 113_730, 4, 1]),
        _ => None,
    };
    id.map(ExtendedKeyUsagePurpose::Other)
}

#[cfg(test)]
mod tests;
