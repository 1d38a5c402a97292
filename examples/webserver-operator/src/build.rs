//! The objects of one site.

use crate::{Settings, api::WebServerView};
use proa_kit::{Kind, children::Child, template::Template};
use serde_json::{Value, json};

const CONFIG_MAP: Kind = Kind::namespaced("", "v1", "ConfigMap", "configmaps");
pub(crate) const DEPLOYMENT: Kind = Kind::namespaced("apps", "v1", "Deployment", "deployments");
const SERVICE: Kind = Kind::namespaced("", "v1", "Service", "services");
pub(crate) const INGRESS: Kind = Kind::namespaced("networking.k8s.io", "v1", "Ingress", "ingresses");

/// The kinds of a site's objects.
pub static KINDS: [Kind; 4] = [CONFIG_MAP, DEPLOYMENT, SERVICE, INGRESS];

/// Annotation of the pods: hash of the page, so that another page makes other pods.
const PAGE: &str = "webserver.example.com/page";

/// The objects of a site; without a host it is not led to.
pub fn children(site: &WebServerView, host: Option<&str>, settings: &Settings) -> Vec<Child> {
    let labels =
        json!({"app.kubernetes.io/name": "webserver", "app.kubernetes.io/instance": site.metadata.name});
    let child = |kind, object| Child { kind, name: site.metadata.name.clone(), object };
    let mut all = vec![
        child(CONFIG_MAP, json!({"metadata": {"labels": labels}, "data": {"index.html": site.spec.www}})),
        child(DEPLOYMENT, deployment(site, &labels, settings)),
        child(
            SERVICE,
            json!({"metadata": {"labels": labels}, "spec": {
            "selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
        ),
    ];
    all.extend(host.map(|host| child(INGRESS, ingress(site, host, &labels))));
    all
}

fn deployment(site: &WebServerView, labels: &Value, settings: &Settings) -> Value {
    let page = Template::from(json!(site.spec.www)).hash(None);
    let httpd = json!({
        "name": "httpd", "image": settings.image, "command": ["httpd", "-f", "-p", "8080", "-h", "/www"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true},
        "volumeMounts": [{"name": "www", "mountPath": "/www"}],
    });
    json!({"metadata": {"labels": labels}, "spec": {
        "replicas": site.spec.replicas, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels, "annotations": {PAGE: page}}, "spec": {
            "containers": [httpd], "securityContext": {"runAsNonRoot": true, "runAsUser": 65534},
            // httpd does not hear SIGTERM as the first process.
            "terminationGracePeriodSeconds": 2,
            "volumes": [{"name": "www", "configMap": {"name": site.metadata.name}}]}},
    }})
}

fn ingress(site: &WebServerView, host: &str, labels: &Value) -> Value {
    let backend = json!({"service": {"name": site.metadata.name, "port": {"name": "http"}}});
    json!({"metadata": {"labels": labels}, "spec": {"rules": [
        {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}})
}
