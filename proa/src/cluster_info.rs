//! What lets nodes of other machines join: the config map `kube-public/cluster-info` says where the cluster is and who signs
//! for it, and bindings say which of their certificates need nobody's approval.
//!
//! Anybody may read the map; a token's holder knows by its signature that it is the right one (`operators/bootstrap-token`).
//! Names and groups are kubeadm's. Applied anew at each start, so that it is true.

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::Request;
use kube::Client;
use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";
/// Whom a token of a new node stands for.
const JOINING: &str = "system:bootstrappers:kubeadm:default-node-token";

/// Applies it all.
///
/// # Errors
/// The API refuses it.
pub(crate) async fn publish(client: &Client, server: &str, authority: &str) -> Result<()> {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"kubeconfig": kubeconfig(server, authority)}});
    apply(client, "/api/v1/namespaces/kube-public/configmaps/cluster-info", map).await?;
    let public = "/namespaces/kube-public";
    let read = json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}]);
    let reader = "kubeadm:bootstrap-signer-clusterinfo";
    rbac(client, public, "roles", "Role", reader, json!({"rules": read})).await?;
    let bind = |kind: &str, role: &str, subject: &str, to: &str| {
        json!({"roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
            "subjects": [{"apiGroup": GROUP, "kind": subject, "name": to}]})
    };
    let anybody = bind("Role", reader, "User", "system:anonymous");
    rbac(client, public, "rolebindings", "RoleBinding", reader, anybody).await?;
    let requests = "system:certificates.k8s.io:certificatesigningrequests";
    for (name, role, to) in [
        ("kubelet-bootstrap", "system:node-bootstrapper", JOINING),
        ("node-autoapprove-bootstrap", &*format!("{requests}:nodeclient"), JOINING),
        ("node-autoapprove-certificate-rotation", &*format!("{requests}:selfnodeclient"), "system:nodes"),
    ] {
        let binding = bind("ClusterRole", role, "Group", to);
        let name = format!("kubeadm:{name}");
        rbac(client, "", "clusterrolebindings", "ClusterRoleBinding", &name, binding).await?;
    }
    Ok(())
}

async fn rbac(
    client: &Client,
    place: &str,
    resource: &str,
    kind: &str,
    name: &str,
    mut object: Value,
) -> Result<()> {
    object["apiVersion"] = json!(format!("{GROUP}/v1"));
    object["kind"] = json!(kind);
    apply(client, &format!("/apis/{GROUP}/v1{place}/{resource}/{name}"), object).await
}

/// Applies `object` under the name that ends `path`.
async fn apply(client: &Client, path: &str, mut object: Value) -> Result<()> {
    object["metadata"]["name"] = json!(path.rsplit('/').next());
    let request = Request::patch(format!("{path}?fieldManager=proa&force=true"))
        .header(http::header::CONTENT_TYPE, "application/apply-patch+yaml")
        .body(object.to_string().into_bytes())?;
    client.request_text(request).await.map(drop).with_context(|| format!("write {path}"))
}

/// JSON is YAML, and clients read both.
fn kubeconfig(server: &str, authority: &str) -> String {
    let cluster = json!({"server": server, "certificate-authority-data": BASE64_STANDARD.encode(authority)});
    let config = json!({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": cluster}],
        "contexts": [], "users": [], "current-context": "", "preferences": {}});
    config.to_string()
}
