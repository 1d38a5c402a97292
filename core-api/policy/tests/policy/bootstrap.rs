//! What a new cluster has.

use crate::cluster::{Cluster, settings, user};
use proa_meta::User;
use proa_policy::{
    bootstrap::{self, FrontProxies},
    objects,
};
use serde_json::json;

#[tokio::test]
async fn a_second_start_writes_nothing() {
    let cluster = Cluster::start().await;
    let revision = cluster.registry.revision();
    bootstrap::run(&cluster.registry, &settings(), &FrontProxies::default(), Vec::new()).await.unwrap();
    assert_eq!(cluster.registry.revision(), revision);
}

#[tokio::test]
async fn a_restart_repairs_roles_and_follows_the_address() {
    let cluster = Cluster::start().await;
    let basic = "system:basic-user";
    cluster.delete(&objects::CLUSTER_ROLE_BINDINGS, "", basic).await.unwrap();
    let mut changed = settings();
    changed.port = 7443;
    bootstrap::run(&cluster.registry, &changed, &FrontProxies::default(), Vec::new()).await.unwrap();
    assert!(cluster.get(&objects::CLUSTER_ROLE_BINDINGS, "", basic).is_some());
    let service = cluster.get(&objects::SERVICES, "default", "kubernetes").unwrap();
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 7443);
    let slice = cluster.get(&objects::ENDPOINT_SLICES, "default", "kubernetes").unwrap();
    assert_eq!(slice["ports"][0]["port"], 7443);
}

#[tokio::test]
async fn system_objects_are_there() {
    let cluster = Cluster::start().await;
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let found = cluster.get(&objects::NAMESPACES, "", namespace).unwrap();
        assert_eq!(found["status"]["phase"], "Active", "{namespace}");
    }
    let class = cluster.get(&objects::PRIORITY_CLASSES, "", "system-node-critical").unwrap();
    assert_eq!(class["value"], 2_000_001_000);
    let name = "extension-apiserver-authentication";
    let config = cluster.get(&objects::CONFIG_MAPS, "kube-system", name).unwrap();
    assert_eq!(config["data"]["client-ca-file"], "client");
    let admin = cluster.get(&objects::CLUSTER_ROLES, "", "cluster-admin").unwrap();
    assert_eq!(admin["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
    assert_eq!(admin["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"], "true");
}

#[tokio::test]
async fn user_facing_roles_allow_what_they_should() {
    let cluster = Cluster::start().await;
    for role in ["view", "edit", "admin", "cluster-admin"] {
        cluster.bind(role, role, "default").await;
    }
    for (view, edit, admin, what) in [
        (true, true, true, "get pods"),
        (true, true, true, "list deployments.apps"),
        (true, true, true, "get pods/log"),
        (false, true, true, "get secrets"),
        (false, true, true, "create pods/exec"),
        (false, true, true, "create deployments.apps"),
        (false, true, true, "delete configmaps"),
        (false, true, true, "create serviceaccounts/token"),
        (false, true, true, "impersonate serviceaccounts"),
        (false, false, true, "create rolebindings.rbac.authorization.k8s.io"),
        (false, false, true, "create localsubjectaccessreviews.authorization.k8s.io"),
        (false, false, false, "update namespaces"),
        (false, false, false, "create resourcequotas"),
        (false, false, false, "get nodes"),
    ] {
        for (want, name) in [(view, "view"), (edit, "edit"), (admin, "admin"), (true, "cluster-admin")] {
            assert_eq!(cluster.may(&user(name), what, "default", "").await, want, "{name} {what}");
            assert!(!cluster.may(&user(name), what, "kube-system", "").await, "{name} {what} elsewhere");
        }
    }
}

#[tokio::test]
async fn everyone_may_ask_about_themselves() {
    let cluster = Cluster::start().await;
    let ask = "create selfsubjectaccessreviews.authorization.k8s.io";
    assert!(cluster.may(&user("ann"), ask, "", "").await);
    assert!(!cluster.may(&User::anonymous(), ask, "", "").await);
    assert!(!cluster.may(&user("ann"), "list pods", "default", "").await);
    assert!(cluster.may(&user("system:kube-scheduler"), "create pods/binding", "default", "a").await);
}

#[tokio::test]
async fn operators_have_exactly_their_rules() {
    let cluster = Cluster::start().await;
    let run = async |rules| {
        let operators = bootstrap::operator("web", rules);
        bootstrap::run(&cluster.registry, &settings(), &FrontProxies::default(), operators).await.unwrap();
    };
    let operator = user(&bootstrap::operator_name("web"));
    run(json!([{"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods"]}])).await;
    assert!(cluster.may(&operator, "delete pods", "default", "a").await);
    run(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}])).await;
    assert!(cluster.may(&operator, "get pods", "default", "a").await);
    assert!(!cluster.may(&operator, "delete pods", "default", "a").await);
}
