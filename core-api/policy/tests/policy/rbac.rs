//! Roles that change, rights that are given away, reviews.

use crate::cluster::{Cluster, admin, binding, user};
use proa_meta::Gvr;
use proa_policy::{aggregation, objects};
use serde_json::{Value, json};

fn role(name: &str, rules: &Value) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

#[tokio::test]
async fn decisions_follow_roles_and_bindings_at_once() {
    let cluster = Cluster::start().await;
    let ann = user("ann");
    assert!(!cluster.may(&ann, "get pods", "default", "").await);
    cluster.bind("ann", "reader", "default").await;
    assert!(!cluster.may(&ann, "get pods", "default", "").await, "the role does not exist yet");
    let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    cluster.create(&objects::CLUSTER_ROLES, "", role("reader", &rules)).await.unwrap();
    assert!(cluster.may(&ann, "get pods", "default", "").await);
    cluster.delete(&objects::ROLE_BINDINGS, "default", "ann-reader").await.unwrap();
    assert!(!cluster.may(&ann, "get pods", "default", "").await);
}

#[tokio::test]
async fn aggregated_roles_take_in_labelled_roles() {
    let cluster = Cluster::start().await;
    cluster.bind("ann", "view", "default").await;
    let task = tokio::spawn(aggregation::run(cluster.registry.clone()));
    let mut role =
        role("widgets", &json!([{"verbs": ["get"], "apiGroups": ["x.io"], "resources": ["widgets"]}]));
    role["metadata"]["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    let kind = cluster.registry.kind(&objects::CLUSTER_ROLES).unwrap();
    let mut changed = kind.changed();
    cluster.create(&objects::CLUSTER_ROLES, "", role).await.unwrap();
    // view is labelled to be part of edit, and edit of admin.
    for name in ["view", "admin"] {
        cluster.bind("bob", name, "default").await;
        while !cluster.may(&user("bob"), "get widgets.x.io", "default", "").await {
            changed.changed().await.unwrap();
        }
        cluster.delete(&objects::ROLE_BINDINGS, "default", &format!("bob-{name}")).await.unwrap();
    }
    task.abort();
}

#[tokio::test]
async fn nobody_gives_away_what_they_do_not_hold() {
    let cluster = Cluster::start().await;
    cluster.bind("ann", "admin", "default").await;
    let ann = user("ann");
    let pods = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    let nodes = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["nodes"]}]);
    cluster.create_as(&ann, &objects::ROLES, "default", role("pods", &pods)).await.unwrap();
    let error = cluster.create_as(&ann, &objects::ROLES, "default", role("nodes", &nodes)).await.unwrap_err();
    assert_eq!(error.code(), 403);
    assert_eq!(
        error.message(),
        "roles.rbac.authorization.k8s.io \"nodes\" is forbidden: user \"ann\" (groups=[\"system:authenticated\"]) is \
         attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], \
         Verbs:[\"get\" \"list\"]}"
    );
    let bindings = objects::ROLE_BINDINGS;
    cluster.create_as(&ann, &bindings, "default", binding("a", "view", "bob")).await.unwrap();
    let refused = cluster.create_as(&ann, &bindings, "default", binding("b", "cluster-admin", "bob")).await;
    assert_eq!(refused.unwrap_err().code(), 403);
    let missing =
        cluster.create_as(&ann, &bindings, "default", binding("c", "gone", "bob")).await.unwrap_err();
    assert_eq!(missing.message(), "clusterroles.rbac.authorization.k8s.io \"gone\" not found");
    let aggregate = json!({"metadata": {"name": "all"}, "rules": [],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    let error = cluster.create_as(&ann, &objects::CLUSTER_ROLES, "", aggregate).await.unwrap_err();
    assert!(
        error.message().ends_with("must have cluster-admin privileges to use the aggregationRule"),
        "{error}"
    );
}

#[tokio::test]
async fn escalate_and_bind_lift_the_check() {
    let cluster = Cluster::start().await;
    let rules = json!([
        {"verbs": ["escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]},
        {"verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"],
         "resourceNames": ["cluster-admin"]},
    ]);
    cluster.create(&objects::CLUSTER_ROLES, "", role("trusted", &rules)).await.unwrap();
    cluster.bind("ann", "trusted", "default").await;
    let all = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
    let ann = user("ann");
    cluster.create_as(&ann, &objects::ROLES, "default", role("all", &all)).await.unwrap();
    let bindings = objects::ROLE_BINDINGS;
    cluster.create_as(&ann, &bindings, "default", binding("a", "cluster-admin", "bob")).await.unwrap();
    let refused = cluster.create_as(&ann, &bindings, "default", binding("b", "admin", "bob")).await;
    assert_eq!(refused.unwrap_err().code(), 403);
}

const GROUP: &str = "authorization.k8s.io";
const ACCESS: Gvr = Gvr::new(GROUP, "v1", "subjectaccessreviews");
const OWN_ACCESS: Gvr = Gvr::new(GROUP, "v1", "selfsubjectaccessreviews");
const OWN_RULES: Gvr = Gvr::new(GROUP, "v1", "selfsubjectrulesreviews");
const OWN_IDENTITY: Gvr = Gvr::new("authentication.k8s.io", "v1", "selfsubjectreviews");

#[tokio::test]
async fn reviews_answer_what_requests_would() {
    let cluster = Cluster::start().await;
    cluster.bind("ann", "view", "default").await;
    let asked = json!({"verb": "get", "resource": "pods", "namespace": "default"});
    let review = json!({"spec": {"resourceAttributes": asked}});
    let mine = cluster.create_as(&user("ann"), &OWN_ACCESS, "", review.clone()).await.unwrap();
    assert_eq!(mine["status"]["allowed"], true);
    assert_eq!(
        mine["status"]["reason"],
        r#"RBAC: allowed by RoleBinding "ann-view/default" of ClusterRole "view" to User "ann""#
    );
    let theirs = cluster.create_as(&user("bob"), &OWN_ACCESS, "", review).await.unwrap();
    assert_eq!(theirs["status"], json!({"allowed": false}));
    let review = json!({"spec": {"user": "ann", "resourceAttributes": asked}});
    let named = cluster.create(&ACCESS, "", review).await.unwrap();
    assert_eq!(named["status"]["allowed"], true);
}

#[tokio::test]
async fn callers_learn_their_rules_and_name() {
    let cluster = Cluster::start().await;
    cluster.bind("ann", "system:kube-dns", "default").await;
    let review = json!({"spec": {"namespace": "default"}});
    let answer = cluster.create_as(&user("ann"), &OWN_RULES, "", review).await.unwrap();
    let rules = answer["status"]["resourceRules"].as_array().unwrap();
    let dns = json!({"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["endpoints", "services"]});
    assert!(rules.contains(&dns), "{rules:?}");
    assert_eq!(answer["status"]["incomplete"], false);
    let me = cluster.create_as(&user("ann"), &OWN_IDENTITY, "", json!({})).await.unwrap();
    assert_eq!(me["status"]["userInfo"], json!({"username": "ann", "groups": ["system:authenticated"]}));
    let me = cluster.create_as(&admin(), &OWN_IDENTITY, "", json!({})).await.unwrap();
    assert_eq!(me["kind"], "SelfSubjectReview");
    for metadata in [json!("text"), json!([]), json!({"creationTimestamp": "yesterday"})] {
        let body = json!({"metadata": metadata});
        let refused = cluster.create_as(&admin(), &OWN_IDENTITY, "", body).await.unwrap_err();
        assert!(refused.message().contains("cannot be handled as a SelfSubjectReview"), "{refused:?}");
    }
}
