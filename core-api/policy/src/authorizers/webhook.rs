//! Whether somebody else allows it: a SubjectAccessReview is posted, its status is the decision.
//!
//! Owns: the question, conditions on which it is asked at all, what an answer or its absence means. Answers are remembered
//! for a while. Upstream: apiserver `plugin/pkg/authorizer/webhook`, `pkg/authorization/cel`.

use crate::{
    jwt::config::compile,
    remember::{self, Remembered},
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{FieldErrors, FieldPath, User, selector::Operator};
use proa_registry::{
    Attributes, Authorizer, Decision,
    webhook::{CallWebhook, WebhookClient},
};
use proa_schema::cel::{
    Environment, Kind, MATCH_CONDITIONS_BUDGET, PER_CALL_LIMIT, Program, Type, Value as Cel, object_type,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

/// Larger questions are not remembered: who asks chooses their size.
const LARGEST_REMEMBERED: usize = 10_000;

/// How a webhook is asked.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Name for logs.
    pub name: String,
    /// Where it is.
    pub client: WebhookClient,
    /// Version of `authorization.k8s.io` that it speaks: `v1` or `v1beta1`.
    pub version: String,
    /// How long it may take.
    pub timeout: Duration,
    /// How long an allowance counts; nothing: it is asked again.
    pub authorized: Duration,
    /// How long anything else counts.
    pub unauthorized: Duration,
    /// Without an answer the request is denied; otherwise others decide.
    pub denies_on_failure: bool,
    /// When it is asked at all.
    pub conditions: Conditions,
}

/// Conditions on which a webhook is asked: all must hold.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Vec<Arc<(String, Program)>>);

/// Asks a webhook.
pub struct WebhookAuthorizer {
    settings: WebhookSettings,
    caller: Arc<dyn CallWebhook>,
    answers: Remembered<Status>,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

/// Null is nothing, as in Go: a refusal must not be lost because it gives no reason.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(deserialize_with = "or_default")]
    allowed: bool,
    #[serde(deserialize_with = "or_default")]
    denied: bool,
    #[serde(deserialize_with = "or_default")]
    reason: String,
}

impl Conditions {
    /// Compiles them.
    pub(super) fn compile(texts: &[&str], path: &FieldPath<'_>, errors: &mut FieldErrors) -> Self {
        let mut made = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let at = path.index(i);
            let at = at.child("expression");
            if text.trim().is_empty() {
                errors.required(&at, "");
            } else if texts[..i].contains(text) {
                errors.duplicate(&at, &json!(text));
            } else if let Some(program) = compile(&REQUEST, text, Some(Kind::Bool), &at, errors) {
                made.push(Arc::new(((*text).to_owned(), program)));
            }
        }
        Self(made)
    }

    /// Whether all hold. One that is false decides, whatever others could not be evaluated.
    fn hold(&self, spec: &Value) -> Result<bool, String> {
        let (mut budget, mut problems) = (MATCH_CONDITIONS_BUDGET, Vec::new());
        for condition in &self.0 {
            let (text, program) = &**condition;
            let evaluated = program.evaluate(&[Cel::of_json(spec)], PER_CALL_LIMIT.min(budget));
            budget = budget.saturating_sub(evaluated.cost);
            match evaluated.value {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => return Ok(false),
                Ok(other) => {
                    problems.push(format!("cel expression '{text}' is of type {}", other.type_name()));
                }
                Err(why) => problems
                    .push(format!("cel evaluation error: expression '{text}' resulted in error: {why}")),
            }
        }
        if problems.is_empty() { Ok(true) } else { Err(problems.join(", ")) }
    }
}

impl WebhookAuthorizer {
    /// Asks by these settings.
    pub fn new(settings: WebhookSettings, caller: Arc<dyn CallWebhook>) -> Self {
        Self { settings, caller, answers: Remembered::default() }
    }

    async fn decide(&self, attributes: &Attributes) -> Decision {
        if !self.settings.conditions.0.is_empty() {
            match self.settings.conditions.hold(&for_conditions(attributes)) {
                Ok(true) => {}
                Ok(false) => return Decision::NoOpinion(String::new()),
                Err(why) => return self.failed(&why),
            }
        }
        match self.ask(attributes).await {
            Ok(status) => decision(status),
            Err(why) => self.failed(&why),
        }
    }

    fn failed(&self, why: &str) -> Decision {
        tracing::error!(webhook = self.settings.name, why, "failed to make webhook authorizer request");
        let reason = String::new();
        if self.settings.denies_on_failure { Decision::Deny(reason) } else { Decision::NoOpinion(reason) }
    }

    async fn ask(&self, attributes: &Attributes) -> Result<Status, String> {
        let mut spec = spec(attributes);
        if self.settings.version == "v1beta1" {
            // The older version calls it so.
            if let Some(groups) = spec.remove("groups") {
                spec.insert("group".to_owned(), groups);
            }
        }
        let spec = Value::Object(spec);
        let key = remember::key(spec.to_string().as_bytes());
        if let Some(known) = self.answers.get(&key) {
            return Ok(known);
        }
        let settings = &self.settings;
        let review = json!({
            "apiVersion": format!("authorization.k8s.io/{}", settings.version), "kind": "SubjectAccessReview",
            "metadata": {"creationTimestamp": null}, "spec": spec, "status": {"allowed": false},
        });
        let body = Bytes::from(review.to_string());
        let answer = self.caller.call(&settings.client, body, settings.timeout).await;
        let answer = answer.map_err(|error| error.0)?;
        let review: Review = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let lifetime = if review.status.allowed { settings.authorized } else { settings.unauthorized };
        if chosen_by_the_client(attributes) < LARGEST_REMEMBERED {
            self.answers.put(key, review.status.clone(), lifetime);
        }
        Ok(review.status)
    }
}

fn decision(status: Status) -> Decision {
    match (status.denied, status.allowed) {
        // Who says both is not believed.
        (true, _) => Decision::Deny(status.reason),
        (false, true) => Decision::Allow(status.reason),
        (false, false) => Decision::NoOpinion(status.reason),
    }
}

/// Size of what a client may choose freely.
fn chosen_by_the_client(attributes: &Attributes) -> usize {
    let Attributes { verb, group, version, resource, subresource, namespace, name, path, .. } = attributes;
    [verb, group, version, resource, subresource, namespace, name, path].iter().map(|text| text.len()).sum()
}

/// The spec of a SubjectAccessReview; what is empty is left out.
fn spec(attributes: &Attributes) -> Map<String, Value> {
    let mut spec = filled(&[("user", &attributes.user.name), ("uid", &attributes.user.uid)]);
    if !attributes.user.groups.is_empty() {
        spec.insert("groups".to_owned(), json!(attributes.user.groups));
    }
    if !attributes.user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(attributes.user.extra));
    }
    let Attributes { verb, group, version, resource, subresource, namespace, name, path, .. } = attributes;
    if !attributes.is_resource {
        spec.insert("nonResourceAttributes".to_owned(), filled(&[("path", path), ("verb", verb)]).into());
        return spec;
    }
    let mut about = filled(&[
        ("namespace", namespace),
        ("verb", verb),
        ("group", group),
        ("version", version),
        ("resource", resource),
        ("subresource", subresource),
        ("name", name),
    ]);
    about.extend(selectors(attributes));
    spec.insert("resourceAttributes".to_owned(), about.into());
    spec
}

fn filled(texts: &[(&str, &String)]) -> Map<String, Value> {
    let present = texts.iter().filter(|(_, text)| !text.is_empty());
    present.map(|(name, text)| ((*name).to_owned(), json!(text))).collect()
}

/// What of the selectors the API has words for: what is left out asks for more.
fn selectors(attributes: &Attributes) -> impl Iterator<Item = (String, Value)> {
    let field = |r: &proa_meta::selector::FieldRequirement| json!({"key": r.field, "operator": if r.negated { "NotIn" } else { "In" }, "values": [r.value]});
    let label = |r: &proa_meta::selector::Requirement| {
        let operator = match r.operator() {
            Operator::In | Operator::Equals | Operator::DoubleEquals => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        let mut made = json!({"key": r.key(), "operator": operator});
        let values: Vec<&str> = r.values().collect();
        if !values.is_empty() {
            made["values"] = json!(values);
        }
        Some(made)
    };
    let fields: Vec<Value> = attributes.fields.iter().map(field).collect();
    let labels: Vec<Value> = attributes.labels.iter().filter_map(label).collect();
    let all = [("fieldSelector", fields), ("labelSelector", labels)].into_iter();
    all.filter(|(_, made)| !made.is_empty())
        .map(|(name, made)| (name.to_owned(), json!({"requirements": made})))
}

/// The same for conditions, to which every text is there.
fn for_conditions(attributes: &Attributes) -> Value {
    let user = &attributes.user;
    let mut spec = json!({"user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra});
    let Attributes { verb, group, version, resource, subresource, namespace, name, path, .. } = attributes;
    if !attributes.is_resource {
        spec["nonResourceAttributes"] = json!({"path": path, "verb": verb});
        return spec;
    }
    let mut about = json!({
        "namespace": namespace, "verb": verb, "group": group, "version": version, "resource": resource,
        "subresource": subresource, "name": name,
    });
    for (selector, made) in selectors(attributes) {
        about[selector] = made;
    }
    spec["resourceAttributes"] = about;
    spec
}

static REQUEST: LazyLock<Environment> = LazyLock::new(|| {
    let texts = |names: &[&'static str]| names.iter().map(|name| (*name, Type::STRING)).collect::<Vec<_>>();
    let list = || Type::list(Type::STRING);
    let selector = |name: &str| {
        let mut requirement = texts(&["key", "operator"]);
        requirement.push(("values", list()));
        let requirement = object_type("kubernetes.SelectorRequirement", requirement);
        let fields = vec![("rawSelector", Type::STRING), ("requirements", Type::list(requirement))];
        object_type(name, fields)
    };
    let mut resource = texts(&["namespace", "verb", "group", "version", "resource", "subresource", "name"]);
    resource.push(("fieldSelector", selector("kubernetes.FieldSelectorAttributes")));
    resource.push(("labelSelector", selector("kubernetes.LabelSelectorAttributes")));
    let path = object_type("kubernetes.NonResourceAttributes", texts(&["path", "verb"]));
    let fields = vec![
        ("resourceAttributes", object_type("kubernetes.ResourceAttributes", resource)),
        ("nonResourceAttributes", path),
        ("user", Type::STRING),
        ("groups", list()),
        ("extra", Type::map(Type::STRING, list())),
        ("uid", Type::STRING),
    ];
    Environment::new([("request", object_type("kubernetes.SubjectAccessReviewSpec", fields))])
});

impl Authorizer for WebhookAuthorizer {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        self.decide(attributes).boxed()
    }

    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Value> {
        let status = json!({"resourceRules": [], "nonResourceRules": [], "incomplete": true,
            "evaluationError": "webhook authorizer does not support user rule resolution"});
        async move { status }.boxed()
    }
}

#[cfg(test)]
mod tests;
