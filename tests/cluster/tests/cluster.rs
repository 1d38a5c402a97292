//! The test cluster itself: identities, nodes, and a Deployment that becomes available on them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, ServiceAccount},
};
use kube::{
    Api,
    api::{ListParams, PostParams},
    runtime::wait::{await_condition, conditions},
};
use proa_test_cluster::Cluster;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn clients_are_who_they_say() {
    let cluster = Cluster::start().await.unwrap();
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "m"}})).unwrap();
    let admin: Api<ConfigMap> = Api::default_namespaced(cluster.admin());
    admin.create(&PostParams::default(), &map).await.unwrap();
    let jane: Api<ConfigMap> = Api::default_namespaced(cluster.client("jane", &[]));
    let kube::Error::Api(refused) = jane.get("m").await.unwrap_err() else { panic!("no status") };
    assert_eq!(refused.code, 403);
    assert!(
        refused.message.contains(r#"User "jane" cannot get resource "configmaps""#),
        "{}",
        refused.message
    );
    let master: Api<ConfigMap> = Api::default_namespaced(cluster.client("root", &["system:masters"]));
    assert!(master.get("m").await.is_ok());
    cluster.stop().await;
}

#[tokio::test]
async fn a_deployment_becomes_available() {
    let cluster = Cluster::builder()
        .operator(
            "service-account",
            proa_operator_service_account::rules(),
            proa_operator_service_account::run,
        )
        .operator("deployment", proa_operator_deployment::rules(), proa_operator_deployment::run)
        .operator("replicaset", proa_operator_replicaset::rules(), proa_operator_replicaset::run)
        .operator("scheduler", proa_operator_scheduler::rules(), proa_operator_scheduler::run)
        .nodes(3)
        .start()
        .await
        .unwrap();
    timeout(PATIENCE, cluster.nodes_ready()).await.unwrap().unwrap();
    let accounts: Api<ServiceAccount> = Api::default_namespaced(cluster.admin());
    let exists = |account: Option<&ServiceAccount>| account.is_some();
    timeout(PATIENCE, await_condition(accounts, "default", exists)).await.unwrap().unwrap();
    let web: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "registry.example/web:1"}],
                "tolerations": [{"operator": "Exists"}]}}},
    }))
    .unwrap();
    let api: Api<Deployment> = Api::default_namespaced(cluster.admin());
    api.create(&PostParams::default(), &web).await.unwrap();
    let completed = await_condition(api, "web", conditions::is_deployment_completed());
    timeout(PATIENCE, completed).await.unwrap().unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.admin());
    let pods = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
    assert_eq!(pods.items.len(), 3);
    cluster.stop().await;
}
