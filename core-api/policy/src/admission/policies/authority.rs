//! Answers what expressions ask the `authorizer`.
//!
//! Expressions do not wait. A question that cannot be answered from memory is noted, asked once they are through
//! ([`Authority::settled`]), and then they are evaluated again. What they may cost bounds how many questions there are.

use futures::FutureExt;
use parking_lot::Mutex;
use proa_meta::{
    User,
    identity::{AUTHENTICATED, SERVICE_ACCOUNTS},
};
use proa_registry::{Attributes, Authorizer, Decision};
use proa_schema::policy::{Answer, Authorize, Checked, Question};
use std::{fmt, sync::Arc};

/// The chain of authorizers, on behalf of who asks.
pub(in crate::admission) struct Authority {
    authorizer: Arc<dyn Authorizer>,
    user: Arc<User>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// Questions that have to wait.
    open: Vec<Attributes>,
    answered: Vec<(Attributes, Decision)>,
}

impl Authority {
    pub(in crate::admission) fn new(authorizer: &Arc<dyn Authorizer>, user: &Arc<User>) -> Arc<Self> {
        Arc::new(Self { authorizer: authorizer.clone(), user: user.clone(), asked: Mutex::default() })
    }

    /// What expressions make of it once all their questions are answered.
    pub(in crate::admission) async fn settled<T>(&self, mut evaluate: impl FnMut() -> T) -> T {
        loop {
            let made = evaluate();
            let open = std::mem::take(&mut self.asked.lock().open);
            if open.is_empty() {
                return made;
            }
            for question in open {
                let decision = self.authorizer.authorize(&question).await;
                self.asked.lock().answered.push((question, decision));
            }
        }
    }

    /// The decision, if nobody has to be waited for.
    fn decision(&self, question: Attributes) -> Option<Decision> {
        let known = |asked: &Asked| {
            asked.answered.iter().find(|(known, _)| *known == question).map(|(_, decision)| decision.clone())
        };
        if let Some(decision) = known(&self.asked.lock()) {
            return Some(decision);
        }
        if let Some(decision) = self.authorizer.authorize(&question).now_or_never() {
            return Some(decision);
        }
        self.asked.lock().open.push(question);
        None
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("user", &self.user.name).finish_non_exhaustive()
    }
}

impl Authorize for Authority {
    fn authorize(&self, question: &Question<'_>) -> Answer {
        let user = match question.service_account {
            None => self.user.clone(),
            Some((namespace, name)) => service_account(namespace, name),
        };
        match self.decision(attributes(user, question)) {
            Some(Decision::Allow(reason)) => Answer { allowed: true, reason, error: String::new() },
            Some(Decision::Deny(reason) | Decision::NoOpinion(reason)) => {
                Answer { allowed: false, reason, error: String::new() }
            }
            // Nobody sees it: the expression is evaluated again.
            None => Answer { allowed: false, reason: String::new(), error: "not answered yet".to_owned() },
        }
    }
}

fn attributes(user: Arc<User>, question: &Question<'_>) -> Attributes {
    let verb = question.verb.to_owned();
    match question.about {
        Checked::Path(path) => Attributes { user, verb, path: path.to_owned(), ..Attributes::default() },
        Checked::Resource(checks) => Attributes {
            user,
            verb,
            group: checks.group.clone(),
            version: "*".to_owned(),
            resource: checks.resource.clone(),
            subresource: checks.subresource.clone(),
            namespace: checks.namespace.clone(),
            name: checks.name.clone(),
            is_resource: true,
            ..Attributes::default()
        }
        .selecting(&checks.field_selector, &checks.label_selector),
    }
}

fn service_account(namespace: &str, name: &str) -> Arc<User> {
    let groups = [SERVICE_ACCOUNTS, &format!("{SERVICE_ACCOUNTS}:{namespace}"), AUTHENTICATED];
    Arc::new(User::new(format!("system:serviceaccount:{namespace}:{name}"), &groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{executor::block_on, future::BoxFuture};
    use serde_json::Value;

    /// Lets others go first, then allows.
    struct Slow;

    impl Authorizer for Slow {
        fn authorize<'a>(&'a self, _: &'a Attributes) -> BoxFuture<'a, Decision> {
            async {
                tokio::task::yield_now().await;
                Decision::Allow("asked".to_owned())
            }
            .boxed()
        }
        fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Value> {
            async { Value::Null }.boxed()
        }
    }

    #[test]
    fn expressions_are_evaluated_again_when_their_questions_are_answered() {
        let authority = Authority::new(&(Arc::new(Slow) as Arc<dyn Authorizer>), &Arc::default());
        let ask = |path: &str| {
            authority.authorize(&Question { verb: "get", service_account: None, about: Checked::Path(path) })
        };
        let mut rounds = 0;
        let found = block_on(authority.settled(|| {
            rounds += 1;
            // The second question depends on the answer to the first.
            ask("/a").allowed && ask("/b").reason == "asked"
        }));
        assert_eq!((found, rounds), (true, 3));
    }
}
