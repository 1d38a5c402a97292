//! What namespaces hold from the start, and how they go.

use crate::Cluster;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_holds_an_account_and_the_root_certificates_and_gets_them_back() {
    let cluster = Cluster::start(0).await;
    cluster.create("", "v1/Namespace", json!({"metadata": {"name": "shop"}})).await;
    for (kind, name) in [("v1/ServiceAccount", "default"), ("v1/ConfigMap", "kube-root-ca.crt")] {
        let old = cluster.until("shop", kind, name, |_| true).await["metadata"]["uid"].clone();
        cluster.delete("shop", kind, name, None).await;
        cluster.until("shop", kind, name, |object| object["metadata"]["uid"] != old).await;
    }
    let right = |map: &serde_json::Value| map["data"] == json!({"ca.crt": "CERTIFICATE"});
    cluster
        .patch("shop", "v1/ConfigMap", "kube-root-ca.crt", json!({"data": {"ca.crt": "x", "more": "y"}}))
        .await;
    cluster.until("shop", "v1/ConfigMap", "kube-root-ca.crt", right).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_all_it_holds_and_waits_for_finalizers() {
    let cluster = Cluster::start(1).await;
    cluster.create("", "v1/Namespace", json!({"metadata": {"name": "shop"}})).await;
    cluster.until("shop", "v1/ServiceAccount", "default", |_| true).await;
    let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}});
    cluster.create("shop", "v1/Pod", pod).await;
    let map = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    cluster.create("shop", "v1/ConfigMap", map).await;
    cluster.until("shop", "v1/Pod", "web", |pod| pod["status"]["phase"] == "Running").await;
    cluster.delete("", "v1/Namespace", "shop", None).await;
    cluster.until_gone("shop", "v1/Pod", "web").await;
    let held = |namespace: &serde_json::Value| {
        let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|own| own["type"] == "NamespaceFinalizersRemaining" && own["status"] == "True")
    };
    cluster.until("", "v1/Namespace", "shop", held).await;
    cluster.patch("shop", "v1/ConfigMap", "held", json!({"metadata": {"finalizers": null}})).await;
    cluster.until_gone("", "v1/Namespace", "shop").await;
    cluster.stop().await;
}
