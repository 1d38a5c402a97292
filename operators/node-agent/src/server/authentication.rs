//! Who is asking: the holder of a client certificate, or of a token that the API vouches for.
//!
//! Upstream: `cmd/kubelet/app/auth.go`, with anonymous access off.

use super::cache::Cache;
use http::{HeaderMap, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use proa_meta::User;
use ring::digest;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long an accepted token is believed (`authentication.webhook.cacheTTL`).
const ACCEPTED: Duration = Duration::from_secs(120);
/// How long a refused one is refused without asking.
const REFUSED: Duration = Duration::from_secs(10);

/// Finds out who is asking.
pub(super) struct Authenticator {
    reviews: Api<TokenReview>,
    /// By the token's digest, so that tokens do not lie around.
    known: Cache<Vec<u8>, Option<User>>,
}

impl Authenticator {
    pub(super) fn new(client: Client) -> Self {
        Self { reviews: Api::all(client), known: Cache::new() }
    }

    /// The user, or none: then the client gets no answer but 401.
    pub(super) async fn identify(&self, headers: &HeaderMap, holder: Option<User>) -> Option<User> {
        match holder {
            Some(user) => Some(user),
            None => self.review(bearer_token(headers)?).await,
        }
    }

    async fn review(&self, token: &str) -> Option<User> {
        let key = digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec();
        if let Some(known) = self.known.get(&key) {
            return known;
        }
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
            status: None,
        };
        match self.reviews.create(&PostParams::default(), &review).await {
            Ok(review) => {
                let user = reviewed_user(review.status.unwrap_or_default());
                self.known.put(key, user.clone(), if user.is_some() { ACCEPTED } else { REFUSED });
                user
            }
            Err(error) => {
                tracing::warn!(%error, "cannot have a token reviewed");
                None
            }
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn reviewed_user(status: TokenReviewStatus) -> Option<User> {
    let info = status.user.filter(|_| status.authenticated == Some(true))?;
    Some(User {
        name: info.username.unwrap_or_default(),
        uid: info.uid.unwrap_or_default(),
        groups: info.groups.unwrap_or_default(),
        extra: info.extra.unwrap_or_default(),
    })
}

/// The user that a verified client certificate names: common name and organizations.
pub(super) fn certificate_user(certificate: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().last()?.as_str().ok()?.to_owned();
    let mut groups: Vec<_> =
        subject.iter_organization().filter_map(|o| o.as_str().ok().map(str::to_owned)).collect();
    groups.push(proa_meta::identity::AUTHENTICATED.to_owned());
    Some(User { name, groups, ..User::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;

    #[test]
    fn only_bearer_tokens_count() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer_token(&headers).map(str::to_owned)
        };
        assert_eq!(with("bearer abc").as_deref(), Some("abc"));
        assert_eq!(with("Basic abc"), None);
        assert_eq!(with("Bearer "), None);
        assert_eq!(bearer_token(&HeaderMap::new()), None);
    }

    #[test]
    fn a_user_counts_only_when_the_token_does() {
        let user = UserInfo { username: Some("eve".to_owned()), ..UserInfo::default() };
        let status = |authenticated| TokenReviewStatus {
            authenticated,
            user: Some(user.clone()),
            ..TokenReviewStatus::default()
        };
        assert_eq!(reviewed_user(status(Some(true))).unwrap().name, "eve");
        assert_eq!(reviewed_user(status(Some(false))), None);
        assert_eq!(reviewed_user(status(None)), None);
    }
}
