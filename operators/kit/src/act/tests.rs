use super::*;
use crate::{
    action::Propagation,
    clock::SystemClock,
    kind::ObjectRef,
    testing::server,
    views::{PodView, Typed},
};
use serde_json::{Value, json};

const PODS: Kind = PodView::KIND;

fn writer(seen: &server::Seen, fail_from: usize) -> Writer {
    let client = server::recording(seen.clone(), move |index, request| {
        if index >= fail_from {
            return (
                403,
                json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403,
                "message": "quota"}),
            );
        }
        let mut object = if request.body.is_object() { request.body.clone() } else { json!({}) };
        object["metadata"]["resourceVersion"] = json!("9");
        object["metadata"]["namespace"] = json!("ns");
        (200, object)
    });
    let writes =
        vec![Write::to(&PODS, &["create", "delete", "patch"]), Write::sub(&PODS, "status", &["patch"])];
    Writer::start(client, "tester", writes, "here", Arc::new(SystemClock))
}

fn create(name: &str) -> Action {
    Action::create(PODS, "ns", json!({"metadata": {"name": name}}))
}

#[tokio::test]
async fn slow_start_doubles_and_stops_after_a_failure() {
    let seen = server::Seen::default();
    let actions: Vec<Action> = (0..20).map(|index| create(&format!("p{index}"))).collect();
    let results = writer(&seen, 3).act(&[Action::slow_start(actions), create("later")]).await;
    // 1, then 2, then the group of 4 that fails.
    assert_eq!(seen.lock().len(), 7);
    assert_eq!((results.succeeded(), results.0.len()), (3, 21));
    assert_eq!(results.error().map(Error::message).as_deref(), Some("quota"));
    assert!(matches!(results.0[20], Err(Error::Skipped)));
}

#[tokio::test]
async fn k6_an_undeclared_write_is_refused_and_never_sent() {
    let seen = server::Seen::default();
    let target = ObjectRef::new(PODS, "ns", "a");
    let results = writer(&seen, 99).act(&[Action::bind(target, "n")]).await;
    assert!(
        matches!(&results.0[0], Err(Error::Undeclared { verb: "create", resource }) if resource == "pods/binding")
    );
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn requests_carry_type_names_and_preconditions() {
    let seen = server::Seen::default();
    let target = ObjectRef::new(PODS, "ns", "a").with_uid("u").at(7);
    let results = writer(&seen, 99)
        .act(&[
            create("a"),
            Action::merge(target.clone(), json!({"metadata": {"labels": {"x": "y"}}})),
            Action::status(target.clone(), json!({"phase": "Failed"})),
            Action::delete(target).propagating(Propagation::Foreground),
        ])
        .await;
    assert!(results.error().is_none(), "{results:?}");
    let seen = seen.lock();
    let lines: Vec<String> =
        seen.iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    assert_eq!(
        lines,
        [
            "POST /api/v1/namespaces/ns/pods?fieldManager=tester",
            "PATCH /api/v1/namespaces/ns/pods/a?fieldManager=tester",
            "PATCH /api/v1/namespaces/ns/pods/a/status?fieldManager=tester",
            "DELETE /api/v1/namespaces/ns/pods/a",
        ]
    );
    let bodies: Vec<&Value> = seen.iter().map(|request| &request.body).collect();
    assert_eq!(*bodies[0], json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}));
    assert_eq!(*bodies[1], json!({"metadata": {"labels": {"x": "y"}, "uid": "u", "resourceVersion": "7"}}));
    assert_eq!(
        *bodies[2],
        json!([{"op": "add", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "add", "path": "/status", "value": {"phase": "Failed"}}])
    );
    assert_eq!(bodies[3]["preconditions"], json!({"uid": "u", "resourceVersion": "7"}));
    assert_eq!(bodies[3]["propagationPolicy"], "Foreground");
    assert!(matches!(&results.0[0], Ok(Written::At { resource_version: 9, .. })));
    assert!(matches!(&results.0[3], Ok(Written::Deleted { .. })));
}
