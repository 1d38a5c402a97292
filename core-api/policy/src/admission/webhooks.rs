//! Admission webhooks: asks the servers that MutatingWebhookConfigurations and ValidatingWebhookConfigurations name.
//!
//! Reads top-down: `source` has the configurations of the published state compiled, `matching` (with `rules`)
//! says who is asked about a request, `review` writes the question, `response` says what an answer means,
//! `rounds` who is asked again after the object has changed; `call` puts them together around the one effect, the call.
//! Invariants: a request that no webhook is interested in costs a few comparisons; configurations are as new as the
//! published state; no lock is held while a webhook is waited for; webhooks are never asked about configurations of
//! admission, nor about reviews of access and tokens.
//! Upstream: apiserver `pkg/admission/plugin/webhook`.

mod call;
pub(super) mod matching;
mod response;
pub(super) mod review;
pub(super) mod rounds;
pub(super) mod rules;
mod source;

use call::Failed;
use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use proa_meta::{ApiError, ApiResult, Gvr};
use proa_registry::{
    AdmissionRequest, Authorizer, Mutate, Validate, admission::annotate, webhook::CallWebhook,
};
use rounds::Memory;
use serde_json::{Value, json};
use source::{Hook, Source};
use std::sync::Arc;

const GROUP: &str = "admissionregistration.k8s.io";
const MUTATING: Gvr = Gvr::new(GROUP, "v1", "mutatingwebhookconfigurations");
const VALIDATING: Gvr = Gvr::new(GROUP, "v1", "validatingwebhookconfigurations");

/// The plugin that asks mutating webhooks, one after the other.
pub struct MutatingAdmissionWebhook {
    source: Source,
    authorizer: Arc<dyn Authorizer>,
    client: Arc<dyn CallWebhook>,
}

/// The plugin that asks validating webhooks, all at once.
pub struct ValidatingAdmissionWebhook {
    source: Source,
    authorizer: Arc<dyn Authorizer>,
    client: Arc<dyn CallWebhook>,
}

impl MutatingAdmissionWebhook {
    /// Asks by way of `client`; `authorizer` answers what conditions ask.
    pub fn new(authorizer: Arc<dyn Authorizer>, client: Arc<dyn CallWebhook>) -> Self {
        Self { source: Source::new(MUTATING), authorizer, client }
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> ApiResult<()> {
        let rounds = request.rounds;
        let mut memory: Memory = rounds.take(self.name()).unwrap_or_default();
        if rounds.is_second() {
            memory.start_second(object);
        }
        for (i, hook) in self.source.hooks(request.registry).0.iter().enumerate() {
            let Some(asked) = matching::asked(hook, request, object, &self.authorizer).await? else {
                continue;
            };
            if rounds.is_second() && !memory.asks_again(&hook.uid) {
                continue;
            }
            let place = format!("round_{}_index_{i}", u8::from(rounds.is_second()));
            let answered = call::mutating(self.client.as_ref(), hook, &asked, request, object, &place).await;
            let changed = by_policy(hook, "mutating", &place, answered)?;
            annotate(
                || format!("mutation.webhook.admission.k8s.io/{place}"),
                || {
                    json!({"configuration": hook.configuration, "webhook": hook.name,
                        "mutated": changed == Some(true)})
                    .to_string()
                },
            );
            if changed == Some(true) {
                memory.has_changed();
                rounds.want_second();
            }
            if hook.asked_again {
                memory.was_asked(&hook.uid);
            }
        }
        memory.end_round(object);
        rounds.keep(self.name(), memory);
        Ok(())
    }
}

impl ValidatingAdmissionWebhook {
    /// Asks by way of `client`; `authorizer` answers what conditions ask.
    pub fn new(authorizer: Arc<dyn Authorizer>, client: Arc<dyn CallWebhook>) -> Self {
        Self { source: Source::new(VALIDATING), authorizer, client }
    }

    async fn check(&self, request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<()> {
        let hooks = self.source.hooks(request.registry);
        let mut questions = Vec::new();
        for (i, hook) in hooks.0.iter().enumerate() {
            if let Some(asked) = matching::asked(hook, request, object, &self.authorizer).await? {
                questions.push((i, hook, asked));
            }
        }
        let calls = questions.iter().map(|(i, hook, asked)| async move {
            let answered = call::validating(self.client.as_ref(), hook, asked, request, object).await;
            by_policy(hook, "validating", &format!("round_0_index_{i}"), answered)
        });
        join_all(calls).await.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    }
}

/// What a failed call means under the webhook's failure policy. None: it is as if it had not been asked.
fn by_policy<T>(hook: &Hook, sort: &str, place: &str, answered: Result<T, Failed>) -> ApiResult<Option<T>> {
    match answered {
        Ok(answer) => Ok(Some(answer)),
        Err(Failed::Refused(why)) => Err(why),
        Err(Failed::Call(why)) => {
            let why = format!("failed calling webhook {:?}: {why}", hook.name);
            tracing::warn!(configuration = hook.configuration, open = hook.ignores_failure, "{why}");
            if !hook.ignores_failure {
                return Err(ApiError::internal(why));
            }
            annotate(|| format!("failed-open.{sort}.webhook.admission.k8s.io/{place}"), || hook.name.clone());
            Ok(None)
        }
    }
}

impl Mutate for MutatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        self.source.is_interested(request)
    }

    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        self.mutate(request, object).boxed()
    }
}

impl Validate for ValidatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        self.source.is_interested(request)
    }

    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        self.check(request, object).boxed()
    }
}
