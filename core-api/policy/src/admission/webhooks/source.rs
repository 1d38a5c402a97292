//! The webhooks of all configurations of one kind, compiled, in the order in which they are asked.
//!
//! Read from the published state, which is the store's watch: compiled anew only when a configuration has changed.
//! Upstream: apiserver `pkg/admission/configuration`, `pkg/admission/plugin/webhook/accessors.go`.

use super::{matching, rules::Rule};
use crate::admission::policies::evaluation::Compiled;
use arc_swap::ArcSwapOption;
use proa_meta::{
    Gvr,
    selector::{LabelSelector, Selector},
};
use proa_registry::{AdmissionRequest, Registry, webhook::WebhookClient};
use proa_schema::policy::{Compiler, Role};
use proa_store::Revision;
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// One webhook.
#[derive(Debug)]
pub(super) struct Hook {
    /// The same from one request to the next, and of no other webhook.
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) configuration: String,
    pub(super) client: WebhookClient,
    pub(super) rules: Vec<Rule>,
    /// Also asked about requests in another version of what its rules name.
    pub(super) equivalent: bool,
    pub(super) namespaces: Selector,
    pub(super) objects: Selector,
    pub(super) conditions: Vec<Compiled>,
    pub(super) timeout: Duration,
    pub(super) ignores_failure: bool,
    /// May be asked about what is not stored in the end.
    pub(super) allows_dry_run: bool,
    /// Asked a second time when the object changes after it (mutating webhooks only).
    pub(super) asked_again: bool,
    pub(super) review_versions: Vec<String>,
}

/// Compiled webhooks.
#[derive(Default)]
pub(super) struct Hooks(pub(super) Vec<Hook>);

/// See the module's text.
pub(super) struct Source {
    kind: Gvr,
    compiled: ArcSwapOption<(Revision, Arc<Hooks>)>,
}

impl Source {
    pub(super) const fn new(kind: Gvr) -> Self {
        Self { kind, compiled: ArcSwapOption::const_empty() }
    }

    /// The present webhooks.
    pub(super) fn hooks(&self, registry: &Registry) -> Arc<Hooks> {
        let Some(kind) = registry.kind(&self.kind) else { return Arc::default() };
        let revision = kind.revision();
        if let Some(compiled) = self.compiled.load().as_ref().filter(|c| c.0 == revision) {
            return compiled.1.clone();
        }
        let snapshot = kind.snapshot();
        // In the order of keys, which is that of names.
        let entries = snapshot.iter().map(|entry| entry.stored_value(entry.revision));
        let hooks = Arc::new(Hooks(entries.flat_map(|configuration| compile(&configuration)).collect()));
        self.compiled.store(Some(Arc::new((snapshot.revision(), hooks.clone()))));
        hooks
    }

    /// Whether any webhook's rules are about the request.
    pub(super) fn is_interested(&self, request: &AdmissionRequest<'_>) -> bool {
        !matching::is_exempt_from_webhooks(request)
            && self.hooks(request.registry).0.iter().any(|hook| matching::rule(hook, request).is_some())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct View {
    name: String,
    client_config: Value,
    rules: Vec<Rule>,
    failure_policy: String,
    match_policy: String,
    namespace_selector: Value,
    object_selector: Value,
    side_effects: String,
    timeout_seconds: u64,
    admission_review_versions: Vec<String>,
    reinvocation_policy: String,
    match_conditions: Vec<ConditionView>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            name: String::new(),
            client_config: Value::Null,
            rules: Vec::new(),
            failure_policy: String::new(),
            match_policy: String::new(),
            namespace_selector: Value::Object(Default::default()),
            object_selector: Value::Object(Default::default()),
            side_effects: String::new(),
            timeout_seconds: 10,
            admission_review_versions: Vec::new(),
            reinvocation_policy: String::new(),
            match_conditions: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct ConditionView {
    expression: String,
}

/// The webhooks of a configuration. They were validated when they were written: one that cannot be used all the same is
/// left out, and said so.
pub(super) fn compile(configuration: &Value) -> Vec<Hook> {
    let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
    let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
    let compiled = webhooks.enumerate().filter_map(|(i, webhook)| {
        let used = View::deserialize(webhook).map_err(|e| e.to_string()).and_then(|view| hook(name, i, view));
        used.map_err(|why| tracing::error!(configuration = name, webhook = i, why, "webhook cannot be used"))
            .ok()
    });
    compiled.collect()
}

fn hook(configuration: &str, index: usize, view: View) -> Result<Hook, String> {
    let selector = |selector: &Value| LabelSelector::compile_json(Some(selector)).map_err(|e| e.to_string());
    let compiler = Compiler::new(false);
    let conditions =
        view.match_conditions.iter().map(|one| compiler.compile(one.expression.trim(), Role::Condition));
    Ok(Hook {
        uid: format!("{configuration}/{}/{index}", view.name),
        client: WebhookClient::of(&view.client_config)?,
        rules: view.rules,
        equivalent: view.match_policy != "Exact",
        namespaces: selector(&view.namespace_selector)?,
        objects: selector(&view.object_selector)?,
        conditions: conditions.collect(),
        timeout: Duration::from_secs(view.timeout_seconds),
        ignores_failure: view.failure_policy == "Ignore",
        allows_dry_run: matches!(view.side_effects.as_str(), "None" | "NoneOnDryRun"),
        asked_again: view.reinvocation_policy == "IfNeeded",
        review_versions: view.admission_review_versions,
        name: view.name,
        configuration: configuration.to_owned(),
    })
}
