//! The objects of one site.

use crate::{Settings, api::WebServer};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Annotation of the pods: hash of the page, so that another page makes other pods.
const PAGE: &str = "webserver.example.com/page";

fn labels(site: &WebServer) -> Value {
    json!({"app.kubernetes.io/name": "webserver", "app.kubernetes.io/instance": site.name_any()})
}

fn object(site: &WebServer, api_version: &str, kind: &str, mut fields: Value) -> Value {
    fields["apiVersion"] = json!(api_version);
    fields["kind"] = json!(kind);
    fields["metadata"] = json!({"name": site.name_any(), "labels": labels(site), "ownerReferences": [site.controller_owner_ref(&())]});
    fields
}

/// The ConfigMap with the page.
pub fn config_map(site: &WebServer) -> Value {
    object(site, "v1", "ConfigMap", json!({"data": {"index.html": site.spec.www}}))
}

/// The Deployment that serves it.
pub fn deployment(site: &WebServer, settings: &Settings) -> Value {
    // Stable within one version of the standard library only: another may make the pods anew.
    let mut page = DefaultHasher::new();
    site.spec.www.hash(&mut page);
    let page = format!("{:x}", page.finish());
    let httpd = json!({
        "name": "httpd", "image": settings.image, "command": ["httpd", "-f", "-p", "8080", "-h", "/www"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true},
        "volumeMounts": [{"name": "www", "mountPath": "/www"}],
    });
    object(
        site,
        "apps/v1",
        "Deployment",
        json!({"spec": {
            "replicas": site.spec.replicas, "selector": {"matchLabels": labels(site)},
            "template": {"metadata": {"labels": labels(site), "annotations": {PAGE: page}}, "spec": {
                "containers": [httpd], "securityContext": {"runAsNonRoot": true, "runAsUser": 65534},
                "terminationGracePeriodSeconds": 2,
                "volumes": [{"name": "www", "configMap": {"name": site.name_any()}}]}},
        }}),
    )
}

/// The Service before the pods.
pub fn service(site: &WebServer) -> Value {
    object(
        site,
        "v1",
        "Service",
        json!({"spec": {
        "selector": labels(site), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
    )
}

/// The Ingress that leads to it.
pub fn ingress(site: &WebServer, host: &str) -> Value {
    let backend = json!({"service": {"name": site.name_any(), "port": {"name": "http"}}});
    object(
        site,
        "networking.k8s.io/v1",
        "Ingress",
        json!({"spec": {"rules": [
        {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
    )
}
