//! Defaults of pod specs and their parts.
//!
//! Upstream: `pkg/apis/core/v1/{defaults,conversion}.go`. What only a Pod gets, and a template does not, is in
//! [`pod_only`].

use super::{CONTAINER_LISTS, alpha, resources};
use crate::fill::{absent, is_empty, items, present, remove, set, sub, zero};
use serde_json::{Value, json};

/// Mode of the files that volumes project.
const FILE_MODE: i32 = 0o644;

/// Defaults of a pod spec.
pub(crate) fn pod_spec(spec: &mut Value) {
    alpha::drop_disabled(spec);
    zero(spec, "restartPolicy", "Always");
    zero(spec, "dnsPolicy", "ClusterFirst");
    zero(spec, "schedulerName", "default-scheduler");
    absent(spec, "terminationGracePeriodSeconds", 30);
    sub(spec, "securityContext");
    service_account(spec);
    items(spec, "volumes").for_each(volume);
    for list in CONTAINER_LISTS {
        items(spec, list).for_each(container);
    }
    if let Some(overhead) = present(spec, "overhead") {
        resources::round_up(overhead);
    }
    if let Some(requirements) = present(spec, "resources") {
        resource_requirements(requirements);
    }
}

/// Defaults of a pod template.
pub(crate) fn template(owner_spec: &mut Value) {
    pod_spec(sub(sub(owner_spec, "template"), "spec"));
}

/// Defaults that a Pod gets and a template does not.
pub(crate) fn pod_only(spec: &mut Value) {
    absent(spec, "enableServiceLinks", true);
    let grace = "terminationGracePeriodSeconds";
    if spec[grace].as_i64().is_some_and(|seconds| seconds < 0) {
        set(spec, grace, 1);
    }
    for list in ["containers", "initContainers"] {
        items(spec, list).for_each(resources::requests_from_limits);
    }
    resources::pod_level_defaults(spec);
    if spec["hostNetwork"] == true {
        let lists = ["containers", "initContainers"];
        lists.into_iter().for_each(|list| items(spec, list).for_each(host_ports));
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always shown.
fn service_account(spec: &mut Value) {
    let field = |name: &str| spec.get(name).filter(|v| !is_empty(v)).cloned();
    match field("serviceAccountName").or_else(|| field("serviceAccount")) {
        Some(name) => {
            set(spec, "serviceAccountName", name.clone());
            set(spec, "serviceAccount", name);
        }
        None => remove(spec, "serviceAccount"),
    }
}

fn host_ports(container: &mut Value) {
    for port in items(container, "ports") {
        let number = port["containerPort"].clone();
        zero(port, "hostPort", number);
    }
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or("");
    let policy = pull_policy(image);
    zero(container, "imagePullPolicy", policy);
    zero(container, "terminationMessagePath", "/dev/termination-log");
    zero(container, "terminationMessagePolicy", "File");
    items(container, "ports").for_each(|port| zero(port, "protocol", "TCP"));
    for variable in items(container, "env") {
        if let Some(source) = present(variable, "valueFrom") {
            field_ref(source);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        present(container, name).into_iter().for_each(probe);
    }
    if let Some(lifecycle) = present(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            present(lifecycle, name).into_iter().for_each(http_get);
        }
    }
    present(container, "resources").into_iter().for_each(resource_requirements);
}

fn resource_requirements(requirements: &mut Value) {
    for list in ["limits", "requests"] {
        present(requirements, list).into_iter().for_each(resources::round_up);
    }
}

/// `Always` for images without a tag or digest and for the tag `latest`; not for what is no image name at all.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name[last..].find(':') {
        Some(colon) => (&name[..last + colon], Some(&name[last + colon + 1..])),
        None => (name, None),
    };
    match tag {
        _ if !is_repository(name) => "IfNotPresent",
        Some("latest") => "Always",
        None if !digest => "Always",
        _ => "IfNotPresent",
    }
}

/// Longest path of a repository.
const LONGEST_NAME: usize = 255;

/// `[registry/]path/of/repository`.
fn is_repository(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((host, path)) if is_registry(host) => path,
        _ => name,
    };
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let inner = |b: &u8| edge(Some(b)) || matches!(b, b'.' | b'_' | b'-');
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
    };
    // Nothing is named like an image's identifier, and a name has its length, `library/` of the default registry included.
    let is_id = name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let whole = if name.contains('/') { path.len() } else { "library/".len() + path.len() };
    !is_id && whole <= LONGEST_NAME && path.split('/').all(part)
}

fn is_registry(host: &str) -> bool {
    host.contains(['.', ':']) || host == "localhost" || host.bytes().any(|b| b.is_ascii_uppercase())
}

fn probe(probe: &mut Value) {
    zero(probe, "timeoutSeconds", 1);
    zero(probe, "periodSeconds", 10);
    zero(probe, "successThreshold", 1);
    zero(probe, "failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = present(probe, "grpc") {
        absent(grpc, "service", "");
    }
}

fn http_get(handler: &mut Value) {
    if let Some(http) = present(handler, "httpGet") {
        zero(http, "path", "/");
        zero(http, "scheme", "HTTP");
    }
}

fn field_ref(source: &mut Value) {
    if let Some(reference) = present(source, "fieldRef") {
        zero(reference, "apiVersion", "v1");
    }
}

fn volume(volume: &mut Value) {
    let has_source =
        volume.as_object().is_some_and(|v| v.iter().any(|(key, value)| key != "name" && !value.is_null()));
    if !has_source {
        set(volume, "emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = present(volume, source) {
            absent(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(path) = present(volume, "hostPath") {
        absent(path, "type", "");
    }
    if let Some(downward) = present(volume, "downwardAPI") {
        items(downward, "items").for_each(field_ref);
    }
    if let Some(projected) = present(volume, "projected") {
        items(projected, "sources").for_each(projection);
    }
    if let Some(image) = present(volume, "image") {
        let policy = pull_policy(image["reference"].as_str().unwrap_or(""));
        zero(image, "pullPolicy", policy);
    }
    if let Some(claim) = present(volume, "ephemeral").and_then(|e| present(e, "volumeClaimTemplate")) {
        absent(sub(claim, "spec"), "volumeMode", "Filesystem");
    }
}

fn projection(source: &mut Value) {
    if let Some(token) = present(source, "serviceAccountToken") {
        absent(token, "expirationSeconds", 3600);
    }
    if let Some(downward) = present(source, "downwardAPI") {
        items(downward, "items").for_each(field_ref);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:abc", "IfNotPresent"),
            ("", "IfNotPresent"),
            ("Nginx", "IfNotPresent"),
            ("a//b", "IfNotPresent"),
            ("Registry/nginx", "Always"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn a_small_spec_is_completed() {
        let mut spec = json!({"serviceAccount": "me", "volumes": [{"name": "v"}, {"name": "s", "secret": {}}],
            "containers": [{"name": "c", "image": "i:1", "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}}}]});
        pod_spec(&mut spec);
        assert_eq!(spec["serviceAccountName"], "me");
        assert_eq!(spec["volumes"][0]["emptyDir"], json!({}));
        assert_eq!(spec["volumes"][1]["secret"]["defaultMode"], 420);
        let container = &spec["containers"][0];
        assert_eq!(container["ports"][0]["protocol"], "TCP");
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/");
        assert_eq!(container["livenessProbe"]["failureThreshold"], 3);
        assert_eq!(spec["terminationGracePeriodSeconds"], 30);
        assert!(spec.get("enableServiceLinks").is_none());
    }
}
