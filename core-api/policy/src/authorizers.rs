//! The chain of authorizers.
//!
//! Owns: who is asked in which order, and how answers combine: the first that allows or denies decides; reasons of
//! those without an opinion are joined. Upstream: apiserver `pkg/authorization/union/union.go`,
//! `pkg/authorization/authorizerfactory/builtin.go`.

use crate::{node::NodeAuthorizer, rbac::Rbac};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{User, identity::MASTERS};
use proa_registry::{Attributes, Authorizer, Decision, Registry};
use serde_json::{Value, json};
use std::sync::Arc;

/// Lets `system:masters` pass, then asks authorizers in order.
pub struct Chain(Vec<Arc<dyn Authorizer>>);

/// The chain of every cluster: nodes, then RBAC.
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
        let mut all = json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false});
        if user.in_group(MASTERS) {
            append(
                &mut all,
                json!({
                    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                }),
            );
        }
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
