//! ValidatingAdmissionPolicies: refuse requests, or warn of them.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/validating/{plugin,dispatcher,policy_decision}.go`.

use super::{
    authority::Authority,
    evaluation::{self, Annotation, Failure, Validation},
    facts::{self, Facts},
    params,
    source::{Binding, Body, Hook, Policy, Source, items, text},
};
use crate::admission::{forbidden, webhooks::matching::Asked};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, Gvk, Gvr, Reason, status::Cause};
use proa_registry::{AdmissionRequest, Authorizer, Validate};
use proa_schema::policy::{Compiler, Role, Scope};
use serde_json::Value;
use std::sync::Arc;

const GROUP: &str = "admissionregistration.k8s.io";

/// The plugin.
pub struct ValidatingAdmissionPolicy {
    source: Source<Validations>,
    authorizer: Arc<dyn Authorizer>,
}

/// What validating policies check.
struct Validations {
    validations: Vec<Validation>,
    annotations: Vec<Annotation>,
}

impl Body for Validations {
    fn compile(spec: &Value, compiler: &Compiler) -> Self {
        let validations = items(&spec["validations"]).map(|validation| {
            let expression = text(&validation["expression"]);
            let made = text(&validation["messageExpression"]);
            Validation {
                expression: compiler.compile(&expression, Role::Validation),
                text: expression,
                message: text(&validation["message"]),
                message_expression: (!made.is_empty()).then(|| compiler.compile(&made, Role::Message)),
                reason: reason(&validation["reason"]),
            }
        });
        let annotations = items(&spec["auditAnnotations"]).map(|annotation| {
            let expression = text(&annotation["valueExpression"]);
            Annotation { expression: compiler.compile(expression.trim(), Role::Annotation), text: expression }
        });
        Self { validations: validations.collect(), annotations: annotations.collect() }
    }
}

fn reason(text: &Value) -> Option<Reason> {
    match text.as_str()? {
        "Forbidden" => Some(Reason::Forbidden),
        "RequestEntityTooLarge" => Some(Reason::RequestEntityTooLarge),
        "Unauthorized" => Some(Reason::Unauthorized),
        _ => Some(Reason::Invalid),
    }
}

/// The first thing that refuses a request.
#[derive(Default)]
struct Verdict(Option<ApiError>);

impl Verdict {
    fn deny<B>(
        &mut self,
        request: &AdmissionRequest<'_>,
        policy: &Policy<B>,
        binding: Option<&Binding>,
        failure: &Failure,
    ) {
        let by = binding.map(|binding| format!(" with binding '{}'", binding.name)).unwrap_or_default();
        let message =
            format!("ValidatingAdmissionPolicy '{}'{by} denied request: {}", policy.name, failure.message);
        self.0.get_or_insert_with(|| refusal(request, message, failure.reason));
    }

    /// Of a policy or a binding that cannot be used.
    fn misconfigured<B>(
        &mut self,
        request: &AdmissionRequest<'_>,
        policy: &Policy<B>,
        binding: Option<&Binding>,
        why: &str,
    ) {
        if !policy.ignores_failure {
            let what = if binding.is_some() { "binding" } else { "policy" };
            let failure = Failure::error(format!("failed to configure {what}: {why}"));
            self.deny(request, policy, binding, &failure);
        }
    }
}

/// In the frame that all plugins use, with a reason of its own.
fn refusal(request: &AdmissionRequest<'_>, message: String, reason: Reason) -> ApiError {
    let frame = forbidden(request, &message);
    let details = frame.details().cloned().unwrap_or_default();
    let cause = Cause { message, ..Cause::default() };
    ApiError::new(reason, frame.message()).with_details(details).with_cause(cause)
}

/// The facts of a request in the versions that policies match.
#[derive(Default)]
struct Versions(Vec<(Gvk, Facts)>);

impl Versions {
    async fn facts(
        &mut self,
        asked: &Asked,
        request: &AdmissionRequest<'_>,
        object: &Value,
    ) -> ApiResult<&Facts> {
        let wanted = &asked.kind(request).gvk;
        let at = match self.0.iter().position(|(gvk, _)| gvk == wanted) {
            Some(at) => at,
            None => {
                self.0.push((wanted.clone(), Facts::of(asked, request, object).await?));
                self.0.len() - 1
            }
        };
        Ok(&self.0[at].1)
    }
}

impl ValidatingAdmissionPolicy {
    /// `authorizer` answers what expressions ask.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        let policies = Gvr::new(GROUP, "v1", "validatingadmissionpolicies");
        let bindings = Gvr::new(GROUP, "v1", "validatingadmissionpolicybindings");
        Self { source: Source::new(policies, bindings), authorizer }
    }

    async fn check(&self, request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<()> {
        let mut verdict = Verdict::default();
        let mut versions = Versions::default();
        let hooks = self.source.hooks(request.registry);
        for hook in hooks.iter().flat_map(|hooks| hooks.iter()) {
            self.check_hook(hook, request, object, &mut versions, &mut verdict).await?;
        }
        verdict.0.map_or(Ok(()), Err)
    }

    async fn check_hook(
        &self,
        hook: &Hook<Validations>,
        request: &AdmissionRequest<'_>,
        object: &Value,
        versions: &mut Versions,
        verdict: &mut Verdict,
    ) -> ApiResult<()> {
        let policy = &*hook.policy;
        let about = policy.constraints.as_ref().map_err(Clone::clone);
        let about = about.and_then(|on| on.about(request, object).map_err(|why| why.message().to_owned()));
        let asked = match about {
            Ok(Some(asked)) => asked,
            Ok(None) => return Ok(()),
            Err(why) => {
                verdict.misconfigured(request, policy, None, &why);
                return Ok(());
            }
        };
        let kind = match policy.params.as_ref().map(|kind| params::kind(kind, request)).transpose() {
            Ok(kind) => kind,
            Err(why) => {
                verdict.misconfigured(request, policy, None, &why);
                return Ok(());
            }
        };
        for binding in &hook.bindings {
            let params = match binding.params(kind.as_deref(), request, object).await {
                Ok(params) => params,
                Err(why) => {
                    verdict.misconfigured(request, policy, Some(binding), &why);
                    continue;
                }
            };
            if params.is_empty() {
                continue;
            }
            let facts = match versions.facts(&asked, request, object).await {
                Ok(facts) => facts,
                Err(why) => {
                    let why = format!("failed to convert object version: {}", why.message());
                    verdict.misconfigured(request, policy, Some(binding), &why);
                    continue;
                }
            };
            let namespace = facts::namespace(request)?;
            for params in &params {
                let failures = self.failures(policy, request, facts, &namespace, params);
                for (failure, is_annotation) in &failures {
                    act(request, policy, binding, failure, *is_annotation, verdict);
                }
            }
        }
        Ok(())
    }

    /// What does not let the request pass; whether each is about an annotation.
    fn failures(
        &self,
        policy: &Policy<Validations>,
        request: &AdmissionRequest<'_>,
        facts: &Facts,
        namespace: &Value,
        params: &Value,
    ) -> Vec<(Failure, bool)> {
        let authority =
            Arc::new(Authority { authorizer: self.authorizer.clone(), user: request.user.clone() });
        let requested = facts::requested(request);
        let subject = facts.subject(&Value::Null);
        let scope = Scope::new(subject, params, &policy.variables, authority, &requested);
        match evaluation::all_hold(&policy.conditions, &scope) {
            Ok(true) => {}
            Ok(false) => return Vec::new(),
            Err(why) => return vec![(Failure::error(why), false)],
        }
        let scope = scope.about(facts.subject(namespace));
        let Validations { validations, annotations } = &policy.body;
        let of_validations = validations.iter().filter_map(|one| one.failure(&scope)).map(|one| (one, false));
        let of_annotations = annotations.iter().filter_map(|one| one.failure(&scope)).map(|one| (one, true));
        of_validations.chain(of_annotations).collect()
    }
}

/// What becomes of a failure. There is no audit log that `Audit` would write to.
fn act(
    request: &AdmissionRequest<'_>,
    policy: &Policy<Validations>,
    binding: &Binding,
    failure: &Failure,
    is_annotation: bool,
    verdict: &mut Verdict,
) {
    if failure.is_error && policy.ignores_failure {
        tracing::warn!(policy = policy.name, binding = binding.name, "{}", failure.message);
        return;
    }
    if is_annotation || binding.actions.iter().any(|action| action == "Deny") {
        return verdict.deny(request, policy, Some(binding), failure);
    }
    if binding.actions.iter().any(|action| action == "Warn") {
        request.notes.warn(format!(
            "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
            policy.name, binding.name, failure.message
        ));
    }
}

impl Validate for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
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
