//! Client certificates: the common name is the user, organisations are groups.
//!
//! The transport has verified the chain; the certificate is read once per connection, its end is looked at with every
//! request: connections outlive certificates.
//! Upstream: apiserver `pkg/authentication/request/x509/x509.go`.

use super::Authenticator;
use crate::api::{Caller, Request};
use futures::future::{BoxFuture, ready};
use jiff::Timestamp;
use proa_meta::{ApiError, ApiResult, User, identity::CREDENTIAL_ID};
use std::{fmt::Write as _, sync::Arc};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Authenticates by client certificate.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientCertificate;

impl Authenticator for ClientCertificate {
    fn authenticate<'a>(
        &'a self,
        request: &'a Request,
        now: Timestamp,
    ) -> BoxFuture<'a, ApiResult<Option<Arc<User>>>> {
        Box::pin(ready(match &request.caller {
            Caller::Network(peer) if !peer.certificates().is_empty() && peer.is_over(now) => {
                Err(ApiError::unauthorized())
            }
            Caller::Network(peer) => Ok(peer.user_or_read(read)),
            Caller::InProcess(_) => Ok(None),
        }))
    }
}

/// The user that a certificate (DER) stands for; none without a common name. Of several the last counts, as upstream.
fn read(der: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().last()?.as_str().ok().filter(|n| !n.is_empty())?;
    let groups: Vec<&str> = subject.iter_organization().filter_map(|o| o.as_str().ok()).collect();
    let mut user = User::new(name, &groups);
    user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={}", fingerprint(der))]);
    Some(user.authenticated())
}

/// The common name of a certificate (DER).
pub(crate) fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.subject().iter_common_name().last()?.as_str().ok()?.to_owned())
}

/// The last second of a chain (DER, leaf first) that was verified at the second `now`; long ago where the leaf cannot be
/// read.
///
/// It ends with the first of its certificates to end: the leaf, and what the client sent of those above it, found by the
/// names of issuers. Of several with one name any may have been the one that vouched, so the last of them to end counts.
/// What had ended by `now`, and authorities that vouch for themselves, did not vouch.
pub(crate) fn end(chain: &[impl AsRef<[u8]>], now: i64) -> i64 {
    let mut all = chain.iter().map(|der| X509Certificate::from_der(der.as_ref()).ok().map(|(_, read)| read));
    let Some(leaf) = all.next().flatten() else { return i64::MIN };
    let last_of = |certificate: &X509Certificate<'_>| certificate.validity().not_after.timestamp();
    let vouching = |c: &X509Certificate<'_>| last_of(c) >= now && c.subject().as_raw() != c.issuer().as_raw();
    let above: Vec<_> = all.flatten().filter(vouching).collect();
    let (mut end, mut issuer) = (last_of(&leaf), leaf.issuer());
    for _ in &above {
        let named = above.iter().filter(|c| c.subject().as_raw() == issuer.as_raw());
        let Some(next) = named.max_by_key(|c| last_of(c)) else { break };
        (end, issuer) = (end.min(last_of(next)), next.issuer());
    }
    end
}

fn fingerprint(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_has_ended() {
        assert_eq!(end(&[b"no certificate"], 0), i64::MIN);
    }
}
