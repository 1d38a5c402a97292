//! Whether a policy or a binding is about a request, and in which version of it. Reads nothing but memory.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/matching/matching.go`.

use crate::admission::webhooks::{
    matching::{self, Asked},
    rules::Rule,
};
use proa_meta::{
    ApiResult,
    selector::{LabelSelector, Selector},
};
use proa_registry::AdmissionRequest;
use serde::Deserialize;
use serde_json::Value;

/// What a policy or a binding is about: `matchConstraints`, `matchResources`.
#[derive(Debug)]
pub(super) struct Match {
    rules: Vec<NamedRule>,
    excluded: Vec<NamedRule>,
    equivalent: bool,
    namespaces: Selector,
    objects: Selector,
}

/// A rule that may be about objects of some names only.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NamedRule {
    resource_names: Vec<String>,
    #[serde(flatten)]
    rule: Rule,
}

impl AsRef<Rule> for NamedRule {
    fn as_ref(&self) -> &Rule {
        &self.rule
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct View {
    resource_rules: Vec<NamedRule>,
    exclude_resource_rules: Vec<NamedRule>,
    match_policy: String,
    namespace_selector: Value,
    object_selector: Value,
}

impl Match {
    /// Of a validated field.
    ///
    /// # Errors
    /// It was not validated.
    pub(super) fn of(resources: &Value) -> Result<Self, String> {
        let view = View::deserialize(resources).map_err(|error| error.to_string())?;
        let selector =
            |selector: &Value| LabelSelector::compile_json(Some(selector)).map_err(|e| e.to_string());
        Ok(Self {
            rules: view.resource_rules,
            excluded: view.exclude_resource_rules,
            equivalent: view.match_policy != "Exact",
            namespaces: selector(&view.namespace_selector)?,
            objects: selector(&view.object_selector)?,
        })
    }

    fn by(&self, rules: &[NamedRule], request: &AdmissionRequest<'_>) -> Option<Asked> {
        matching::about(rules, self.equivalent, request, |rule| {
            rule.resource_names.is_empty() || rule.resource_names.iter().any(|name| name == request.name)
        })
    }

    /// The version in which the rules are about the request; no rules are about everything.
    pub(super) fn rule(&self, request: &AdmissionRequest<'_>) -> Option<Asked> {
        if !self.excluded.is_empty() && self.by(&self.excluded, request).is_some() {
            return None;
        }
        if self.rules.is_empty() { Some(Asked::own()) } else { self.by(&self.rules, request) }
    }

    /// The version in which the whole is about the request with this object (null on delete).
    ///
    /// # Errors
    /// The namespace does not exist.
    pub(super) fn about(&self, request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<Option<Asked>> {
        let Some(asked) = self.rule(request) else { return Ok(None) };
        let selected = matching::is_selected(&self.objects, request, object)
            && matching::in_namespace(&self.namespaces, request, object)?;
        Ok(selected.then_some(asked))
    }
}
