//! PodSecurity: enforces the Pod Security Standards that a namespace's labels ask for.
//!
//! Owns: reading the labels, refusing pods that violate the level (`standard` has the checks), refusing namespaces
//! whose labels make no sense; warnings and annotations for the audit log where the labels `warn` and `audit` ask for
//! them. Deliberately absent: pods in the templates of other kinds, which are never refused. Upstream:
//! `plugin/pkg/admission/security/podsecurity`, pod-security-admission.

pub mod standard;

use super::{forbidden, is_core};
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath};
use proa_registry::{AdmissionRequest, Operation, Validate, admission::annotate};
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
    /// What a namespace asks for in a mode. Values that make no sense count as the strictest where pods are refused, and
    /// as nothing elsewhere.
    fn of(mode: &str, label: impl Fn(&str) -> Option<String>) -> Self {
        let senseless = if mode == "enforce" { Level::Restricted } else { Level::Privileged };
        let level = label(mode).map_or(Level::Privileged, |text| Level::parse(&text).unwrap_or(senseless));
        let version = label(&format!("{mode}-version")).and_then(|text| parse_version(&text).unwrap_or(None));
        Self { level, version }
    }

    /// What a namespace warns of: what it enforces, unless it says otherwise.
    fn warned(label: impl Fn(&str) -> Option<String>) -> Self {
        let warn = Self::of("warn", &label);
        let enforced = label("enforce").and_then(|text| Level::parse(&text));
        match (label("warn"), enforced) {
            (None, Some(level)) if level != Level::Privileged => match label("warn-version") {
                None => Self::of("enforce", label),
                Some(_) => Self { level, ..warn },
            },
            _ => warn,
        }
    }

    /// What of the pod violates it, as it is told.
    fn violated(self, pod: &Value) -> Option<String> {
        let violations = standard::violations(pod, self.level, self.version);
        (!violations.is_empty()).then(|| format!("PodSecurity {:?}: {}", self.name(), violations.join(", ")))
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
    let namespaces = request.registry.kind(&objects::NAMESPACES);
    let namespace = namespaces.and_then(|namespaces| namespaces.get("", request.namespace));
    let label = |label: &str| Some(namespace.as_ref()?.label(&format!("{PREFIX}{label}"))?.to_owned());
    let (enforced, audited) = (Demand::of("enforce", label), Demand::of("audit", label));
    annotate(|| format!("{PREFIX}enforce-policy"), || enforced.name());
    if let Some(what) = audited.violated(pod) {
        annotate(|| format!("{PREFIX}audit-violations"), || format!("would violate {what}"));
    }
    if let Some(what) = enforced.violated(pod) {
        return Err(forbidden(request, &format!("violates {what}")));
    }
    if let Some(what) = Demand::warned(label).violated(pod) {
        request.notes.warn(format!("would violate {what}"));
    }
    Ok(())
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
            let demand = Demand::of("enforce", |label| match label {
                "enforce" => enforce.map(str::to_owned),
                _ => version.map(str::to_owned),
            });
            assert_eq!(demand.name(), want);
        }
    }

    #[test]
    fn what_is_enforced_is_warned_of_unless_said_otherwise() {
        for (labels, want) in [
            (&[][..], "privileged:latest"),
            (&[("enforce", "baseline"), ("enforce-version", "v1.30")], "baseline:v1.30"),
            (&[("enforce", "baseline"), ("warn-version", "v1.31")], "baseline:v1.31"),
            (&[("enforce", "restricted"), ("warn", "privileged")], "privileged:latest"),
            (&[("enforce", "odd")], "privileged:latest"),
            (&[("warn", "odd")], "privileged:latest"),
        ] {
            let label =
                |name: &str| labels.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
            assert_eq!(Demand::warned(label).name(), want, "{labels:?}");
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
