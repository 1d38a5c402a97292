//! The chain of authorizers.
//!
//! Owns: who is asked in which order, and how answers combine: the first that allows or denies decides; reasons of
//! those without an opinion are joined. Upstream: apiserver `pkg/authorization/union/union.go`,
//! `pkg/authorization/authorizerfactory/builtin.go`.

pub mod config;
pub mod webhook;

use crate::{node::NodeAuthorizer, rbac::Rbac};
use config::Mode;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{User, identity::MASTERS};
use proa_registry::{Attributes, Authorizer, Decision, Registry, webhook::CallWebhook};
use serde_json::{Value, json};
use std::sync::Arc;

/// Lets `system:masters` pass, then asks authorizers in order.
pub struct Chain(Vec<Arc<dyn Authorizer>>);

/// The chain of these authorizers.
pub fn configured(
    modes: Vec<Mode>,
    registry: &Arc<Registry>,
    rbac: &Arc<Rbac>,
    webhooks: &Arc<dyn CallWebhook>,
) -> Arc<dyn Authorizer> {
    let one = |mode| -> Arc<dyn Authorizer> {
        match mode {
            Mode::Node => NodeAuthorizer::new(registry.clone()),
            Mode::Rbac => rbac.clone(),
            Mode::Webhook(settings) => Arc::new(webhook::WebhookAuthorizer::new(*settings, webhooks.clone())),
            Mode::AlwaysAllow => Arc::new(Always(true)),
            Mode::AlwaysDeny => Arc::new(Always(false)),
        }
    };
    Chain::new(modes.into_iter().map(one).collect())
}

/// Allows everything, or nothing. Upstream: apiserver `pkg/authorization/authorizerfactory/builtin.go`.
struct Always(bool);

impl Authorizer for Always {
    fn authorize<'a>(&'a self, _: &'a Attributes) -> BoxFuture<'a, Decision> {
        let reason = if self.0 { String::new() } else { "Everything is forbidden.".to_owned() };
        let decision = if self.0 { Decision::Allow(reason) } else { Decision::NoOpinion(reason) };
        async move { decision }.boxed()
    }

    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Value> {
        let all = json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        });
        let none = json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false});
        async move { if self.0 { all } else { none } }.boxed()
    }
}

/// The chain of every cluster that says nothing else: nodes, then RBAC.
pub fn standard(registry: &Arc<Registry>, rbac: Arc<Rbac>) -> Arc<dyn Authorizer> {
    Chain::new(vec![NodeAuthorizer::new(registry.clone()), rbac])
}

impl Chain {
    /// A chain of the given authorizers.
    pub fn new(authorizers: Vec<Arc<dyn Authorizer>>) -> Arc<Self> {
        Arc::new(Self(authorizers))
    }

    async fn decide(&self, attributes: &Attributes) -> Decision {
        if attributes.user.in_group(MASTERS) {
            return Decision::Allow(String::new());
        }
        let mut reasons: Vec<String> = Vec::new();
        for authorizer in &self.0 {
            match authorizer.authorize(attributes).await {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    async fn all_rules(&self, user: &User, namespace: &str) -> Value {
        // What `system:masters` may do is also bound to a role, which names it once.
        let mut all = json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false});
        for authorizer in &self.0 {
            append(&mut all, authorizer.rules(user, namespace).await);
        }
        all
    }
}

/// Adds one authorizer's rules to the sum.
fn append(all: &mut Value, mut one: Value) {
    for list in ["resourceRules", "nonResourceRules"] {
        if let (Some(all), Value::Array(one)) = (all[list].as_array_mut(), one[list].take()) {
            all.extend(one);
        }
    }
    if one["incomplete"] == true {
        all["incomplete"] = json!(true);
    }
    if let Some(text) = one["evaluationError"].as_str() {
        let joined =
            all["evaluationError"].as_str().map_or_else(|| text.to_owned(), |e| format!("{e}, {text}"));
        all["evaluationError"] = json!(joined);
    }
}

impl Authorizer for Chain {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        self.decide(attributes).boxed()
    }

    fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> BoxFuture<'a, Value> {
        self.all_rules(user, namespace).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    struct Fixed(Decision);

    impl Authorizer for Fixed {
        fn authorize<'a>(&'a self, _: &'a Attributes) -> BoxFuture<'a, Decision> {
            async { self.0.clone() }.boxed()
        }
        fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Value> {
            async {
                json!({"resourceRules": [{"verbs": ["get"]}], "incomplete": true, "evaluationError": "no"})
            }
            .boxed()
        }
    }

    fn ask(groups: &[&str], answers: Vec<Decision>) -> Decision {
        let chain =
            Chain::new(answers.into_iter().map(|a| Arc::new(Fixed(a)) as Arc<dyn Authorizer>).collect());
        let user = Arc::new(User::new("ann", groups));
        block_on(chain.authorize(&Attributes { user, ..Attributes::default() }))
    }

    #[test]
    fn first_decision_counts_and_reasons_are_joined() {
        use Decision::{Allow, Deny, NoOpinion};
        let no = |text: &str| NoOpinion(text.to_owned());
        for (want, groups, answers) in [
            (Allow(String::new()), &[MASTERS][..], vec![Deny("x".into())]),
            (Allow("b".into()), &[], vec![no("a"), Allow("b".into()), Deny("c".into())]),
            (Deny("a".into()), &[], vec![Deny("a".into()), Allow("b".into())]),
            (no("a\nc"), &[], vec![no("a"), no(""), no("c")]),
            (no(""), &[], vec![]),
        ] {
            assert_eq!(ask(groups, answers), want);
        }
    }

    #[test]
    fn rules_add_up() {
        let no = || Arc::new(Fixed(Decision::NoOpinion(String::new()))) as Arc<dyn Authorizer>;
        let rules = block_on(Chain::new(vec![no(), no()]).all_rules(&User::new("ann", &[]), "a"));
        assert_eq!(rules["resourceRules"].as_array().map(Vec::len), Some(2));
        assert_eq!((&rules["incomplete"], &rules["evaluationError"]), (&json!(true), &json!("no, no")));
    }
}
