//! Client certificates: the common name is the user, organisations are groups.
//!
//! The transport has verified the chain; the certificate is read once per connection.
//! Upstream: apiserver `pkg/authentication/request/x509/x509.go`.

use super::{Authenticator, authenticated};
use crate::api::{Caller, Request};
use futures::future::{BoxFuture, ready};
use proa_meta::{ApiResult, User};
use std::{fmt::Write as _, sync::Arc};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Extra attribute that names the credential.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Authenticates by client certificate.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientCertificate;

impl Authenticator for ClientCertificate {
    fn authenticate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, ApiResult<Option<Arc<User>>>> {
        let user = match &request.caller {
            Caller::Network(peer) => peer.user_or_read(read),
            Caller::InProcess(_) => None,
        };
        Box::pin(ready(Ok(user)))
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
    Some(authenticated(user))
}

/// The common name of a certificate (DER).
pub(crate) fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.subject().iter_common_name().last()?.as_str().ok()?.to_owned())
}

fn fingerprint(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
