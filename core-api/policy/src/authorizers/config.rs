//! `AuthorizationConfiguration`: which authorizers are asked, in which order.
//!
//! Pure but for kubeconfig files, which `read` reads: a text becomes a chain, or everything that is wrong with it, by
//! field. Upstream: apiserver `pkg/apis/apiserver/validation`, kubernetes `pkg/kubeapiserver/authorizer`.

use super::webhook::{Conditions, WebhookSettings};
use crate::jwt::config::read;
use proa_meta::{FieldErrors, FieldPath, names};
use proa_registry::webhook::WebhookClient;
use proa_schema::cel::parse_duration;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const MOST_CONDITIONS: usize = 64;
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Types that a configuration may name.
const CONFIGURED: [&str; 3] = ["Node", "RBAC", "Webhook"];

/// One authorizer of a chain.
#[derive(Clone, Debug)]
pub enum Mode {
    /// What nodes may do.
    Node,
    /// Roles and their bindings.
    Rbac,
    /// Somebody else's.
    Webhook(Box<WebhookSettings>),
    /// Everybody may do everything.
    AlwaysAllow,
    /// Nobody may do anything.
    AlwaysDeny,
}

/// Reads the kubeconfig at a path.
pub type ReadKubeconfig<'a> = &'a dyn Fn(&str) -> Result<WebhookClient, String>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Configuration {
    authorizers: Vec<One>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct One {
    r#type: String,
    name: String,
    webhook: Option<Webhook>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Webhook {
    #[serde(rename = "authorizedTTL")]
    authorized_ttl: String,
    cache_authorized_requests: Option<bool>,
    #[serde(rename = "unauthorizedTTL")]
    unauthorized_ttl: String,
    cache_unauthorized_requests: Option<bool>,
    timeout: String,
    subject_access_review_version: String,
    match_condition_subject_access_review_version: String,
    failure_policy: String,
    connection_info: Connection,
    match_conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Connection {
    r#type: String,
    kube_config_file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Condition {
    expression: String,
}

/// The chain of a configuration, JSON or YAML.
///
/// # Errors
/// Everything that is wrong, by field.
pub fn parse(text: &str, read_kubeconfig: ReadKubeconfig<'_>) -> Result<Vec<Mode>, String> {
    let config: Configuration = read(text, "AuthorizationConfiguration", &["v1", "v1beta1", "v1alpha1"])?;
    let mut errors = FieldErrors::default();
    let root = FieldPath::root("authorizers");
    if config.authorizers.is_empty() {
        errors.required(&root, "at least one authorization mode must be defined");
    }
    let (mut types, mut seen, mut modes) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (i, one) in config.authorizers.iter().enumerate() {
        let path = root.index(i);
        let kind = one.r#type.as_str();
        if kind.is_empty() {
            errors.required(&path.child("type"), "");
            continue;
        }
        if !CONFIGURED.contains(&kind) {
            errors.not_supported(&path.child("type"), &json!(kind), &CONFIGURED);
            continue;
        }
        if !types.insert(kind) && kind != "Webhook" {
            errors.duplicate(&path.child("type"), &json!(kind));
            continue;
        }
        check_name(&one.name, &seen, &path.child("name"), &mut errors);
        seen.insert(&one.name);
        match (kind, &one.webhook) {
            ("Webhook", None) => errors.required(&path.child("webhook"), "required when type=Webhook"),
            ("Webhook", Some(webhook)) => {
                let made = settings(webhook, &one.name, read_kubeconfig, &path, &mut errors);
                modes.extend(made.map(|made| Mode::Webhook(Box::new(made))));
            }
            (_, Some(_)) => {
                let why = "may only be specified when type=Webhook";
                errors.invalid(&path.child("webhook"), &json!("non-null"), why);
            }
            ("Node", None) => modes.push(Mode::Node),
            (_, None) => modes.push(Mode::Rbac),
        }
    }
    if errors.is_empty() { Ok(modes) } else { Err(errors.summary()) }
}

fn check_name(name: &str, seen: &BTreeSet<&String>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if name.is_empty() {
        errors.required(path, "");
    } else if seen.iter().any(|other| *other == name) {
        errors.duplicate(path, &json!(name));
    } else {
        let problems = names::is_dns1123_subdomain(name);
        if !problems.is_empty() {
            let why = format!("authorizer name is invalid: {}", problems.join(", "));
            errors.invalid(path, &json!(name), &why);
        }
    }
}

/// None: what is wrong has been told.
fn settings(
    webhook: &Webhook,
    name: &str,
    read_kubeconfig: ReadKubeconfig<'_>,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> Option<WebhookSettings> {
    let timeout = duration(&webhook.timeout, &path.child("timeout"), errors);
    if timeout.is_some_and(|timeout| timeout > LONGEST_TIMEOUT) {
        let why = "must be > 0s and <= 30s";
        errors.invalid(&path.child("timeout"), &json!(webhook.timeout), why);
    }
    let authorized = duration(&webhook.authorized_ttl, &path.child("authorizedTTL"), errors);
    let unauthorized = duration(&webhook.unauthorized_ttl, &path.child("unauthorizedTTL"), errors);
    one_of(
        &webhook.subject_access_review_version,
        &["v1", "v1beta1"],
        &path.child("subjectAccessReviewVersion"),
        errors,
    );
    let of_conditions = path.child("matchConditionSubjectAccessReviewVersion");
    match webhook.match_condition_subject_access_review_version.as_str() {
        "" if webhook.match_conditions.is_empty() => {}
        "" => errors.required(&of_conditions, "required if match conditions are specified"),
        version => one_of(version, &["v1"], &of_conditions, errors),
    }
    one_of(&webhook.failure_policy, &["NoOpinion", "Deny"], &path.child("failurePolicy"), errors);
    let client = client(&webhook.connection_info, read_kubeconfig, &path.child("connectionInfo"), errors);
    let texts: Vec<&str> = webhook.match_conditions.iter().map(|one| one.expression.as_str()).collect();
    let conditions = path.child("matchConditions");
    if texts.len() > MOST_CONDITIONS {
        errors.too_many(&conditions, texts.len(), MOST_CONDITIONS);
        return None;
    }
    let conditions = Conditions::compile(&texts, &conditions, errors);
    let kept = |wanted: Option<bool>, lifetime: Duration| {
        if wanted.unwrap_or(true) { lifetime } else { Duration::ZERO }
    };
    Some(WebhookSettings {
        name: name.to_owned(),
        client: client?,
        version: webhook.subject_access_review_version.clone(),
        timeout: timeout?,
        authorized: kept(webhook.cache_authorized_requests, authorized?),
        unauthorized: kept(webhook.cache_unauthorized_requests, unauthorized?),
        denies_on_failure: webhook.failure_policy == "Deny",
        conditions,
    })
}

fn client(
    connection: &Connection,
    read_kubeconfig: ReadKubeconfig<'_>,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> Option<WebhookClient> {
    let at = path.child("kubeConfigFile");
    match (connection.r#type.as_str(), connection.kube_config_file.as_deref().unwrap_or_default()) {
        ("", _) => errors.required(&path.child("type"), ""),
        ("KubeConfigFile", "") => errors.required(&at, ""),
        ("KubeConfigFile", file) if !file.starts_with('/') => {
            errors.invalid(&at, &json!(file), "must be an absolute path");
        }
        ("KubeConfigFile", file) => match read_kubeconfig(file) {
            Ok(client) => return Some(client),
            Err(why) => errors.invalid(&at, &json!(file), &format!("error loading file: {why}")),
        },
        ("InClusterConfig", _) => {
            let why = "the server's own configuration is not supported here: name a kubeConfigFile";
            errors.invalid(&path.child("type"), &json!("InClusterConfig"), why);
        }
        (other, _) => {
            errors.not_supported(&path.child("type"), &json!(other), &["InClusterConfig", "KubeConfigFile"]);
        }
    }
    None
}

fn one_of(found: &str, known: &[&str], path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if found.is_empty() {
        errors.required(path, "");
    } else if !known.contains(&found) {
        errors.not_supported(path, &Value::from(found), known);
    }
}

fn duration(text: &str, path: &FieldPath<'_>, errors: &mut FieldErrors) -> Option<Duration> {
    if text.is_empty() {
        errors.required(path, "");
        return None;
    }
    match parse_duration(text).map(u64::try_from) {
        Some(Ok(0)) => errors.required(path, ""),
        Some(Ok(nanoseconds)) => return Some(Duration::from_nanos(nanoseconds)),
        Some(Err(_)) => errors.invalid(path, &json!(text), "must be > 0s"),
        None => errors.invalid(path, &json!(text), "must be a duration such as 30s or 5m"),
    }
    None
}
