//! The policies of one kind that are bound to anything, compiled, with their bindings.
//!
//! Read from the published state, which is the store's watch: the list is made anew when a policy or a binding has
//! changed, and a policy is compiled again only when its own spec has. Both are in the order of their names.
//! Upstream: apiserver `pkg/admission/plugin/policy/generic/policy_source.go`.

use super::{
    evaluation::Compiled,
    facts,
    matching::Match,
    params::{self, ParamRef},
};
use crate::admission::{items, webhooks::matching::is_exempt};
use arc_swap::ArcSwapOption;
use proa_meta::{Gvr, gvk};
use proa_registry::{AdmissionRequest, Kind, Registry};
use proa_schema::policy::{Compiler, Role, Variables};
use proa_store::Revision;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

/// What policies of one kind say beside what both have.
pub(super) trait Body: Send + Sync + Sized + 'static {
    /// From a policy's spec.
    fn compile(spec: &Value, compiler: &Compiler) -> Self;
}

/// A policy.
pub(super) struct Policy<B> {
    pub(super) name: String,
    spec: Value,
    /// Its kind of parameters.
    pub(super) params: Option<ParamKind>,
    pub(super) constraints: Result<Match, String>,
    pub(super) conditions: Vec<Compiled>,
    pub(super) variables: Variables,
    pub(super) ignores_failure: bool,
    pub(super) body: B,
}

/// Group, version and kind of parameters.
#[derive(Clone, Debug)]
pub(super) struct ParamKind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
}

/// A binding.
pub(super) struct Binding {
    pub(super) name: String,
    /// None: it adds nothing to the policy's own constraints.
    pub(super) resources: Option<Result<Match, String>>,
    pub(super) params: Option<ParamRef>,
    /// What becomes of failures (validating policies only).
    pub(super) actions: Vec<String>,
}

/// A policy with its bindings.
pub(super) struct Hook<B> {
    pub(super) policy: Arc<Policy<B>>,
    pub(super) bindings: Vec<Binding>,
}

struct Hooks<B> {
    policies: Revision,
    bindings: Revision,
    list: Arc<Vec<Hook<B>>>,
}

/// See the module's text.
pub(super) struct Source<B> {
    kinds: [Gvr; 2],
    /// The kinds as they are served; they never change once they are.
    served: OnceLock<[Arc<Kind>; 2]>,
    compiled: ArcSwapOption<Hooks<B>>,
}

impl<B: Body> Source<B> {
    pub(super) const fn new(policies: Gvr, bindings: Gvr) -> Self {
        Self { kinds: [policies, bindings], served: OnceLock::new(), compiled: ArcSwapOption::const_empty() }
    }

    fn served(&self, registry: &Registry) -> Option<&[Arc<Kind>; 2]> {
        if let Some(served) = self.served.get() {
            return Some(served);
        }
        let [policies, bindings] = &self.kinds;
        let found = [registry.kind(policies)?, registry.kind(bindings)?];
        Some(self.served.get_or_init(|| found))
    }

    /// The present policies that are bound, if there are any.
    pub(super) fn hooks(&self, registry: &Registry) -> Option<Arc<Vec<Hook<B>>>> {
        let [policies, bindings] = self.served(registry)?;
        let bindings = Some(bindings.snapshot()).filter(|bindings| !bindings.is_empty())?;
        let policies = policies.snapshot();
        let before = self.compiled.load_full();
        let is_present = |hooks: &Arc<Hooks<B>>| {
            hooks.policies == policies.revision() && hooks.bindings == bindings.revision()
        };
        if let Some(hooks) = before.as_ref().filter(|hooks| is_present(hooks)) {
            return Some(hooks.list.clone());
        }
        let known = before.iter().flat_map(|hooks| hooks.list.iter());
        let known: HashMap<&str, &Arc<Policy<B>>> =
            known.map(|hook| (hook.policy.name.as_str(), &hook.policy)).collect();
        let mut bound: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
        for entry in bindings.iter() {
            let binding = entry.stored_value(entry.revision);
            bound.entry(text(&binding["spec"]["policyName"])).or_default().push(Binding::of(&binding));
        }
        let list = bound.into_iter().filter_map(|(name, bindings)| {
            let entry = policies.get("", &name)?;
            let policy = entry.stored_value(entry.revision);
            let same = known.get(name.as_str()).filter(|known| known.spec == policy["spec"]);
            let policy = same.map_or_else(|| Arc::new(Policy::of(&policy)), |known| Arc::clone(known));
            Some(Hook { policy, bindings })
        });
        let list = Arc::new(list.collect());
        self.compiled.store(Some(Arc::new(Hooks {
            policies: policies.revision(),
            bindings: bindings.revision(),
            list: Arc::clone(&list),
        })));
        Some(list)
    }

    /// Whether any policy's rules are about the request.
    pub(super) fn is_interested(&self, request: &AdmissionRequest<'_>) -> bool {
        let Some(hooks) = self.hooks(request.registry) else { return false };
        // A policy whose constraints cannot be read refuses what it might be about.
        let is_about = |hook: &Hook<B>| {
            hook.policy.constraints.as_ref().map_or(true, |constraints| constraints.rule(request).is_some())
        };
        !is_exempt(request) && hooks.iter().any(is_about)
    }
}

impl<B: Body> Policy<B> {
    fn of(policy: &Value) -> Self {
        let spec = &policy["spec"];
        let params = ParamKind::of(&spec["paramKind"]);
        let mut compiler = Compiler::new(params.is_some());
        for variable in items(&spec["variables"]) {
            compiler.keep(&text(&variable["name"]), &text(&variable["expression"]));
        }
        let conditions = items(&spec["matchConditions"])
            .map(|condition| compiler.compile(text(&condition["expression"]).trim(), Role::Condition));
        Self {
            name: text(&policy["metadata"]["name"]),
            params,
            constraints: Match::of(&spec["matchConstraints"]),
            conditions: conditions.collect(),
            ignores_failure: spec["failurePolicy"] == "Ignore",
            body: B::compile(spec, &compiler),
            variables: compiler.into_variables(),
            spec: spec.clone(),
        }
    }
}

impl ParamKind {
    fn of(params: &Value) -> Option<Self> {
        let version = params["apiVersion"].as_str()?;
        let (group, version) = gvk::split_api_version(version).unwrap_or(("", version));
        Some(Self { group: group.to_owned(), version: version.to_owned(), kind: text(&params["kind"]) })
    }
}

impl Binding {
    fn of(binding: &Value) -> Self {
        let spec = &binding["spec"];
        let resources = &spec["matchResources"];
        let actions = items(&spec["validationActions"]);
        Self {
            name: text(&binding["metadata"]["name"]),
            resources: resources.is_object().then(|| Match::of(resources)),
            params: ParamRef::of(&spec["paramRef"]),
            actions: actions.map(text).collect(),
        }
    }

    /// The parameters with which the policy is evaluated under this binding; none: it is not.
    ///
    /// # Errors
    /// The binding cannot be used.
    pub(super) async fn params(
        &self,
        kind: Option<&Kind>,
        request: &AdmissionRequest<'_>,
        object: &Value,
    ) -> Result<Vec<Value>, String> {
        if let Some(resources) = &self.resources {
            let about = resources.as_ref().map_err(Clone::clone)?.about(request, object);
            if about.map_err(|why| why.message().to_owned())?.is_none() {
                return Ok(Vec::new());
            }
        }
        params::collect(kind, self.params.as_ref(), request, facts::namespace_of(request)).await
    }
}

/// A text, empty when there is none.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
