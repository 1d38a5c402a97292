//! What nodes may do.

use crate::cluster::{Cluster, pod};
use proa_meta::{Gvr, User};
use proa_policy::objects;
use serde_json::json;

const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");

fn node(name: &str) -> User {
    User::new(format!("system:node:{name}"), &["system:nodes", "system:authenticated"])
}

#[tokio::test]
async fn a_node_reads_what_its_pods_refer_to() {
    let cluster = Cluster::start().await;
    let mut web = pod("web");
    web["spec"]["nodeName"] = json!("n1");
    web["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "password"}}]);
    cluster.create(&objects::PODS, "default", web).await.unwrap();
    for (want, name, what, namespace, object) in [
        (true, "n1", "get secrets", "default", "password"),
        (true, "n1", "watch configmaps", "default", "kube-root-ca.crt"),
        (false, "n1", "get secrets", "default", "other"),
        (false, "n1", "get secrets", "kube-system", "password"),
        (false, "n1", "list secrets", "default", ""),
        (false, "n2", "get secrets", "default", "password"),
        (true, "n1", "create serviceaccounts/token", "default", "default"),
        (false, "n2", "create serviceaccounts/token", "default", "default"),
        (true, "n1", "get pods", "default", "web"),
        (false, "n2", "get pods", "default", "web"),
        (false, "n2", "list pods", "", ""),
        (true, "n2", "list pods?spec.nodeName=n2", "", ""),
        (true, "n2", "watch pods?status.phase!=Failed,spec.nodeName=n2", "", ""),
        (false, "n2", "list pods?spec.nodeName!=n2", "", ""),
        (false, "n2", "watch pods?spec.nodeName=n1", "", ""),
        (true, "n1", "watch pods", "default", "web"),
        (false, "n2", "watch pods", "default", "web"),
        (true, "n1", "get nodes", "", "n1"),
        (false, "n1", "get nodes", "", "n2"),
        (false, "n1", "list nodes", "", ""),
        (true, "n1", "update leases.coordination.k8s.io", "kube-node-lease", "n1"),
        (false, "n1", "update leases.coordination.k8s.io", "kube-node-lease", "n2"),
        (false, "n1", "update leases.coordination.k8s.io", "default", "n1"),
        (true, "n1", "list services", "", ""),
        (true, "n1", "create events", "default", ""),
        (false, "n1", "create deployments.apps", "default", ""),
    ] {
        assert_eq!(
            cluster.may(&node(name), what, namespace, object).await,
            want,
            "{name} {what} {namespace}/{object}"
        );
    }
    let stranger = User::new("system:node:n1", &["system:authenticated"]);
    assert!(!cluster.may(&stranger, "get secrets", "default", "password").await);
}

#[tokio::test]
async fn a_node_writes_only_its_own_objects() {
    let cluster = Cluster::start().await;
    let register = async |user: &str, name: &str, labels| {
        let object = json!({"metadata": {"name": name, "labels": labels}});
        cluster.create_as(&node(user), &objects::NODES, "", object).await.map_err(|e| e.message().to_owned())
    };
    let found = register("n1", "n1", json!({"kubernetes.io/hostname": "n1"})).await.unwrap();
    assert_eq!(found["spec"]["taints"][0]["key"], "node.kubernetes.io/not-ready");
    let error = register("n1", "n2", json!({})).await.unwrap_err();
    assert!(error.contains("node \"n1\" is not allowed to modify node \"n2\""), "{error}");
    let error = register("n2", "n2", json!({"node-restriction.kubernetes.io/a": "b"})).await.unwrap_err();
    assert!(error.contains("is not allowed to set the following labels"), "{error}");

    let lease = |name: &str| json!({"metadata": {"name": name}});
    let create = async |namespace: &str, name: &str| {
        cluster.create_as(&node("n1"), &LEASES, namespace, lease(name)).await.is_ok()
    };
    assert!(create("kube-node-lease", "n1").await);
    assert!(!create("kube-node-lease", "n2").await);
    assert!(!create("default", "n1").await);
    let error = cluster.create_as(&node("n1"), &objects::PODS, "default", pod("web")).await.unwrap_err();
    assert!(error.message().contains("can only create mirror pods"), "{error}");
}

#[tokio::test]
async fn a_node_asks_for_tokens_of_its_pods_only() {
    let cluster = Cluster::start().await;
    let mut web = pod("web");
    web["spec"]["nodeName"] = json!("n1");
    let web = cluster.create(&objects::PODS, "default", web).await.unwrap();
    let ask = async |user: &str, spec| {
        let target = cluster.target(&objects::SERVICE_ACCOUNTS, "default", "default", &node(user));
        cluster.post(&target, "token", json!({ "spec": spec })).await.map_err(|e| e.message().to_owned())
    };
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": web["metadata"]["uid"]});
    ask("n1", json!({"boundObjectRef": bound, "expirationSeconds": 3607})).await.unwrap();
    for (user, spec, want) in [
        ("n1", json!({}), "not bound to a pod"),
        ("n2", json!({"boundObjectRef": bound}), "scheduled on a different node"),
        (
            "n1",
            json!({"boundObjectRef": bound, "audiences": ["vault"]}),
            "audience \"vault\" not found in pod spec",
        ),
    ] {
        let error = ask(user, spec).await.unwrap_err();
        assert!(error.contains(want), "{error}");
    }
}

#[tokio::test]
async fn what_a_node_may_read_follows_its_pods() {
    let cluster = Cluster::start().await;
    let may = async |name: &str| cluster.may(&node("n1"), "get secrets", "default", name).await;
    let create = async |name: &str, secret: &str| {
        let mut object = pod(name);
        object["spec"]["nodeName"] = json!("n1");
        object["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": secret}}]);
        cluster.create(&objects::PODS, "default", object).await.unwrap();
    };
    assert!(!may("a").await);
    create("web", "a").await;
    assert!(may("a").await);
    create("other", "a").await;
    create("third", "b").await;
    cluster.delete(&objects::PODS, "default", "web").await.unwrap();
    assert!(may("a").await && may("b").await);
    cluster.delete(&objects::PODS, "default", "other").await.unwrap();
    assert!(!may("a").await);
    // More changes than the window holds: the index starts over.
    for round in 0..4 {
        let big = json!("x".repeat(100_000));
        for n in 0..60 {
            let mut object = pod(&format!("fill-{round}-{n}"));
            object["metadata"]["annotations"] = json!({"big": big});
            cluster.create(&objects::PODS, "default", object).await.unwrap();
        }
    }
    assert!(may("b").await && !may("a").await);
}
