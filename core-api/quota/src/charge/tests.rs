use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn quota(value: Value) -> Quota {
    serde_json::from_value(value).unwrap()
}

fn limits(name: &str, hard: &Value, used: &Value) -> Quota {
    quota(json!({"metadata": {"name": name}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}}))
}

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

fn pod(cpu: &str) -> Item {
    let container = json!({"name": "a", "resources": {"requests": {"cpu": cpu}}});
    Item::read(&pods(), &json!({"spec": {"containers": [container]}})).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

#[test]
fn every_quota_that_is_about_the_object_pays() {
    let quotas = [
        limits("compute", &json!({"cpu": "2", "pods": "5"}), &json!({"cpu": "500m", "pods": "1"})),
        limits("other", &json!({"services": "1"}), &json!({"services": "1"})),
        limits("all", &json!({"count/pods": "9"}), &json!({"count/pods": "0"})),
    ];
    let charged = charge(&quotas, &pods(), &pod("1500m"), None, now()).unwrap();
    let texts: Vec<_> = charged.iter().map(|charged| (charged.index, text(&charged.used))).collect();
    assert_eq!(texts, [(0, "cpu=2,pods=2".to_owned()), (2, "count/pods=1".to_owned())]);
}

#[test]
fn a_plain_name_is_the_core_groups_alone() {
    let hard = json!({"services": "1", "count/services.serving.knative.dev": "3"});
    let used = json!({"services": "1", "count/services.serving.knative.dev": "0"});
    let knative = GroupResource::new("serving.knative.dev", "services");
    let charged =
        charge(&[limits("q", &hard, &used)], &knative, &Item::counted(&knative), None, now()).unwrap();
    assert_eq!(text(&charged[0].used), "count/services.serving.knative.dev=1,services=1");
}

#[test]
fn refusals_are_in_upstreams_words() {
    let full = limits("compute", &json!({"cpu": "2", "pods": "1"}), &json!({"cpu": "1900m", "pods": "1"}));
    let refused = |quotas: &[Quota], item: &Item| charge(quotas, &pods(), item, None, now()).unwrap_err();
    assert_eq!(
        refused(std::slice::from_ref(&full), &pod("200m")),
        "exceeded quota: compute, requested: cpu=200m,pods=1, used: cpu=1900m,pods=1, limited: cpu=2,pods=1"
    );
    let unset = Item::read(&pods(), &json!({"spec": {"containers": [{"name": "a"}]}})).unwrap();
    assert_eq!(refused(&[full], &unset), "failed quota: compute: must specify cpu for: a");
    let uncounted = limits("new", &json!({"cpu": "2", "pods": "1", "services": "1"}), &json!({"pods": "0"}));
    assert_eq!(refused(&[uncounted], &pod("1")), "status unknown for quota: new, resources: cpu,pods");
}

#[test]
fn a_change_pays_for_growth_alone_unless_another_quota_takes_over() {
    let services = GroupResource::new("", "services");
    let service = |kind: &str| {
        Item::read(&services, &json!({"spec": {"type": kind, "ports": [{"port": 80}]}})).unwrap()
    };
    let quotas = [limits(
        "q",
        &json!({"services": "1", "services.nodeports": "1", "services.loadbalancers": "1"}),
        &json!({"services": "1", "services.nodeports": "0", "services.loadbalancers": "0"}),
    )];
    let (cluster, node) = (service("ClusterIP"), service("NodePort"));
    let charged = charge(&quotas, &services, &node, Some(&cluster), now()).unwrap();
    assert_eq!(text(&charged[0].used), "services=1,services.loadbalancers=0,services.nodeports=1");
    assert_eq!(charge(&quotas, &services, &cluster, Some(&node), now()), Ok(Vec::new()));

    let of = |scope: &str| {
        let mut quota = limits(scope, &json!({"pods": "1"}), &json!({"pods": "0"}));
        quota.spec.scopes = vec![scope.to_owned()];
        quota
    };
    let scoped = [of("Terminating"), of("NotTerminating")];
    let ending = Item::read(&pods(), &json!({"spec": {"activeDeadlineSeconds": 5}})).unwrap();
    let charged = charge(&scoped, &pods(), &ending, Some(&pod("1")), now()).unwrap();
    assert_eq!(charged.iter().map(|charged| charged.index).collect::<Vec<_>>(), [0]);
    assert!(ending.is_charged_on_update(&pod("1")) && !pod("2").is_charged_on_update(&pod("1")));
}

#[test]
fn a_scope_selector_chooses_by_priority_class() {
    let of = |class: &str| Item::read(&pods(), &json!({"spec": {"priorityClassName": class}})).unwrap();
    for (operator, values, high, none) in [
        ("In", json!(["high"]), true, false),
        ("NotIn", json!(["high"]), false, true),
        ("Exists", json!([]), true, false),
        ("DoesNotExist", json!([]), false, true),
    ] {
        let spec = json!({"scopeSelector": {"matchExpressions":
            [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}});
        let spec: crate::quota::Spec = serde_json::from_value(spec).unwrap();
        assert_eq!((spec.covers(&of("high")), spec.covers(&of(""))), (high, none), "{operator}");
    }
}

proptest! {
    /// Whatever is asked for in whatever order, what is used is the sum of what was granted and within the limit.
    #[test]
    fn a_limit_is_never_exceeded(limit in 0i64..5000, asked in prop::collection::vec(0i64..1500, 0..20)) {
        let mut quota = limits("q", &json!({"cpu": format!("{limit}m")}), &json!({"cpu": "0"}));
        let mut granted = 0;
        for cpu in asked {
            let quotas = std::slice::from_ref(&quota);
            match charge(quotas, &pods(), &pod(&format!("{cpu}m")), None, now()) {
                Ok(charged) => {
                    granted += cpu;
                    prop_assert_eq!(charged.is_empty(), cpu == 0);
                    if let Some(charged) = charged.into_iter().next() {
                        quota.status.used = charged.used;
                    }
                }
                Err(_) => prop_assert!(granted + cpu > limit),
            }
            prop_assert_eq!(quota.status.used["cpu"].milli_value(), granted);
            prop_assert!(granted <= limit);
        }
    }
}
