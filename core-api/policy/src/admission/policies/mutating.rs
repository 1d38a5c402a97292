//! MutatingAdmissionPolicies: change objects, before the webhooks that do.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/mutating/{plugin,dispatcher,compilation}.go`,
//! `pkg/admission/plugin/policy/generic/policy_dispatcher.go`.

use super::{
    authority::Authority,
    evaluation,
    facts::{self, Facts},
    params,
    patch::{Mutation, Unpatched},
    source::{Binding, Body, Hook, Policy, Source, text},
};
use crate::admission::{
    forbidden, items,
    webhooks::{matching::Asked, rounds::Memory},
};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, Gvr, Reason, status::Cause};
use proa_registry::{AdmissionRequest, Authorizer, Mutate};
use proa_schema::policy::{Compiler, Scope};
use serde_json::Value;
use std::sync::Arc;

const GROUP: &str = "admissionregistration.k8s.io";

/// The plugin.
pub struct MutatingAdmissionPolicy {
    source: Source<Mutations>,
    authorizer: Arc<dyn Authorizer>,
}

/// What mutating policies do.
struct Mutations {
    mutations: Vec<Mutation>,
    /// Done again when the object changes afterwards.
    again: bool,
}

impl Body for Mutations {
    fn compile(spec: &Value, compiler: &Compiler) -> Self {
        let mutations = items(&spec["mutations"]).map(|mutation| Mutation::of(mutation, compiler));
        Self { mutations: mutations.collect(), again: spec["reinvocationPolicy"] == "IfNeeded" }
    }
}

/// What went wrong, of policies whose failures count.
#[derive(Default)]
struct Problems(Vec<(String, Option<Reason>)>);

impl Problems {
    fn add<B>(&mut self, policy: &Policy<B>, binding: Option<&Binding>, why: &str, reason: Option<Reason>) {
        let name = &policy.name;
        let message = match binding {
            Some(binding) => format!("policy '{name}' with binding '{}' denied request: {why}", binding.name),
            None => format!("policy {name:?} denied request: {why}"),
        };
        if policy.ignores_failure {
            tracing::warn!(policy = name, "{message}");
        } else {
            self.0.push((message, reason));
        }
    }

    /// The first is the message, all are causes.
    fn refusal(self, request: &AdmissionRequest<'_>) -> ApiResult<()> {
        let Some((message, reason)) = self.0.first().cloned() else { return Ok(()) };
        let frame = forbidden(request, "admission request denied by policy");
        let details = frame.details().cloned().unwrap_or_default();
        let error = ApiError::new(reason.unwrap_or(Reason::Forbidden), message).with_code(frame.code());
        let causes = self.0.into_iter().map(|(message, _)| Cause { message, ..Cause::default() });
        Err(causes.fold(error.with_details(details), ApiError::with_cause))
    }
}

/// A policy to be evaluated, with one of its bindings and the parameters of that.
struct Invocation<'h> {
    hook: &'h Hook<Mutations>,
    binding: &'h Binding,
    asked: usize,
    params: Value,
}

impl Invocation<'_> {
    /// The same from one round to the next, and of no other.
    fn key(&self) -> String {
        let metadata = &self.params["metadata"];
        let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
        format!("{}/{}/{namespace}/{name}", self.hook.policy.name, self.binding.name)
    }
}

impl MutatingAdmissionPolicy {
    /// `authorizer` answers what expressions ask.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        let policies = Gvr::new(GROUP, "v1", "mutatingadmissionpolicies");
        let bindings = Gvr::new(GROUP, "v1", "mutatingadmissionpolicybindings");
        Self { source: Source::new(policies, bindings), authorizer }
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> ApiResult<()> {
        let Some(hooks) = self.source.hooks(request.registry) else { return Ok(()) };
        let mut problems = Problems::default();
        let mut versions = Vec::new();
        let mut invocations = Vec::new();
        for hook in hooks.iter() {
            if let Some(asked) = about(hook, request, object, &mut problems) {
                collect(hook, asked, request, object, &mut versions, &mut invocations, &mut problems).await;
            }
        }
        if !invocations.is_empty() {
            self.invoke(&invocations, &versions, request, object, &mut problems).await?;
        }
        problems.refusal(request)
    }

    async fn invoke(
        &self,
        invocations: &[Invocation<'_>],
        versions: &[Asked],
        request: &AdmissionRequest<'_>,
        object: &mut Value,
        problems: &mut Problems,
    ) -> ApiResult<()> {
        let rounds = request.rounds;
        let mut memory: Memory = rounds.take(self.name()).unwrap_or_default();
        if rounds.is_second() {
            memory.start_second(object);
        }
        let namespace = facts::namespace(request)?;
        for invocation in invocations {
            let key = invocation.key();
            if rounds.is_second() && !memory.asks_again(&key) {
                continue;
            }
            let asked = &versions[invocation.asked];
            let before = object.clone();
            if !self.run(invocation, asked, &namespace, request, object, problems).await? {
                continue;
            }
            if before != *object {
                memory.has_changed();
                rounds.want_second();
            }
            if invocation.hook.policy.body.again {
                memory.was_asked(&key);
            }
        }
        memory.end_round(object);
        rounds.keep(self.name(), memory);
        Ok(())
    }

    /// Does all mutations of a policy, each on what the one before it left. Whether its conditions hold.
    async fn run(
        &self,
        invocation: &Invocation<'_>,
        asked: &Asked,
        namespace: &Value,
        request: &AdmissionRequest<'_>,
        object: &mut Value,
        problems: &mut Problems,
    ) -> ApiResult<bool> {
        let policy = &*invocation.hook.policy;
        let invalid = Some(Reason::Invalid);
        let mut facts = Facts::of(asked, request, object).await?;
        let authority = Authority::new(&self.authorizer, request.user);
        let held = || {
            let scope = Self::scope(invocation, &facts, &Value::Null, request, &authority);
            evaluation::all_hold(&policy.conditions, &scope)
        };
        match authority.settled(held).await {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(why) => {
                problems.add(policy, Some(invocation.binding), &why, invalid);
                return Ok(false);
            }
        }
        for mutation in &policy.body.mutations {
            if facts.object.is_null() {
                continue;
            }
            let kind = asked.kind(request);
            let patched = || {
                let scope = Self::scope(invocation, &facts, namespace, request, &authority);
                mutation.patched(&scope.about(facts.subject(namespace)), &facts.object, kind, request)
            };
            match authority.settled(patched).await {
                Ok(patched) => {
                    accept(asked, request, object, patched).await?;
                    facts = Facts::of(asked, request, object).await?;
                }
                Err(Unpatched::Refused(why)) => return Err(why),
                Err(Unpatched::Failed(why)) => problems.add(policy, Some(invocation.binding), &why, invalid),
            }
        }
        Ok(true)
    }

    fn scope<'a>(
        invocation: &'a Invocation<'_>,
        facts: &'a Facts,
        namespace: &'a Value,
        request: &AdmissionRequest<'_>,
        authority: &Arc<Authority>,
    ) -> Scope<'a> {
        let variables = &invocation.hook.policy.variables;
        let requested = facts::requested(request);
        Scope::new(facts.subject(namespace), &invocation.params, variables, authority.clone(), &requested)
    }
}

/// The version in which a policy is about the request.
fn about(
    hook: &Hook<Mutations>,
    request: &AdmissionRequest<'_>,
    object: &Value,
    problems: &mut Problems,
) -> Option<Asked> {
    let policy = &*hook.policy;
    let about = policy.constraints.as_ref().map_err(Clone::clone);
    match about.and_then(|on| on.about(request, object).map_err(|why| why.message().to_owned())) {
        Ok(asked) => asked,
        Err(why) => {
            problems.add(policy, None, &format!("failed to configure policy: {why}"), None);
            None
        }
    }
}

/// What a policy is evaluated with under each of its bindings.
async fn collect<'h>(
    hook: &'h Hook<Mutations>,
    asked: Asked,
    request: &AdmissionRequest<'_>,
    object: &Value,
    versions: &mut Vec<Asked>,
    invocations: &mut Vec<Invocation<'h>>,
    problems: &mut Problems,
) {
    let policy = &*hook.policy;
    let kind = match policy.params.as_ref().map(|kind| params::kind(kind, request)).transpose() {
        Ok(kind) => kind,
        Err(why) => return problems.add(policy, None, &format!("failed to configure policy: {why}"), None),
    };
    let version = versions.len();
    versions.push(asked);
    for binding in &hook.bindings {
        match binding.params(kind.as_deref(), request, object).await {
            Ok(params) => invocations.extend(params.into_iter().map(|params| Invocation {
                hook,
                binding,
                asked: version,
                params,
            })),
            Err(why) => {
                let why = format!("failed to configure binding: {why}");
                problems.add(policy, Some(binding), &why, None);
            }
        }
    }
}

/// Takes a changed object in the version in which a policy matched.
async fn accept(
    asked: &Asked,
    request: &AdmissionRequest<'_>,
    object: &mut Value,
    mut patched: Value,
) -> ApiResult<()> {
    if request.gvk() == request.kind.gvk {
        request.registry.convert(asked.kind(request), request.kind, &mut patched).await?;
    }
    request.accept(object, patched).map_err(|why| ApiError::internal(why.message()))
}

impl Mutate for MutatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "MutatingAdmissionPolicy"
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
