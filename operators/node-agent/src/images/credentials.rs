//! Credentials of registries, from a pod's image pull secrets.
//!
//! Upstream: pkg/credentialprovider/{keyring,config}.go, secrets/secrets.go.

use crate::{act::tell::Teller, sources::Sources};
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::{Pod, Secret};
use proa_runtime_shim::RegistryAuth;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Registry of names that name none.
const DEFAULT_REGISTRY: &str = "index.docker.io";

/// What a pod's secrets say, in their order.
#[derive(Debug, Default)]
pub(super) struct Credentials(Vec<(String, RegistryAuth)>);

/// One entry of a Docker configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    #[serde(rename = "identitytoken")]
    identity_token: String,
    #[serde(rename = "registrytoken")]
    registry_token: String,
}

type Entries = BTreeMap<String, Entry>;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Configuration {
    auths: Entries,
}

impl Credentials {
    /// Reads the secrets that the pod names. One that is not there is told about, not an error.
    pub(super) async fn of(pod: &Pod, namespace: &str, sources: &Sources, teller: &Teller) -> Self {
        let mut all = Self::default();
        let named = pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
        for name in named.map(|reference| reference.name.as_str()).filter(|name| !name.is_empty()) {
            match sources.secret(namespace, name).await {
                Ok(Some(secret)) => all.add(&secret),
                Ok(None) | Err(_) => teller.warn_pod(
                    "FailedToRetrieveImagePullSecret",
                    &format!(
                        "Unable to retrieve some image pull secrets ({name}); attempting to pull the image may not succeed."
                    ),
                ),
            }
        }
        all
    }
    fn add(&mut self, secret: &Secret) {
        let value =
            |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
        let entries = match (value(".dockerconfigjson"), value(".dockercfg")) {
            (Some(json), _) => serde_json::from_slice::<Configuration>(json).map(|found| found.auths),
            (None, Some(json)) => serde_json::from_slice::<Entries>(json),
            (None, None) => return,
        };
        for (registry, entry) in entries.unwrap_or_default() {
            self.0.push((registry, entry.into()));
        }
        // A longer match is a better one.
        self.0.sort_by_key(|(registry, _)| std::cmp::Reverse(bare(registry).len()));
    }
    /// The credentials of an image's registry, the most specific first.
    pub(super) fn matching(&self, reference: &str) -> Vec<RegistryAuth> {
        let (host, path) = location(reference);
        let fits = |registry: &str| {
            let (own_host, own_path) = split(bare(registry));
            let own_host = if own_host == "docker.io" { DEFAULT_REGISTRY } else { own_host };
            matches_host(own_host, host) && path.starts_with(own_path)
        };
        self.0.iter().filter(|(registry, _)| fits(registry)).map(|(_, auth)| auth.clone()).collect()
    }
}

impl From<Entry> for RegistryAuth {
    fn from(entry: Entry) -> Self {
        let Entry { mut username, mut password, auth, identity_token, registry_token } = entry;
        let decoded = STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((user, secret)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
            (username, password) = (user.to_owned(), secret.to_owned());
        }
        Self { username, password, identity_token, registry_token }
    }
}

/// A key of a configuration without scheme and API version.
fn bare(registry: &str) -> &str {
    let rest =
        registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
    let rest = rest.trim_end_matches('/');
    rest.strip_suffix("/v1").or_else(|| rest.strip_suffix("/v2")).unwrap_or(rest)
}

fn split(location: &str) -> (&str, &str) {
    location.split_once('/').unwrap_or((location, ""))
}

/// Registry and path of an image.
fn location(reference: &str) -> (&str, &str) {
    match reference.split_once('/') {
        Some((host, path)) if super::is_host(host) => {
            (if host == "docker.io" { DEFAULT_REGISTRY } else { host }, path)
        }
        _ => (DEFAULT_REGISTRY, reference),
    }
}

/// Whether a pattern's parts, each possibly with `*`, match a host's.
fn matches_host(pattern: &str, host: &str) -> bool {
    let (pattern, pattern_port) = pattern.split_once(':').unwrap_or((pattern, ""));
    let (host, port) = host.split_once(':').unwrap_or((host, ""));
    let (wanted, found): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    (pattern_port.is_empty() || pattern_port == port)
        && wanted.len() == found.len()
        && wanted.iter().zip(&found).all(|(wanted, found)| matches_part(wanted, found))
}

fn matches_part(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => {
            text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn credentials(json: &str) -> Credentials {
        let data = BTreeMap::from([(".dockerconfigjson".to_owned(), ByteString(json.as_bytes().to_vec()))]);
        let mut all = Credentials::default();
        all.add(&Secret { data: Some(data), ..Secret::default() });
        all
    }

    #[test]
    fn the_registry_of_an_image_picks_its_credentials() {
        let auth = STANDARD.encode("joe:pass:word");
        let all = credentials(&format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{auth}"}},
                "*.example.com": {{"username": "wild", "password": "x"}},
                "a.example.com/team": {{"username": "team", "password": "x"}},
                "local:5000": {{"username": "port", "password": "x"}}
            }}}}"#
        ));
        let users = |image: &str| -> Vec<String> {
            all.matching(image).into_iter().map(|auth| auth.username).collect()
        };
        assert_eq!(users("app:1"), ["joe"]);
        assert_eq!(all.matching("library/app")[0].password, "pass:word");
        assert_eq!(users("docker.io/library/app"), ["joe"]);
        assert_eq!(users("a.example.com/team/app"), ["team", "wild"]);
        assert_eq!(users("a.example.com/other"), ["wild"]);
        assert_eq!(users("local:5000/app"), ["port"]);
        assert!(users("other.org/app").is_empty());
    }
}
