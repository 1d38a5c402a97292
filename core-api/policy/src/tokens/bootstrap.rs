//! Bootstrap tokens: `ID.SECRET`, kept in Secrets of kube-system.
//!
//! Pure but for the lookup of one Secret by its name. A token that no valid Secret stands for is nobody's.
//! Upstream: `plugin/pkg/auth/authenticator/token/bootstrap`, cluster-bootstrap `token/api`, `util/secrets`.

use super::chain::{Known, Verify, for_the_server};
use crate::objects::{self, Meta};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::future::{BoxFuture, ready};
use jiff::Timestamp;
use proa_meta::User;
use proa_registry::Registry;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
/// Group of everybody with such a token; further ones stand below it.
const GROUP: &str = "system:bootstrappers";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;
/// Most characters of a further group, behind the common start.
const LONGEST_GROUP: usize = 256;

/// Knows bootstrap tokens.
pub struct BootstrapTokens {
    registry: Arc<Registry>,
    audiences: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SecretView {
    metadata: Meta,
    #[serde(rename = "type")]
    kind: String,
    data: BTreeMap<String, String>,
}

impl BootstrapTokens {
    /// Over the registry's published Secrets. `audiences` mean the API server.
    pub fn new(registry: Arc<Registry>, audiences: Vec<String>) -> Self {
        Self { registry, audiences }
    }

    fn user(&self, token: &str) -> Option<User> {
        let (id, secret) = parse(token)?;
        let name = format!("bootstrap-token-{id}");
        let kept: SecretView =
            objects::find(&self.registry, &objects::SECRETS, NAMESPACE, &name).ok().flatten()?;
        let user = user(&kept, id, secret, self.registry.now());
        user.inspect_err(|why| tracing::debug!(secret = %name, why, "bootstrap token refused")).ok()
    }
}

/// Id and secret of a token of this form.
fn parse(token: &str) -> Option<(&str, &str)> {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    let (id, secret) = token.split_once('.')?;
    let fits = id.len() == ID_LENGTH && secret.len() == SECRET_LENGTH && plain(id) && plain(secret);
    fits.then_some((id, secret))
}

/// The user that the Secret stands for, or why it does not.
fn user(kept: &SecretView, id: &str, secret: &str, now: Timestamp) -> Result<User, &'static str> {
    let data = |key: &str| {
        let bytes = kept.data.get(key).and_then(|text| BASE64_STANDARD.decode(text).ok());
        String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    };
    if kept.metadata.deletion_timestamp.is_some() {
        return Err("it is being deleted");
    }
    if kept.kind != TYPE {
        return Err("it has another type");
    }
    if !is_same(data("token-secret").as_bytes(), secret.as_bytes()) {
        return Err("token-secret differs");
    }
    if data("token-id") != id {
        return Err("token-id differs");
    }
    let ends = data("expiration");
    // What is no time has passed.
    if !ends.is_empty() && !ends.parse::<Timestamp>().is_ok_and(|ends| ends > now) {
        return Err("it has expired");
    }
    if data("usage-bootstrap-authentication") != "true" {
        return Err("usage-bootstrap-authentication is not true");
    }
    let mut groups = BTreeSet::from([GROUP.to_owned()]);
    for group in data("auth-extra-groups").split(',').filter(|_| !data("auth-extra-groups").is_empty()) {
        if !is_group(group) {
            return Err("auth-extra-groups names another sort of group");
        }
        groups.insert(group.to_owned());
    }
    let name = format!("system:bootstrap:{id}");
    Ok(User { name, groups: groups.into_iter().collect(), ..User::default() })
}

fn is_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix(':')) else { return false };
    let letter = |b: &u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    rest.len() <= LONGEST_GROUP
        && rest.bytes().all(|b| letter(&b) || b == b':' || b == b'-')
        && rest.as_bytes().last().is_some_and(letter)
}

/// Compares without telling by the time it takes how much is right.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

impl Verify for BootstrapTokens {
    fn verify<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Known> {
        let user = self.user(token);
        Box::pin(ready(Ok(user.and_then(|user| for_the_server(user, &self.audiences, audiences)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_one_form() {
        assert_eq!(parse("abc123.0123456789abcdef"), Some(("abc123", "0123456789abcdef")));
        for other in
            ["abc12.0123456789abcdef", "Abc123.0123456789abcdef", "abc123.0123456789abcde", "a.b.c", ""]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn secrets_are_checked_as_upstream() {
        let valid = [
            ("token-id", "abc123"),
            ("token-secret", "0123456789abcdef"),
            ("expiration", "2030-01-01T00:00:00Z"),
            ("usage-bootstrap-authentication", "true"),
            ("auth-extra-groups", "system:bootstrappers:workers,system:bootstrappers:a-b:c"),
        ];
        let found = |key: &str, value: &str| {
            let changed = valid.iter().map(|(k, v)| (*k, if *k == key { value } else { *v }));
            let data = changed.map(|(k, v)| (k.to_owned(), BASE64_STANDARD.encode(v))).collect();
            let kept = SecretView { kind: TYPE.to_owned(), data, ..SecretView::default() };
            user(&kept, "abc123", "0123456789abcdef", "2029-01-01T00:00:00Z".parse().unwrap())
        };
        let user = found("", "").unwrap();
        assert_eq!(user.name, "system:bootstrap:abc123");
        assert_eq!(
            user.groups,
            ["system:bootstrappers", "system:bootstrappers:a-b:c", "system:bootstrappers:workers"]
        );
        assert_eq!(found("auth-extra-groups", "").unwrap().groups, [GROUP]);
        assert!(found("expiration", "").is_ok());
        for (key, value) in [
            ("token-id", "abc124"),
            ("token-secret", "0123456789abcdee"),
            ("expiration", "2028-12-31T23:59:59Z"),
            ("expiration", "tomorrow"),
            ("usage-bootstrap-authentication", "yes"),
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappers:a-"),
        ] {
            assert!(found(key, value).is_err(), "{key}: {value}");
        }
    }
}
