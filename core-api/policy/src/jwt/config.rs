//! `AuthenticationConfiguration`: which issuers are trusted, and who need not say who they are.
//!
//! Pure: a text becomes issuers, or everything that is wrong with it, by field.
//! Upstream: apiserver `pkg/apis/apiserver/{v1,validation}`.

use super::{
    Algorithm, Issuer, https,
    mapping::{Mapping, Rule, Source},
};
use crate::remember::Remembered;
use arc_swap::ArcSwapOption;
use proa_meta::{FieldErrors, FieldPath, names, pem};
use proa_registry::webhook::WebhookClient;
use proa_schema::cel::{Environment, Kind, Program, Type, object_type};
use regex::Regex;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};
use tokio::sync::{Notify, watch};
use x509_parser::prelude::{FromDer, X509Certificate};

const GROUP: &str = "apiserver.config.k8s.io";
const MOST_ISSUERS: usize = 64;
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// A configuration as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AuthenticationConfiguration {
    /// The issuers.
    pub jwt: Vec<JwtAuthenticator>,
    /// Who need not say who they are.
    pub anonymous: Option<AnonymousConfiguration>,
}

/// Who need not say who they are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AnonymousConfiguration {
    /// Whether there is anybody.
    pub enabled: bool,
    /// Paths that they may ask for; none: all.
    pub conditions: Vec<AnonymousCondition>,
}

/// A path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnonymousCondition {
    /// The whole of it.
    pub path: String,
}

/// One issuer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JwtAuthenticator {
    /// Who it is.
    pub issuer: IssuerConfiguration,
    /// Which tokens count.
    pub claim_validation_rules: Vec<ClaimValidationRule>,
    /// What they say.
    pub claim_mappings: ClaimMappings,
    /// Which users count.
    pub user_validation_rules: Vec<UserValidationRule>,
}

/// Who an issuer is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct IssuerConfiguration {
    /// As its tokens name it.
    pub url: String,
    /// Where it publishes what it is, if not below its name.
    #[serde(rename = "discoveryURL")]
    pub discovery_url: String,
    /// PEM of who signs its certificate; empty: those that this machine trusts.
    pub certificate_authority: String,
    /// For whom its tokens are.
    pub audiences: Vec<String>,
    /// Only `MatchAny` is known.
    pub audience_match_policy: String,
    /// Refused: there are no egress selectors.
    pub egress_selector_type: String,
}

/// A claim with its value, or an expression.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClaimValidationRule {
    /// Name of the claim.
    pub claim: String,
    /// Its value.
    pub required_value: String,
    /// Or a condition.
    pub expression: String,
    /// Why the condition does not hold.
    pub message: String,
}

/// What tokens say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimMappings {
    /// The user's name.
    pub username: PrefixedClaimOrExpression,
    /// The user's groups.
    pub groups: PrefixedClaimOrExpression,
    /// The user's uid.
    pub uid: ClaimOrExpression,
    /// Further attributes.
    pub extra: Vec<ExtraMapping>,
}

/// A claim with something before it, or an expression.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrefixedClaimOrExpression {
    /// Name of the claim.
    pub claim: String,
    /// What goes before it.
    pub prefix: Option<String>,
    /// Or an expression.
    pub expression: String,
}

/// A claim, or an expression.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimOrExpression {
    /// Name of the claim.
    pub claim: String,
    /// Or an expression.
    pub expression: String,
}

/// A further attribute.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtraMapping {
    /// Its name.
    pub key: String,
    /// Its values.
    pub value_expression: String,
}

/// A condition on users.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserValidationRule {
    /// The condition.
    pub expression: String,
    /// Why it does not hold.
    pub message: String,
}

/// Reads a document of `apiserver.config.k8s.io`; unknown and repeated fields are refused.
///
/// # Errors
/// What is wrong.
pub(crate) fn read<T: DeserializeOwned>(text: &str, kind: &str, versions: &[&str]) -> Result<T, String> {
    let parsed = proa_schema::json::parse_yaml(text.as_bytes()).map_err(|error| error.to_string())?;
    if !parsed.issues.is_empty() {
        return Err(proa_schema::json::strict_text(&parsed.issues));
    }
    let field = |name: &str| parsed.value[name].as_str().unwrap_or_default();
    let known = versions.iter().any(|version| field("apiVersion") == format!("{GROUP}/{version}"));
    if !known || field("kind") != kind {
        return Err(format!(
            "expected {GROUP}/{} {kind}, got {} {}",
            versions.join(" or "),
            field("apiVersion"),
            field("kind")
        ));
    }
    let mut value = parsed.value;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| name != "apiVersion" && name != "kind");
    }
    serde_json::from_value(value).map_err(|error| format!("strict decoding error: {error}"))
}

impl AuthenticationConfiguration {
    /// Reads a configuration, JSON or YAML.
    ///
    /// # Errors
    /// It is none, or has unknown fields.
    pub fn parse(text: &str) -> Result<Self, String> {
        read(text, "AuthenticationConfiguration", &["v1", "v1beta1", "v1alpha1"])
    }

    /// The issuers. `own` are the issuers of this server's own tokens, and the audiences that mean it.
    ///
    /// # Errors
    /// Everything that is wrong, by field.
    pub fn issuers(&self, own: &[String], algorithms: &[Algorithm]) -> Result<Vec<Arc<Issuer>>, String> {
        let mut errors = FieldErrors::default();
        let root = FieldPath::root("jwt");
        if self.jwt.len() > MOST_ISSUERS {
            errors.too_many(&root, self.jwt.len(), MOST_ISSUERS);
            return Err(errors.summary());
        }
        let (mut urls, mut discoveries) = (BTreeSet::new(), BTreeSet::new());
        let mut issuers = Vec::new();
        for (i, one) in self.jwt.iter().enumerate() {
            let path = root.index(i);
            validate_issuer(&one.issuer, own, &path.child("issuer"), &mut errors);
            let mapping = mapping(one, &path, &mut errors);
            let issuer = path.child("issuer");
            if !urls.insert(&one.issuer.url) {
                errors.duplicate(&issuer.child("url"), &json!(one.issuer.url));
            }
            if !one.issuer.discovery_url.is_empty() && !discoveries.insert(&one.issuer.discovery_url) {
                errors.duplicate(&issuer.child("discoveryURL"), &json!(one.issuer.discovery_url));
            }
            if let Some(made) = mapping.and_then(|mapping| issuer_of(&one.issuer, mapping, own, algorithms)) {
                issuers.push(Arc::new(made));
            }
        }
        if let Some(anonymous) = self.anonymous.as_ref().filter(|a| !a.enabled && !a.conditions.is_empty()) {
            let paths: Vec<&str> = anonymous.conditions.iter().map(|one| one.path.as_str()).collect();
            let root = FieldPath::root("anonymous");
            let why = "enabled should be set to true when conditions are defined";
            errors.invalid(&root.child("conditions"), &json!(paths), why);
        }
        if errors.is_empty() { Ok(issuers) } else { Err(errors.summary()) }
    }
}

/// None: what is wrong has been told.
fn issuer_of(
    issuer: &IssuerConfiguration,
    mapping: Mapping,
    own: &[String],
    algorithms: &[Algorithm],
) -> Option<Issuer> {
    let discovery = match issuer.discovery_url.as_str() {
        "" => format!("{}{DISCOVERY_PATH}", issuer.url.trim_end_matches('/')),
        other => other.to_owned(),
    };
    let ca_bundle = issuer.certificate_authority.clone().into();
    Some(Issuer {
        url: issuer.url.clone(),
        discovery: WebhookClient { place: https(&discovery)?, ca_bundle, access: None },
        audiences: issuer.audiences.clone(),
        algorithms: algorithms.to_vec(),
        mapping,
        own_audiences: own.to_vec(),
        keys: ArcSwapOption::empty(),
        wanted: Notify::new(),
        fetched: watch::Sender::new(0),
        known: Remembered::default(),
    })
}

fn validate_issuer(
    issuer: &IssuerConfiguration,
    own: &[String],
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) {
    if issuer.url.is_empty() {
        errors.required(&path.child("url"), "");
    } else {
        if own.contains(&issuer.url) {
            let why = format!("URL must not overlap with disallowed issuers: [{}]", own.join(" "));
            errors.invalid(&path.child("url"), &json!(issuer.url), &why);
        }
        validate_url(&issuer.url, &path.child("url"), errors);
    }
    let discovery = path.child("discoveryURL");
    if !issuer.discovery_url.is_empty() {
        if issuer.url.trim_end_matches('/') == issuer.discovery_url.trim_end_matches('/') {
            errors.invalid(
                &discovery,
                &json!(issuer.discovery_url),
                "discoveryURL must be different from URL",
            );
        }
        validate_url(&issuer.discovery_url, &discovery, errors);
    }
    let audiences = path.child("audiences");
    if issuer.audiences.is_empty() {
        errors.required(&audiences, &format!("at least one {audiences} is required"));
    }
    for (i, audience) in issuer.audiences.iter().enumerate() {
        if audience.is_empty() {
            errors.required(&audiences.index(i), "");
        }
        if issuer.audiences[..i].contains(audience) {
            errors.duplicate(&audiences.index(i), &json!(audience));
        }
    }
    let policy = &issuer.audience_match_policy;
    let wrong = match issuer.audiences.len() {
        0 => None,
        1 => (!matches!(policy.as_str(), "" | "MatchAny"))
            .then_some("audienceMatchPolicy must be empty or MatchAny for single audience"),
        _ => (policy != "MatchAny").then_some("audienceMatchPolicy must be MatchAny for multiple audiences"),
    };
    if let Some(why) = wrong {
        errors.invalid(&path.child("audienceMatchPolicy"), &json!(policy), why);
    }
    let bundle = &issuer.certificate_authority;
    let is_certificate = |block: pem::Block<'_>| {
        block.kind == "CERTIFICATE" && X509Certificate::from_der(&block.bytes).is_ok()
    };
    if !bundle.is_empty() && !pem::blocks(bundle).into_iter().any(is_certificate) {
        let why = "data does not contain any valid RSA or ECDSA certificates";
        errors.invalid(&path.child("certificateAuthority"), &json!("<omitted>"), why);
    }
    if !issuer.egress_selector_type.is_empty() {
        let why = "egress selectors are not supported";
        errors.invalid(&path.child("egressSelectorType"), &json!(issuer.egress_selector_type), why);
    }
}

fn validate_url(url: &str, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let mut wrong = |why: &str| errors.invalid(path, &json!(url), why);
    if https(url).is_none() {
        wrong("URL scheme must be https");
    }
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        wrong("URL must not contain a username or password");
    }
    if url.split('#').next().is_some_and(|url| url.contains('?')) {
        wrong("URL must not contain a query");
    }
    if url.contains('#') {
        wrong("URL must not contain a fragment");
    }
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        wrong("invalid character in URL");
    }
}

/// What tokens of an issuer say; none when that is not clear, which has been told.
fn mapping(one: &JwtAuthenticator, path: &FieldPath<'_>, errors: &mut FieldErrors) -> Option<Mapping> {
    let (mut required, mut claim_rules) = (BTreeMap::new(), Vec::new());
    let rules = path.child("claimValidationRules");
    for (i, rule) in one.claim_validation_rules.iter().enumerate() {
        let path = rules.index(i);
        match (rule.claim.is_empty(), rule.expression.is_empty()) {
            (false, false) => {
                errors.invalid(&path, &json!(rule.claim), "claim and expression can't both be set");
            }
            (true, true) => errors.required(&path, "claim or expression is required"),
            (false, true) => {
                if !rule.message.is_empty() {
                    let why = "may not be specified when claim is set";
                    errors.invalid(&path.child("message"), &json!(rule.message), why);
                }
                if required.insert(rule.claim.clone(), rule.required_value.clone()).is_some() {
                    errors.duplicate(&path.child("claim"), &json!(rule.claim));
                }
            }
            (true, false) => {
                if !rule.required_value.is_empty() {
                    let why = "may not be specified when expression is set";
                    errors.invalid(&path.child("requiredValue"), &json!(rule.required_value), why);
                }
                condition(&CLAIMS, &rule.expression, &rule.message, &path, &mut claim_rules, errors);
            }
        }
    }
    let mut user_rules = Vec::new();
    let mappings = path.child("claimMappings");
    let username = prefixed(&one.claim_mappings.username, true, &mappings.child("username"), errors);
    let groups = prefixed(&one.claim_mappings.groups, false, &mappings.child("groups"), errors);
    let uid = uid(&one.claim_mappings.uid, &mappings.child("uid"), errors);
    let extra = extra(&one.claim_mappings.extra, &mappings.child("extra"), errors);
    check_email(one, &mappings, errors);
    let rules = path.child("userValidationRules");
    for (i, rule) in one.user_validation_rules.iter().enumerate() {
        let path = rules.index(i);
        if rule.expression.is_empty() {
            errors.required(&path.child("expression"), "");
        } else {
            condition(&USER, &rule.expression, &rule.message, &path, &mut user_rules, errors);
        }
    }
    Some(Mapping { username: username?, groups, uid, extra, required, claim_rules, user_rules })
}

fn prefixed(
    mapping: &PrefixedClaimOrExpression,
    is_required: bool,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> Option<Source> {
    let PrefixedClaimOrExpression { claim, prefix, expression } = mapping;
    match (claim.is_empty(), expression.is_empty()) {
        (false, false) => {
            errors.invalid(path, &json!(""), "claim and expression can't both be set");
            None
        }
        (true, true) => {
            if is_required {
                errors.required(path, "claim or expression is required");
            }
            None
        }
        (true, false) => {
            if let Some(prefix) = prefix {
                let why = "may not be specified when expression is set";
                errors.invalid(&path.child("prefix"), &json!(prefix), why);
            }
            compile(&CLAIMS, expression, None, &path.child("expression"), errors).map(Source::Expression)
        }
        (false, true) => {
            if prefix.is_none() {
                const WHY: &str = "prefix is required when claim is set. It can be set to an empty string to disable \
                                   prefixing";
                errors.required(&path.child("prefix"), WHY);
            }
            Some(Source::Claim { name: claim.clone(), prefix: prefix.clone().unwrap_or_default() })
        }
    }
}

fn uid(mapping: &ClaimOrExpression, path: &FieldPath<'_>, errors: &mut FieldErrors) -> Option<Source> {
    match (mapping.claim.is_empty(), mapping.expression.is_empty()) {
        (false, false) => {
            errors.invalid(path, &json!(""), "claim and expression can't both be set");
            None
        }
        (true, true) => None,
        (false, true) => Some(Source::Claim { name: mapping.claim.clone(), prefix: String::new() }),
        (true, false) => compile(&CLAIMS, &mapping.expression, None, &path.child("expression"), errors)
            .map(Source::Expression),
    }
}

fn extra(
    mappings: &[ExtraMapping],
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> Vec<(String, Program)> {
    let mut made = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, mapping) in mappings.iter().enumerate() {
        let path = path.index(i);
        let at = path.child("key");
        let key = json!(mapping.key);
        names::validate_domain_prefixed_path(&mapping.key, &at, errors);
        let domain = mapping.key.split_once('/').map_or("", |(domain, _)| domain);
        let is_below =
            |top: &str| domain.strip_suffix(top).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if is_below("kubernetes.io") || is_below("k8s.io") {
            const WHY: &str = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
            errors.invalid(&at, &key, WHY);
        }
        if mapping.key != mapping.key.to_lowercase() {
            errors.invalid(&at, &key, "must be lowercase");
        }
        if !seen.insert(&mapping.key) {
            errors.duplicate(&at, &key);
            continue;
        }
        let at = path.child("valueExpression");
        if mapping.value_expression.is_empty() {
            errors.required(&at, "");
            continue;
        }
        if let Some(program) = compile(&CLAIMS, &mapping.value_expression, None, &at, errors) {
            made.push((mapping.key.clone(), program));
        }
    }
    made
}

/// Whoever takes an address for a name has to look whether it is verified.
fn check_email(one: &JwtAuthenticator, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    static EMAIL: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\bclaims\s*\.\s*\??\s*email\b").expect("it is a valid pattern"));
    static VERIFIED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\bclaims\s*\.\s*\??\s*email_verified\b").expect("it is a valid pattern")
    });
    let username = &one.claim_mappings.username.expression;
    let extra = one.claim_mappings.extra.iter().map(|extra| &extra.value_expression);
    let rules = one.claim_validation_rules.iter().map(|rule| &rule.expression);
    let mut all = std::iter::once(username).chain(extra).chain(rules);
    if EMAIL.is_match(username) && !all.any(|text| VERIFIED.is_match(text)) {
        let at = path.child("username");
        const WHY: &str = "claims.email_verified must be used in claimMappings.username.expression or \
                           claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when \
                           claims.email is used in claimMappings.username.expression";
        errors.invalid(&at.child("expression"), &json!(username), WHY);
    }
}

fn condition(
    environment: &Environment,
    text: &str,
    message: &str,
    path: &FieldPath<'_>,
    rules: &mut Vec<Rule>,
    errors: &mut FieldErrors,
) {
    if rules.iter().any(|rule| rule.text == text) {
        errors.duplicate(&path.child("expression"), &json!(text));
        return;
    }
    let program = compile(environment, text, Some(Kind::Bool), &path.child("expression"), errors);
    rules.extend(program.map(|program| Rule { program, text: text.to_owned(), message: message.to_owned() }));
}

/// Compiles an expression that gives the kind of value, if one is asked for.
pub(crate) fn compile(
    environment: &Environment,
    text: &str,
    kind: Option<Kind>,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> Option<Program> {
    match environment.compile(text) {
        Err(why) => errors.invalid(path, &json!(text), &format!("compilation failed: {why}")),
        Ok(program) => match kind {
            Some(kind) if program.output().kind != kind => {
                errors.invalid(path, &json!(text), &format!("must evaluate to {}", Type::from(kind)));
            }
            _ => return Some(program),
        },
    }
    None
}

static CLAIMS: LazyLock<Environment> =
    LazyLock::new(|| Environment::new([("claims", Type::map(Type::STRING, Type::DYN))]));

static USER: LazyLock<Environment> = LazyLock::new(|| {
    let texts = || Type::list(Type::STRING);
    let fields = vec![
        ("username", Type::STRING),
        ("uid", Type::STRING),
        ("groups", texts()),
        ("extra", Type::map(Type::STRING, texts())),
    ];
    Environment::new([("user", object_type("kubernetes.UserInfo", fields))])
});
