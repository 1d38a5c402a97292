//! Answers what expressions ask the `authorizer`.

use futures::FutureExt;
use proa_meta::{
    User,
    identity::{AUTHENTICATED, SERVICE_ACCOUNTS},
};
use proa_registry::{Attributes, Authorizer, Decision};
use proa_schema::policy::{Answer, Authorize, Checked, Question};
use std::{fmt, sync::Arc};

/// The chain of authorizers, on behalf of who asks.
pub(in crate::admission) struct Authority {
    pub(in crate::admission) authorizer: Arc<dyn Authorizer>,
    pub(in crate::admission) user: Arc<User>,
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
        let attributes = attributes(user, question);
        // Authorizers answer from memory; one that has to wait has no answer here.
        match self.authorizer.authorize(&attributes).now_or_never() {
            Some(Decision::Allow(reason)) => Answer { allowed: true, reason, error: String::new() },
            Some(Decision::Deny(reason) | Decision::NoOpinion(reason)) => {
                Answer { allowed: false, reason, error: String::new() }
            }
            None => Answer {
                allowed: false,
                reason: String::new(),
                error: "the authorizer has no answer at once".to_owned(),
            },
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
        },
    }
}

fn service_account(namespace: &str, name: &str) -> Arc<User> {
    let groups = [SERVICE_ACCOUNTS, &format!("{SERVICE_ACCOUNTS}:{namespace}"), AUTHENTICATED];
    Arc::new(User::new(format!("system:serviceaccount:{namespace}:{name}"), &groups))
}
