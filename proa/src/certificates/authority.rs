//! Certificate authorities and what they issue.
//!
//! No I/O: PEM in, PEM out, time given. Every certificate has a P-256 key of its own.

use super::organizations;
use anyhow::{Context, Result, ensure};
use proa_operator_certificates::build::reissue;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData,
};
use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime},
};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    pem::parse_x509_pem,
};

/// Clocks of clients may be behind by this much.
const SKEW: Duration = Duration::from_mins(5);

/// What a certificate says.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    common_name: String,
    organizations: Vec<String>,
    /// Names and addresses; empty for clients.
    names: BTreeSet<String>,
    usage: ExtendedKeyUsagePurpose,
}

/// A certificate and its key, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    key_id: Vec<u8>,
    not_after: i64,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Profile {
    /// A server of these names and addresses.
    pub(super) fn serving(common_name: &str, names: BTreeSet<String>) -> Self {
        Self {
            common_name: common_name.to_owned(),
            organizations: Vec::new(),
            names,
            usage: ExtendedKeyUsagePurpose::ServerAuth,
        }
    }

    /// A user of these groups.
    pub(super) fn client(user: &str, groups: &[String]) -> Self {
        Self {
            common_name: user.to_owned(),
            organizations: groups.to_vec(),
            names: BTreeSet::new(),
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        }
    }

    fn params(&self, now: SystemTime, lifetime: Duration) -> Result<CertificateParams> {
        let names: Vec<_> = self.names.iter().cloned().collect();
        let mut params = CertificateParams::new(names)
            .context("a name of the certificate is neither a DNS name nor an address")?;
        params.distinguished_name = subject(&self.common_name, &self.organizations);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![self.usage.clone()];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, lifetime);
        Ok(params)
    }
}

fn subject(common_name: &str, organizations: &[String]) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    for organization in organizations {
        subject.push(DnType::OrganizationName, organization.as_str());
    }
    subject.push(DnType::CommonName, common_name);
    subject
}

fn set_validity(params: &mut CertificateParams, now: SystemTime, lifetime: Duration) {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SKEW);
    params.not_after = epoch + now + lifetime;
}

fn seconds(time: SystemTime) -> i64 {
    let past = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(past.as_secs()).unwrap_or(i64::MAX)
}

impl Authority {
    /// A new authority, and its key as PEM.
    pub(super) fn new(common_name: &str, now: SystemTime, lifetime: Duration) -> Result<(Self, String)> {
        let key = KeyPair::generate().context("make a key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(common_name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now, lifetime);
        let certificate = params.self_signed(&key).context("sign the authority's certificate")?;
        let key_text = key.serialize_pem();
        Ok((Self::from_pem(certificate.pem(), &key_text)?, key_text))
    }

    /// From its certificate and key.
    pub(super) fn from_pem(pem: String, key: &str) -> Result<Self> {
        let key = KeyPair::from_pem(key).context("the key is not usable")?;
        let (_, block) = parse_x509_pem(pem.as_bytes()).context("the certificate is not PEM")?;
        let certificate = block.parse_x509().context("the certificate is malformed")?;
        ensure!(certificate.is_ca(), "the certificate is no authority");
        ensure!(has_key(&certificate, &key), "certificate and key do not belong together");
        let key_id = subject_key_id(&certificate).context("the certificate has no key identifier")?;
        let not_after = certificate.validity().not_after.timestamp();
        let issuer = Issuer::from_ca_cert_pem(&pem, key).context("the certificate is malformed")?;
        Ok(Self { issuer, pem, key_id, not_after })
    }

    /// The certificate.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether it has ended at `time`.
    pub(super) fn ends_before(&self, time: SystemTime) -> bool {
        self.not_after < seconds(time)
    }

    /// A certificate with a new key. It does not outlive the authority.
    pub(super) fn issue(&self, profile: &Profile, now: SystemTime, lifetime: Duration) -> Result<Issued> {
        let left = u64::try_from(self.not_after.saturating_sub(seconds(now))).unwrap_or(0);
        let params = profile.params(now, lifetime.min(Duration::from_secs(left)))?;
        let key = KeyPair::generate().context("make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign the certificate")?;
        let (name, groups) = (&profile.common_name, &profile.organizations);
        let certificate = match groups.len() {
            0 | 1 => certificate.pem(),
            _ => reissue::pem(&organizations::with_subject(
                certificate.der(),
                name,
                groups,
                self.issuer.key(),
            )?),
        };
        Ok(Issued { certificate, key: key.serialize_pem() })
    }

    /// Whether a certificate is ours, says what it should, fits its key, and is still valid at `until`.
    pub(super) fn is_right(&self, issued: &Issued, profile: &Profile, until: SystemTime) -> bool {
        let Ok(key) = KeyPair::from_pem(&issued.key) else { return false };
        let Ok((_, block)) = parse_x509_pem(issued.certificate.as_bytes()) else { return false };
        let Ok(certificate) = block.parse_x509() else { return false };
        has_key(&certificate, &key)
            && authority_key_id(&certificate) == Some(&self.key_id)
            && certificate.validity().not_after.timestamp() >= seconds(until).min(self.not_after)
            && names_of(&certificate) == profile.names
            && is_for(&certificate, profile)
    }
}

fn has_key(certificate: &X509Certificate<'_>, key: &KeyPair) -> bool {
    *certificate.public_key().raw == *key.subject_public_key_info()
}

fn subject_key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

fn authority_key_id<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    })
}

/// Subject names, in the form in which profiles have them.
fn names_of(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return BTreeSet::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Whether subject and usage are the profile's.
fn is_for(certificate: &X509Certificate<'_>, profile: &Profile) -> bool {
    let subject = certificate.subject();
    let common_name = subject.iter_common_name().last().and_then(|name| name.as_str().ok());
    let organizations: Vec<_> = subject.iter_organization().filter_map(|name| name.as_str().ok()).collect();
    let usage = certificate.extended_key_usage().ok().flatten();
    let usable = usage.is_some_and(|usage| match profile.usage {
        ExtendedKeyUsagePurpose::ServerAuth => usage.value.server_auth,
        _ => usage.value.client_auth,
    });
    common_name == Some(&profile.common_name) && organizations == profile.organizations && usable
}
