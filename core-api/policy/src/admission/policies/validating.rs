//! ValidatingAdmissionPolicies: refuse requests, or warn of them.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/validating/{plugin,dispatcher,policy_decision}.go`.

use super::{
    authority::Authority,
    evaluation::{self, Annotation, Failure, Validation},
    facts::{self, Facts},
    params,
    source::{Binding, Body, Hook, Policy, Source, text},
};
use crate::admission::items;
use crate::admission::{forbidden, webhooks::matching::Asked};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, Gvk, Gvr, Reason, status::Cause};
use proa_registry::{AdmissionRequest, Authorizer, Validate, admission::annotate};
use proa_schema::policy::{Compiler, Role, Scope};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const GROUP: &str = "admissionregistration.k8s.io";
/// Most failures that one event of the audit log tells of.
const MOST_FAILURES: usize = 50;
/// The longest annotation in bytes.
const LONGEST_ANNOTATION: usize = 10 * 1024;

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
            let compiled = compiler.compile(expression.trim(), Role::Annotation);
            Annotation { key: text(&annotation["key"]), expression: compiled, text: expression }
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

/// The first thing that refuses a request, and what the audit log is told of the others.
#[derive(Default)]
struct Verdict {
    refusal: Option<ApiError>,
    audited: Vec<Value>,
}

/// What a policy makes of a request with one object of parameters.
#[derive(Default)]
struct Findings {
    /// Validations that do not hold, with their places.
    failures: Vec<(usize, Failure)>,
    /// Texts by their keys.
    annotations: Vec<(String, String)>,
    /// Annotations that could not be made.
    broken: Vec<Failure>,
}

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
        self.refusal.get_or_insert_with(|| refusal(request, message, failure.reason));
    }

    /// Tells the audit log. Upstream: `publishValidationFailureAnnotations`.
    fn publish(&self) {
        if !self.audited.is_empty() {
            let first = self.audited.iter().take(MOST_FAILURES);
            annotate(
                || "validation.policy.admission.k8s.io/validation_failure".to_owned(),
                || Value::Array(first.cloned().collect()).to_string(),
            );
        }
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
        verdict.publish();
        verdict.refusal.map_or(Ok(()), Err)
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
        let mut namespace = None;
        let authority = Authority::new(&self.authorizer, request.user);
        let mut annotations: BTreeMap<String, Vec<String>> = BTreeMap::new();
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
            let namespace = match &mut namespace {
                Some(known) => &*known,
                none => &*none.insert(facts::namespace(request)?),
            };
            for params in &params {
                let found = || self.findings(policy, request, facts, namespace, params, &authority);
                let found = authority.settled(found).await;
                for (at, failure) in &found.failures {
                    act(request, policy, binding, *at, failure, verdict);
                }
                for failure in &found.broken {
                    if !is_ignored(policy, binding, failure) {
                        verdict.deny(request, policy, Some(binding), failure);
                    }
                }
                for (key, text) in found.annotations {
                    let texts = annotations.entry(key).or_default();
                    if !texts.contains(&text) {
                        texts.push(text);
                    }
                }
            }
        }
        for (key, texts) in annotations {
            annotate(|| format!("{}/{key}", policy.name), || texts.join(", "));
        }
        Ok(())
    }

    /// What the policy's expressions make of the request.
    fn findings(
        &self,
        policy: &Policy<Validations>,
        request: &AdmissionRequest<'_>,
        facts: &Facts,
        namespace: &Value,
        params: &Value,
        authority: &Arc<Authority>,
    ) -> Findings {
        let requested = facts::requested(request);
        let subject = facts.subject(&Value::Null);
        let scope = Scope::new(subject, params, &policy.variables, authority.clone(), &requested);
        match evaluation::all_hold(&policy.conditions, &scope) {
            Ok(true) => {}
            Ok(false) => return Findings::default(),
            Err(why) => return Findings { failures: vec![(0, Failure::error(why))], ..Findings::default() },
        }
        let scope = scope.about(facts.subject(namespace));
        let Validations { validations, annotations } = &policy.body;
        let failures = validations.iter().enumerate();
        let failures = failures.filter_map(|(at, one)| Some((at, one.failure(&scope)?))).collect();
        let mut found = Findings { failures, ..Findings::default() };
        for annotation in annotations {
            match annotation.made(&scope) {
                Ok(Some(mut text)) => {
                    text.truncate(text.floor_char_boundary(LONGEST_ANNOTATION));
                    found.annotations.push((annotation.key.clone(), text));
                }
                Ok(None) => {}
                Err(failure) => found.broken.push(failure),
            }
        }
        found
    }
}

/// Whether the policy lets the request pass all the same.
fn is_ignored(policy: &Policy<Validations>, binding: &Binding, failure: &Failure) -> bool {
    let ignored = failure.is_error && policy.ignores_failure;
    if ignored {
        tracing::warn!(policy = policy.name, binding = binding.name, "{}", failure.message);
    }
    ignored
}

/// What becomes of a validation's failure.
fn act(
    request: &AdmissionRequest<'_>,
    policy: &Policy<Validations>,
    binding: &Binding,
    at: usize,
    failure: &Failure,
    verdict: &mut Verdict,
) {
    if is_ignored(policy, binding, failure) {
        return;
    }
    let has = |wanted: &str| binding.actions.iter().any(|action| action == wanted);
    if has("Audit") {
        verdict.audited.push(json!({
            "message": failure.message, "policy": policy.name, "binding": binding.name, "expressionIndex": at,
            "validationActions": binding.actions,
        }));
    }
    if has("Deny") {
        return verdict.deny(request, policy, Some(binding), failure);
    }
    if has("Warn") {
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
