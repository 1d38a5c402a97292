//! From a token's claims to a user. Pure.
//!
//! Upstream: apiserver `plugin/pkg/authenticator/token/oidc/oidc.go` `AuthenticateToken` and below.

use proa_meta::{User, identity::CREDENTIAL_ID};
use proa_schema::cel::{Error, PER_CALL_LIMIT, Program, Value as Cel};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where something of a user comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A claim, with something before it.
    Claim { name: String, prefix: String },
    /// An expression on `claims`.
    Expression(Program),
}

/// A condition with its message.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) program: Program,
    pub(super) text: String,
    pub(super) message: String,
}

/// Everything that tokens of one issuer say.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) username: Source,
    pub(super) groups: Option<Source>,
    pub(super) uid: Option<Source>,
    pub(super) extra: Vec<(String, Program)>,
    /// Claims that must have these values.
    pub(super) required: BTreeMap<String, String>,
    /// Conditions on `claims`.
    pub(super) claim_rules: Vec<Rule>,
    /// Conditions on `user`.
    pub(super) user_rules: Vec<Rule>,
}

impl Mapping {
    /// The user, or why there is none.
    pub(super) fn user(&self, claims: &Value) -> Result<User, String> {
        let mut user = User { name: self.username(claims)?, ..User::default() };
        user.groups = self.groups(claims)?;
        user.uid = self.uid(claims)?;
        user.extra = self.extra(claims)?;
        for (claim, wanted) in &self.required {
            let found = claims.get(claim);
            let found =
                found.ok_or_else(|| format!("oidc: required claim {claim} not present in ID token"))?;
            let found = text_of(found).map_err(|why| format!("oidc: parse claim {claim}: {why}"))?;
            if found != wanted {
                return Err(format!(
                    "oidc: required claim {claim} value does not match. Got = {found}, want = {wanted}"
                ));
            }
        }
        check(&self.claim_rules, claims)
            .map_err(|why| format!("oidc: error evaluating claim validation expression: {why}"))?;
        if !self.user_rules.is_empty() {
            let seen =
                json!({"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra});
            check(&self.user_rules, &seen)
                .map_err(|why| format!("oidc: error evaluating user info validation rule: {why}"))?;
        }
        Ok(user)
    }

    fn username(&self, claims: &Value) -> Result<String, String> {
        match &self.username {
            Source::Expression(program) => {
                let failed = |why: String| format!("oidc: error evaluating username claim expression: {why}");
                let found = evaluate(program, claims).map_err(failed)?;
                let name = found
                    .as_str()
                    .ok_or_else(|| failed("username claim expression must return a string".to_owned()))?;
                if name.is_empty() {
                    return Err("oidc: empty username via CEL expression is not allowed".to_owned());
                }
                Ok(name.to_owned())
            }
            Source::Claim { name, prefix } => {
                let found = claim(claims, name);
                let found = found.map_err(|why| format!("oidc: parse username claims {name:?}: {why}"))?;
                // An address that is said not to be verified may be anybody's.
                let verified = claims.get("email_verified").filter(|_| name == "email");
                match verified.map(Value::as_bool) {
                    Some(None) => return Err("oidc: parse 'email_verified' claim: not a bool".to_owned()),
                    Some(Some(false)) => return Err("oidc: email not verified".to_owned()),
                    Some(Some(true)) | None => {}
                }
                Ok(format!("{prefix}{found}"))
            }
        }
    }

    fn groups(&self, claims: &Value) -> Result<Vec<String>, String> {
        match &self.groups {
            None => Ok(Vec::new()),
            Some(Source::Expression(program)) => evaluate(program, claims)
                .and_then(|found| texts(&found))
                .map_err(|why| format!("oidc: error evaluating group claim expression: {why}")),
            Some(Source::Claim { name, prefix }) => {
                let Some(found) = claims.get(name).filter(|found| !found.is_null()) else {
                    return Ok(Vec::new());
                };
                let groups: Result<Vec<&str>, _> = match found {
                    Value::Array(many) => many.iter().map(text_of).collect(),
                    one => text_of(one).map(|one| vec![one]),
                };
                let groups = groups.map_err(|why| format!("oidc: parse groups claim {name:?}: {why}"))?;
                Ok(groups.into_iter().map(|group| format!("{prefix}{group}")).collect())
            }
        }
    }

    fn uid(&self, claims: &Value) -> Result<String, String> {
        match &self.uid {
            None => Ok(String::new()),
            Some(Source::Claim { name, .. }) => {
                claim(claims, name).map_err(|why| format!("oidc: parse uid claim {name:?}: {why}"))
            }
            Some(Source::Expression(program)) => {
                let failed = |why: String| format!("oidc: error evaluating uid claim expression: {why}");
                let found = evaluate(program, claims).map_err(failed)?;
                let uid = found.as_str().map(str::to_owned);
                uid.ok_or_else(|| failed("uid claim expression must return a string".to_owned()))
            }
        }
    }

    fn extra(&self, claims: &Value) -> Result<BTreeMap<String, Vec<String>>, String> {
        let mut extra = BTreeMap::new();
        if let Some(id) = claims["jti"].as_str().filter(|id| !id.is_empty()) {
            extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
        }
        for (key, program) in &self.extra {
            let found = evaluate(program, claims).and_then(|found| texts(&found));
            let found =
                found.map_err(|why| format!("oidc: error evaluating extra claim expression: {why}"))?;
            if !found.is_empty() {
                extra.insert(key.clone(), found);
            }
        }
        Ok(extra)
    }
}

fn claim(claims: &Value, name: &str) -> Result<String, String> {
    text_of(claims.get(name).ok_or("claim not present")?).map(str::to_owned)
}

fn text_of(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "it is no string".to_owned())
}

fn evaluate(program: &Program, claims: &Value) -> Result<Value, String> {
    let found = program.evaluate(&[Cel::of_json(claims)], PER_CALL_LIMIT).value;
    let found = found.map_err(|why| told(&why))?;
    found.to_json().ok_or_else(|| format!("unexpected result of type {}", found.type_name()))
}

fn told(why: &Error) -> String {
    why.to_string()
}

/// A text or texts; empty ones are none.
fn texts(value: &Value) -> Result<Vec<String>, String> {
    let all: Option<Vec<&str>> = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(many) => many.iter().map(Value::as_str).collect(),
        one => one.as_str().map(|one| vec![one]),
    };
    let all: Vec<&str> = all.ok_or("expression must return a string or a list of strings")?;
    Ok(all.into_iter().filter(|one| !one.is_empty()).map(str::to_owned).collect())
}

fn check(rules: &[Rule], subject: &Value) -> Result<(), String> {
    for rule in rules {
        match rule.program.evaluate(&[Cel::of_json(subject)], PER_CALL_LIMIT).value {
            Ok(Cel::Bool(true)) => {}
            Ok(Cel::Bool(false)) => {
                return Err(format!("validation expression '{}' failed: {}", rule.text, rule.message));
            }
            Ok(_) => return Err("validation expression must return a boolean".to_owned()),
            Err(why) => return Err(format!("expression '{}' resulted in error: {why}", rule.text)),
        }
    }
    Ok(())
}
