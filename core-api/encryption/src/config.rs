//! An EncryptionConfiguration, read and checked.
//!
//! Upstream: apiserver `pkg/apis/apiserver/validation/validation_encryption.go`.

use crate::{
    ANY, Encryption, Rule,
    provider::{Method, Provider},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use proa_meta::{FieldErrors, FieldPath, GroupResource};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{fmt, sync::Arc};

/// What is wrong with a configuration.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Configuration {
    api_version: String,
    kind: String,
    #[serde(default)]
    resources: Vec<Resources>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<Providers>,
}

/// One of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Providers {
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<Identity>,
    kms: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

impl Encryption {
    /// Reads a configuration, YAML or JSON.
    ///
    /// # Errors
    /// Names the fields that are wrong.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let read = serde_saphyr::from_str::<Configuration>(text);
        let Configuration { api_version, kind, resources } =
            read.map_err(|why| ConfigError(why.to_string()))?;
        if kind != "EncryptionConfiguration" || api_version != "apiserver.config.k8s.io/v1" {
            return Err(ConfigError(format!(
                "it is of kind {kind:?} in version {api_version:?}, not EncryptionConfiguration in apiserver.config.k8s.io/v1"
            )));
        }
        let mut errors = FieldErrors::default();
        let root = FieldPath::root("resources");
        if resources.is_empty() {
            errors.required(&root, "at least one resources is required");
        }
        let mut encryption = Self::default();
        for (i, entry) in resources.iter().enumerate() {
            let at = root.index(i);
            let names = names(&entry.resources, &at.child("resources"), &mut errors);
            let providers = providers(&entry.providers, &at.child("providers"), &mut errors);
            encryption.add(&names, &providers, &at.child("resources"), &mut errors);
        }
        if errors.is_empty() { Ok(encryption) } else { Err(ConfigError(errors.summary())) }
    }

    /// Providers of a resource that came before are asked first.
    fn add(
        &mut self,
        names: &[GroupResource],
        providers: &[Arc<Provider>],
        at: &FieldPath<'_>,
        errors: &mut FieldErrors,
    ) {
        let before = self.0.len();
        for name in names {
            let masks = |rule: &&Rule| {
                let earlier = &rule.resource;
                earlier != name
                    && earlier.resource == ANY
                    && (earlier.group == name.group || earlier.group == ANY)
            };
            if let Some(rule) = self.0[..before].iter().find(masks) {
                let detail = format!("masked by earlier rule {:?}", written(&rule.resource));
                errors.invalid(at, &json!(written(name)), &detail);
            }
            match self.0.iter_mut().find(|rule| rule.resource == *name) {
                Some(rule) => rule.providers.extend_from_slice(providers),
                None => self.0.push(Rule { resource: name.clone(), providers: providers.to_vec() }),
            }
        }
    }
}

/// As the file has it.
fn written(name: &GroupResource) -> String {
    match (&*name.resource, &*name.group) {
        (ANY, group) => format!("{ANY}.{group}"),
        (resource, "") => resource.to_owned(),
        (resource, group) => format!("{resource}.{group}"),
    }
}

fn names(list: &[String], at: &FieldPath<'_>, errors: &mut FieldErrors) -> Vec<GroupResource> {
    if list.is_empty() {
        errors.required(at, &format!("at least one {at} is required"));
    }
    let parsed = |text: &String| {
        let (resource, group) = text.split_once('.').unwrap_or((text.as_str(), ""));
        GroupResource { group: group.to_owned().into(), resource: resource.to_owned().into() }
    };
    let all: Vec<GroupResource> = list.iter().map(parsed).collect();
    let each = &all[..];
    let pairs = || each.iter().enumerate().flat_map(move |(i, a)| each[i + 1..].iter().map(move |b| (a, b)));
    if pairs().any(|(a, b)| a == b) {
        errors.invalid(at, &json!(list), "the same resource cannot be specified multiple times");
    }
    let is_all = |name: &GroupResource| name.group == ANY && name.resource == ANY;
    let overlap = |a: &GroupResource, b: &GroupResource| {
        a != b && (is_all(a) || is_all(b) || (a.group == b.group && (a.resource == ANY || b.resource == ANY)))
    };
    if pairs().any(|(a, b)| overlap(a, b)) {
        let detail = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
        errors.invalid(at, &json!(list), detail);
    }
    for (i, (text, name)) in list.iter().zip(&all).enumerate() {
        if let Some(detail) = misnamed(text, name) {
            errors.invalid(&at.index(i), &json!(text), detail);
        }
    }
    all
}

fn misnamed(text: &str, name: &GroupResource) -> Option<&'static str> {
    const NOT_SERVED: [&str; 3] = ["apiserveripinfo", "serviceipallocations", "servicenodeportallocations"];
    if text.to_lowercase() != text {
        return Some("resource name should not contain capital letters");
    }
    if text == ANY {
        return Some(
            "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
        );
    }
    if NOT_SERVED.contains(&text) {
        return Some("resources which do not have REST API/s cannot be encrypted");
    }
    match &*name.group {
        "events.k8s.io" => Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file",
        ),
        "extensions" => Some("'extensions' group has been removed and cannot be used for encryption"),
        ANY if name.resource != ANY => Some("encrypting the same resource across groups is not supported"),
        _ => None,
    }
}

fn providers(list: &[Providers], at: &FieldPath<'_>, errors: &mut FieldErrors) -> Vec<Arc<Provider>> {
    if list.is_empty() {
        errors.required(at, &format!("at least one {at} is required"));
    }
    let mut all = Vec::new();
    for (i, one) in list.iter().enumerate() {
        let at = at.index(i);
        let Providers { aesgcm, aescbc, secretbox, identity, kms } = one;
        let keyed = [(Method::Aesgcm, aesgcm), (Method::Aescbc, aescbc), (Method::Secretbox, secretbox)];
        let named = keyed.iter().filter(|(_, keys)| keys.is_some()).count();
        match named + usize::from(identity.is_some()) + usize::from(kms.is_some()) {
            0 => errors.invalid(
                &at,
                &json!({}),
                "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
            ),
            1 => {}
            _ => errors.invalid_omitted(
                &at,
                "more than one provider specified in a single element, should split into different list elements",
            ),
        }
        if kms.is_some() {
            errors.forbidden(&at.child("kms"), "KMS providers are not supported by Proa");
        }
        if identity.is_some() {
            all.push(Arc::new(Provider::Identity));
        }
        for (method, keys) in keyed {
            let Some(Keys { keys }) = keys else { continue };
            let at = at.child(method.name());
            let at = at.child("keys");
            if keys.is_empty() {
                errors.required(&at, "at least one keys is required");
            }
            for (i, key) in keys.iter().enumerate() {
                all.extend(self::key(method, key, &at.index(i), errors).map(Arc::new));
            }
        }
    }
    all
}

fn key(method: Method, key: &Secret, at: &FieldPath<'_>, errors: &mut FieldErrors) -> Option<Provider> {
    if key.name.is_empty() {
        errors.required(&at.child("name"), "name is a mandatory field for a key");
    }
    let at = at.child("secret");
    if key.secret.is_empty() {
        errors.required(&at, "secret is a mandatory field for a key");
        return None;
    }
    let redacted = json!("REDACTED");
    let Ok(secret) = BASE64_STANDARD.decode(&key.secret) else {
        errors.invalid(&at, &redacted, "secrets must be base64 encoded");
        return None;
    };
    let lengths = method.key_lengths();
    if !lengths.contains(&secret.len()) {
        let expected: Vec<_> = lengths.iter().map(ToString::to_string).collect();
        let (length, expected) = (secret.len(), expected.join(" "));
        let detail =
            format!("secret is not of the expected length, got {length}, expected one of [{expected}]");
        errors.invalid(&at, &redacted, &detail);
        return None;
    }
    Some(Provider::key(method, &key.name, secret))
}
