//! Admission policies: whom they concern, what they are told, what they refuse and change.

use crate::cluster::{Cluster, admin, user};
use proa_meta::{ApiError, Gvr};
use proa_policy::{objects, type_checking};
use proa_registry::request::{Body, WriteOptions};
use serde_json::{Value, json};

const GROUP: &str = "admissionregistration.k8s.io";
const VALIDATING: Gvr = Gvr::new(GROUP, "v1", "validatingadmissionpolicies");
const VALIDATING_BINDINGS: Gvr = Gvr::new(GROUP, "v1", "validatingadmissionpolicybindings");
const MUTATING: Gvr = Gvr::new(GROUP, "v1", "mutatingadmissionpolicies");
const MUTATING_BINDINGS: Gvr = Gvr::new(GROUP, "v1", "mutatingadmissionpolicybindings");
const DEPLOYMENTS: Gvr = Gvr::new("apps", "v1", "deployments");

/// About creates and updates of deployments.
fn deployments() -> Value {
    json!({"resourceRules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"],
        "resources": ["deployments"]}]})
}

fn config_maps() -> Value {
    json!({"resourceRules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"],
        "resources": ["configmaps"]}]})
}

fn deployment(name: &str, replicas: u32) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

async fn write(cluster: &Cluster, gvr: &Gvr, name: &str, spec: Value) -> Value {
    cluster.create(gvr, "", json!({"metadata": {"name": name}, "spec": spec})).await.unwrap()
}

/// A validating policy and its binding.
pub(crate) async fn validates(cluster: &Cluster, name: &str, spec: Value, binding: Value) {
    write(cluster, &VALIDATING, name, spec).await;
    let mut bound = json!({"policyName": name, "validationActions": ["Deny"]});
    merge(&mut bound, binding);
    write(cluster, &VALIDATING_BINDINGS, name, bound).await;
}

async fn mutates(cluster: &Cluster, name: &str, constraints: Value, mutations: Value, more: Value) {
    let mut spec =
        json!({"matchConstraints": constraints, "mutations": mutations, "reinvocationPolicy": "Never"});
    merge(&mut spec, more);
    write(cluster, &MUTATING, name, spec).await;
    write(cluster, &MUTATING_BINDINGS, name, json!({"policyName": name})).await;
}

fn merge(into: &mut Value, more: Value) {
    let Value::Object(more) = more else { return };
    for (key, value) in more {
        into[key] = value;
    }
}

fn refused(error: &ApiError) -> (u16, Value, String) {
    let status = error.to_status();
    (error.code(), status["reason"].clone(), error.message().to_owned())
}

#[tokio::test]
async fn a_validation_refuses_with_its_own_words_and_reason() {
    let cluster = Cluster::start().await;
    let spec = json!({"matchConstraints": deployments(), "validations": [
        {"expression": "object.spec.replicas > 1",
            "messageExpression": "'wants replicas > 1, got ' + string(object.spec.replicas)"},
        {"expression": "namespaceObject.metadata.name == 'default'", "message": "elsewhere", "reason": "Forbidden"},
    ]});
    validates(&cluster, "more", spec, json!({})).await;
    let error = cluster.create(&DEPLOYMENTS, "default", deployment("one", 1)).await.unwrap_err();
    let message = "deployments.apps \"one\" is forbidden: ValidatingAdmissionPolicy 'more' with binding 'more' denied \
                   request: wants replicas > 1, got 1";
    assert_eq!(refused(&error), (422, json!("Invalid"), message.to_owned()));
    let cause = &error.details().unwrap().causes[0];
    assert!(cause.message.ends_with("denied request: wants replicas > 1, got 1"));
    let error = cluster.create(&DEPLOYMENTS, "kube-system", deployment("two", 2)).await.unwrap_err();
    assert_eq!((error.code(), error.to_status()["reason"].clone()), (403, json!("Forbidden")));
    cluster.create(&DEPLOYMENTS, "default", deployment("two", 2)).await.unwrap();
    cluster.delete(&VALIDATING_BINDINGS, "", "more").await.unwrap();
    cluster.create(&DEPLOYMENTS, "default", deployment("one", 1)).await.unwrap();
}

#[tokio::test]
async fn bindings_narrow_what_a_policy_is_about_and_say_what_failures_do() {
    let cluster = Cluster::start().await;
    let namespace = json!({"metadata": {"name": "watched", "labels": {"watched": "yes"}}});
    cluster.create(&objects::NAMESPACES, "", namespace).await.unwrap();
    let spec = json!({"matchConstraints": config_maps(), "validations": [{"expression": "false"}],
        "matchConditions": [{"name": "kept", "expression": "request.operation != 'DELETE' && object.metadata.name != 'free'"}]});
    let binding = json!({"validationActions": ["Warn", "Audit"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"watched": "yes"}},
            "excludeResourceRules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"],
                "resourceNames": ["spared"]}]}});
    validates(&cluster, "warns", spec, binding).await;
    let warnings = async |namespace: &str, name: &str| {
        let target = cluster.target(&objects::CONFIG_MAPS, namespace, "", &admin());
        let body = Body { value: json!({"metadata": {"name": name}}), issues: Vec::new() };
        let written = cluster.registry.create(&target, body, &WriteOptions::default()).await.unwrap();
        written.warnings
    };
    let warning = "Validation failed for ValidatingAdmissionPolicy 'warns' with binding 'warns': failed expression: false";
    assert_eq!(warnings("watched", "a").await, [warning]);
    assert!(warnings("watched", "free").await.is_empty(), "a condition does not hold");
    assert!(warnings("watched", "spared").await.is_empty(), "excluded");
    assert!(warnings("default", "a").await.is_empty(), "another namespace");
    cluster.delete(&objects::CONFIG_MAPS, "watched", "a").await.unwrap();
}

#[tokio::test]
async fn parameters_are_named_or_selected() {
    let cluster = Cluster::start().await;
    let param = |name: &str, most: &str| json!({"metadata": {"name": name, "labels": {"limits": "yes"}}, "data": {"most": most}});
    let spec = json!({"matchConstraints": deployments(), "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "variables": [{"name": "most", "expression": "int(params.data.most)"}],
        "validations": [{"expression": "object.spec.replicas <= variables.most",
            "messageExpression": "'at most ' + string(variables.most) + ' by ' + params.metadata.name"}]});
    let by_name = json!({"paramRef": {"name": "limit", "parameterNotFoundAction": "Deny"}});
    validates(&cluster, "limit", spec.clone(), by_name).await;
    let create = async |replicas| {
        let name = format!("d{replicas}");
        cluster.create(&DEPLOYMENTS, "default", deployment(&name, replicas)).await
    };
    let error = create(1).await.unwrap_err();
    let nothing =
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    assert!(error.message().ends_with(nothing), "{error}");
    cluster.create(&objects::CONFIG_MAPS, "default", param("limit", "2")).await.unwrap();
    create(2).await.unwrap();
    assert!(create(3).await.unwrap_err().message().ends_with("denied request: at most 2 by limit"));
    cluster.delete(&VALIDATING_BINDINGS, "", "limit").await.unwrap();

    cluster.create(&objects::CONFIG_MAPS, "kube-system", param("other", "1")).await.unwrap();
    let by_labels = json!({"policyName": "limit", "validationActions": ["Deny"], "paramRef": {
        "namespace": "kube-system", "selector": {"matchLabels": {"limits": "yes"}}, "parameterNotFoundAction": "Allow"}});
    write(&cluster, &VALIDATING_BINDINGS, "selected", by_labels).await;
    assert!(create(3).await.unwrap_err().message().ends_with("denied request: at most 1 by other"));
    cluster.delete(&objects::CONFIG_MAPS, "kube-system", "other").await.unwrap();
    create(3).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_evaluated_is_refused_unless_failures_are_ignored() {
    let cluster = Cluster::start().await;
    let spec = |policy: &str| {
        json!({"matchConstraints": config_maps(), "failurePolicy": policy,
            "validations": [{"expression": "object.data.missing == 'a'"}]})
    };
    validates(&cluster, "open", spec("Ignore"), json!({})).await;
    let map = |name: &str| json!({"metadata": {"name": name}, "data": {"a": "b"}});
    cluster.create(&objects::CONFIG_MAPS, "default", map("a")).await.unwrap();
    validates(&cluster, "strict", spec("Fail"), json!({})).await;
    let error = cluster.create(&objects::CONFIG_MAPS, "default", map("b")).await.unwrap_err();
    let why = "expression 'object.data.missing == 'a'' resulted in error: no such key: missing";
    assert!(error.message().ends_with(why), "{error}");
    let unknown = json!({"matchConstraints": config_maps(), "paramKind": {"apiVersion": "a.b/v1", "kind": "C"},
        "validations": [{"expression": "true"}]});
    cluster.delete(&VALIDATING_BINDINGS, "", "strict").await.unwrap();
    validates(&cluster, "unknown", unknown, json!({})).await;
    let error = cluster.create(&objects::CONFIG_MAPS, "default", map("b")).await.unwrap_err();
    let why = "ValidatingAdmissionPolicy 'unknown' denied request: failed to configure policy: failed to find resource \
               referenced by paramKind: 'a.b/v1, Kind=C'";
    assert!(error.message().ends_with(why), "{error}");
}

#[tokio::test]
async fn expressions_ask_the_authorizer() {
    let cluster = Cluster::start().await;
    let spec = json!({"matchConstraints": config_maps(), "validations": [
        {"expression": "authorizer.group('').resource('secrets').namespace(request.namespace).check('get').allowed()",
            "message": "no secrets"},
        {"expression": "authorizer.requestResource.check('create').allowed()"},
        {"expression": "!authorizer.serviceAccount('default', 'default').path('/healthz').check('delete').allowed()"},
    ]});
    validates(&cluster, "secrets", spec, json!({})).await;
    let map = |name: &str| json!({"metadata": {"name": name}});
    cluster.create(&objects::CONFIG_MAPS, "default", map("a")).await.unwrap();
    let error =
        cluster.create_as(&user("ann"), &objects::CONFIG_MAPS, "default", map("b")).await.unwrap_err();
    assert!(error.message().ends_with("denied request: no secrets"), "{error}");
}

#[tokio::test]
async fn mutations_merge_configurations_and_apply_patches() {
    let cluster = Cluster::start().await;
    let mutations = json!([
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{metadata: Object.metadata{annotations: {'by': 'policy'}}, spec: Object.spec{replicas: 5,
             template: Object.spec.template{spec: Object.spec.template.spec{containers: [
                Object.spec.template.spec.containers{name: 'c', imagePullPolicy: 'Never'}]}}}}"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'test', path: '/spec/replicas', value: 5},
              JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a/b'), value: string(object.spec.replicas)}]"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'test', path: '/spec/replicas', value: 6}, JSONPatch{op: 'remove', path: '/spec/replicas'}]"}},
    ]);
    mutates(&cluster, "five", deployments(), mutations, json!({})).await;
    let made = cluster.create(&DEPLOYMENTS, "default", deployment("a", 1)).await.unwrap();
    assert_eq!(made["spec"]["replicas"], 5);
    assert_eq!(made["metadata"]["annotations"], json!({"by": "policy", "a/b": "5"}));
    let container = &made["spec"]["template"]["spec"]["containers"][0];
    assert_eq!((&container["image"], &container["imagePullPolicy"]), (&json!("i"), &json!("Never")));
}

#[tokio::test]
async fn what_a_mutation_may_not_do_is_told() {
    let cluster = Cluster::start().await;
    let apply =
        |text: &str| json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}]);
    let patch = |text: &str| json!([{"patchType": "JSONPatch", "jsonPatch": {"expression": text}}]);
    for (name, mutations, code, why) in [
        (
            "atomic",
            apply("Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}"),
            403,
            "policy 'atomic' with binding 'atomic' denied request: error applying patch: invalid ApplyConfiguration: may \
             not mutate atomic arrays, maps or structs: .spec.selector",
        ),
        (
            "misnamed",
            apply("Object{spec: Object.wrong{replicas: 1}}"),
            403,
            "policy 'misnamed' with binding 'misnamed' denied request: type mismatch: unexpected type name \
             \"Object.wrong\", expected \"Object.spec\", which matches field name path from root Object type",
        ),
        (
            "unknown",
            patch("[JSONPatch{op: 'add', path: '/spec/foo', value: 1}]"),
            500,
            "Internal error occurred: strict decoding error: unknown field \"spec.foo\"",
        ),
    ] {
        mutates(&cluster, name, deployments(), mutations, json!({})).await;
        let error = cluster.create(&DEPLOYMENTS, "default", deployment("a", 1)).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (code, why));
        cluster.delete(&MUTATING_BINDINGS, "", name).await.unwrap();
    }
    mutates(
        &cluster,
        "open",
        deployments(),
        apply("Object{spec: Object.spec{foo: 1}}"),
        json!({"failurePolicy": "Ignore"}),
    )
    .await;
    cluster.create(&DEPLOYMENTS, "default", deployment("a", 1)).await.unwrap();
}

#[tokio::test]
async fn a_policy_sees_what_later_ones_changed_when_it_asks_for_it() {
    let cluster = Cluster::start().await;
    let label =
        |text: &str| json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}]);
    let first = label("Object{metadata: Object.metadata{annotations: {'seen': string(has(object.data))}}}");
    mutates(&cluster, "first", config_maps(), first.clone(), json!({"reinvocationPolicy": "IfNeeded"})).await;
    let never = label("Object{metadata: Object.metadata{annotations: {'once': string(has(object.data))}}}");
    mutates(&cluster, "never", config_maps(), never, json!({})).await;
    mutates(&cluster, "second", config_maps(), label("Object{data: Object.data{a: 'b'}}"), json!({})).await;
    let made =
        cluster.create(&objects::CONFIG_MAPS, "default", json!({"metadata": {"name": "a"}})).await.unwrap();
    assert_eq!(made["metadata"]["annotations"], json!({"seen": "true", "once": "false"}));
    assert_eq!(made["data"], json!({"a": "b"}));
}

#[tokio::test]
async fn parameters_are_for_those_who_may_read_them() {
    let cluster = Cluster::start().await;
    let policy = json!({"metadata": {"name": "p"}, "spec": {"matchConstraints": config_maps(),
        "paramKind": {"apiVersion": "v1", "kind": "Secret"}, "validations": [{"expression": "true"}]}});
    let error = cluster.create_as(&user("ann"), &VALIDATING, "", policy.clone()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (
            422,
            "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: spec.paramKind: Forbidden: user ann \
             must have \"get\" permission on all objects of the referenced paramKind (kind=Secret, apiVersion=v1)"
        )
    );
    cluster.create(&VALIDATING, "", policy).await.unwrap();
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"],
        "paramRef": {"name": "s", "parameterNotFoundAction": "Deny"}}});
    let error = cluster.create_as(&user("ann"), &VALIDATING_BINDINGS, "", binding).await.unwrap_err();
    let why = "user ann does not have \"get\" permission on the object referenced by paramRef";
    assert!(error.message().ends_with(why), "{error}");
}

#[tokio::test]
async fn types_of_expressions_are_checked_for_the_kinds_that_a_policy_names() {
    let cluster = Cluster::start().await;
    let spec = |expression: &str| {
        json!({"matchConstraints": deployments(), "validations": [{"expression": expression,
            "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas"}]})
    };
    let status = |name: &str| cluster.get(&VALIDATING, "", name).unwrap()["status"].clone();
    write(&cluster, &VALIDATING, "confused", spec("object.spec.replicas > '1'")).await;
    let fine = json!({"matchConstraints": deployments(), "validations": [{"expression": "object.spec.replicas > 1"}]});
    write(&cluster, &VALIDATING, "fine", fine).await;
    type_checking::reconcile(&cluster.registry).await.unwrap();
    assert_eq!(status("fine"), json!({"observedGeneration": 1, "typeChecking": {}}));
    let warnings = &status("confused")["typeChecking"]["expressionWarnings"];
    assert_eq!(
        warnings[0],
        json!({"fieldRef": "spec.validations[0].expression", "warning":
            "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\
             \n | object.spec.replicas > '1'\n | .....................^\n"})
    );
    assert_eq!(warnings[1]["fieldRef"], "spec.validations[0].messageExpression");
    let text = warnings[1]["warning"].as_str().unwrap();
    assert!(text.contains("found no matching overload for '_+_' applied to '(string, int)'"), "{text}");
}
