//! PodSecurity: enforces the Pod Security Standards that a namespace's labels ask for.
//!
//! Owns: reading the labels, refusing pods that violate the level (`standard` has the checks), refusing namespaces
//! whose labels make no sense. Deliberately absent: `warn` and `audit` labels, which never refuse anything. Upstream:
//! `plugin/pkg/admission/security/podsecurity`, pod-security-admission.

pub mod standard;

use super::{forbidden, is_core};
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath};
use proa_registry::{AdmissionRequest, Operation, Registry, Validate};
use serde_json::{Value, json};
use standard::Level;

/// The plugin.
pub struct PodSecurity;

const PREFIX: &str = "pod-security.kubernetes.io/";
const MODES: [&str; 3] = ["enforce", "audit", "warn"];

/// A level at a minor version of Kubernetes 1.x; none: the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    level: Level,
    version: Option<u32>,
}

impl Demand {
    /// What a namespace enforces; values that make no sense count as the strictest.
    fn of(label: impl Fn(&str) -> Option<String>) -> Self {
        let level = label("enforce")
            .map_or(Level::Privileged, |text| Level::parse(&text).unwrap_or(Level::Restricted));
        let version = label("enforce-version").and_then(|text| parse_version(&text).unwrap_or(None));
        Self { level, version }
    }

    fn name(self) -> String {
        let version = self.version.map_or_else(|| "latest".to_owned(), |minor| format!("v1.{minor}"));
        format!("{}:{version}", self.level.name())
    }
}

/// `latest` or `v1.N`.
fn parse_version(text: &str) -> Result<Option<u32>, ()> {
    if text == "latest" {
        return Ok(None);
    }
    let minor = text.strip_prefix("v1.").ok_or(())?;
    let canonical = minor.bytes().all(|b| b.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    if canonical { minor.parse().map(Some).map_err(|_| ()) } else { Err(()) }
}

fn check_pod(request: &AdmissionRequest<'_>, pod: &Value) -> ApiResult<()> {
    if request.subresource.is_empty() && request.old.is_some_and(|old| !is_significant(pod, old)) {
        return Ok(());
    }
    let demand = demand_of(request.registry, request.namespace);
    let violations = standard::violations(pod, demand.level, demand.version);
    if violations.is_empty() {
        return Ok(());
    }
    let why = format!("violates PodSecurity {:?}: {}", demand.name(), violations.join(", "));
    Err(forbidden(request, &why))
}

fn demand_of(registry: &Registry, namespace: &str) -> Demand {
    let entry = registry.kind(&objects::NAMESPACES).and_then(|namespaces| namespaces.get("", namespace));
    Demand::of(|label| Some(entry.as_ref()?.label(&format!("{PREFIX}{label}"))?.to_owned()))
}

/// Whether an update changes anything that a check looks at: images, tolerations and metadata do not.
fn is_significant(new: &Value, old: &Value) -> bool {
    let relevant = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|key, _| {
                !matches!(key.as_str(), "activeDeadlineSeconds" | "tolerations" | "schedulingGates")
            });
        }
        for containers in ["containers", "initContainers", "ephemeralContainers"] {
            let containers = spec.get_mut(containers).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.remove("image");
                container.remove("resources");
            }
        }
        spec
    };
    relevant(new) != relevant(old)
}

fn check_namespace(request: &AdmissionRequest<'_>, namespace: &Value) -> ApiResult<()> {
    let errors = label_errors(&namespace["metadata"]["labels"]);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(&request.kind.group_kind(), request.name, &errors))
    }
}

fn label_errors(labels: &Value) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let metadata = FieldPath::root("metadata");
    let path = metadata.child("labels");
    for mode in MODES {
        let (level, version) = (format!("{PREFIX}{mode}"), format!("{PREFIX}{mode}-version"));
        if let Some(text) = labels[&level].as_str().filter(|text| Level::parse(text).is_none()) {
            let allowed = "must be one of privileged, baseline, restricted";
            errors.invalid(&path.key(&level), &json!(text), allowed);
        }
        if let Some(text) = labels[&version].as_str().filter(|text| parse_version(text).is_err()) {
            errors.invalid(&path.key(&version), &json!(text), "must be \"latest\" or \"v1.x\"");
        }
    }
    errors
}

impl Validate for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let pods = request.kind.gvk.group.is_empty() && request.kind.resource == "pods";
        writes
            && (is_core(request, "namespaces")
                || (pods && matches!(request.subresource, "" | "ephemeralcontainers")))
    }

    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        let check = if request.kind.resource == "namespaces" { check_namespace } else { check_pod };
        async move { check(request, object) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_are_read_from_labels() {
        for (enforce, version, want) in [
            (None, None, "privileged:latest"),
            (Some("baseline"), Some("latest"), "baseline:latest"),
            (Some("restricted"), Some("v1.25"), "restricted:v1.25"),
            (Some("odd"), Some("odd"), "restricted:latest"),
        ] {
            let demand = Demand::of(|label| match label {
                "enforce" => enforce.map(str::to_owned),
                _ => version.map(str::to_owned),
            });
            assert_eq!(demand.name(), want);
        }
    }

    #[test]
    fn senseless_labels_are_refused() {
        let errors = label_errors(&json!({
            "pod-security.kubernetes.io/enforce": "odd",
            "pod-security.kubernetes.io/warn-version": "1.20",
            "pod-security.kubernetes.io/audit": "baseline",
            "pod-security.kubernetes.io/audit-version": "v1.20",
        }));
        let found: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"odd\": must be one of privileged, \
                 baseline, restricted",
                "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1.20\": must be \"latest\" \
                 or \"v1.x\"",
            ]
        );
    }

    #[test]
    fn image_and_toleration_updates_are_not_checked_again() {
        let pod = |image: &str, privileged: bool| {
            json!({"spec": {"containers": [{"name": "a", "image": image, "securityContext": {"privileged": privileged}}],
                            "tolerations": [{"key": image}]}})
        };
        assert!(!is_significant(&pod("a", true), &pod("b", true)));
        assert!(is_significant(&pod("a", true), &pod("a", false)));
    }
}
