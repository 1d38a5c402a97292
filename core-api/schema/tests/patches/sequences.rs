//! Sequences of writes by managers and what they leave: the object and its owners.

use crate::cluster::{Cluster, Step, Step::*, complete, content, entries, manager_of, owners};
use proa_meta::ApiError;
use proa_schema::apply::{
    FieldManager, keep_unchanged_times, manager_or_user_agent, scale, validate_managed_fields,
};
use serde_json::{Value, json};

/// A sequence of writes, the object's content and its owners afterwards.
struct Case {
    what: &'static str,
    steps: Vec<Step>,
    object: Value,
    owners: Value,
}

fn labels(value: Value) -> Value {
    json!({"metadata": {"labels": value}})
}

fn spec(value: Value) -> Value {
    json!({"spec": value})
}

fn ownership() -> Vec<Case> {
    vec![
        Case {
            what: "a new object's creator owns what it set, not the structs that are always there",
            steps: vec![Create(
                "c",
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 1,
                "strategy": {"type": "R", "rollingUpdate": {"maxSurge": 1}}, "selector": {"matchLabels": {"a": "1"}},
                "containers": [{"name": "m", "image": "i", "resources": {}}]}, "status": {"replicas": 0}}),
            )],
            object: json!({"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 1,
                "strategy": {"type": "R", "rollingUpdate": {"maxSurge": 1}}, "selector": {"matchLabels": {"a": "1"}},
                "containers": [{"name": "m", "image": "i", "resources": {}}]}, "status": {"replicas": 0}}),
            owners: json!({"c/Update": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {
                "f:replicas": {}, "f:selector": {},
                "f:strategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
                "f:containers": {"k:{\"name\":\"m\"}": {".": {}, "f:name": {}, "f:image": {}, "f:resources": {}}}}}}),
        },
        Case {
            what: "an update takes what it changes and drops what it removes",
            steps: vec![
                Create("a", spec(json!({"replicas": 1, "paused": true}))),
                Update("b", spec(json!({"replicas": 2}))),
            ],
            object: spec(json!({"replicas": 2})),
            owners: json!({"b/Update": {"f:spec": {"f:replicas": {}}}}),
        },
        Case {
            what: "status is another entry of the same manager",
            steps: vec![
                Create("a", json!({"spec": {"replicas": 1}, "status": {"replicas": 0}})),
                Status(
                    "a",
                    json!({"spec": {"replicas": 1}, "status": {"replicas": 1, "conditions": [{"type": "Ready", "status": "True"}]}}),
                ),
            ],
            object: json!({"spec": {"replicas": 1}, "status": {"replicas": 1, "conditions": [{"type": "Ready", "status": "True"}]}}),
            owners: json!({"a/Update": {"f:spec": {"f:replicas": {}}}, "a/Update/status": {"f:status": {"f:replicas": {},
                "f:conditions": {".": {}, "k:{\"type\":\"Ready\"}": {".": {}, "f:type": {}, "f:status": {}}}}}}),
        },
        Case {
            what: "what a path resets is not owned through it",
            steps: vec![
                Create("a", json!({"status": {"replicas": 9}, "spec": {"replicas": 1}})),
                Status("s", json!({"status": {"replicas": 9}, "spec": {"replicas": 7}})),
            ],
            object: json!({"status": {"replicas": 9}, "spec": {"replicas": 7}}),
            owners: json!({"a/Update": {"f:spec": {"f:replicas": {}}}}),
        },
        Case {
            what: "an atomic struct is owned whole",
            steps: vec![
                Apply("a", spec(json!({"selector": {"matchLabels": {"x": "1"}}}))),
                Force("b", spec(json!({"selector": {"matchLabels": {"y": "1"}}}))),
            ],
            object: spec(json!({"selector": {"matchLabels": {"y": "1"}}})),
            owners: json!({"b/Apply": {"f:spec": {"f:selector": {}}}}),
        },
        Case {
            what: "schemaless values: objects have parts, lists are atomic",
            steps: vec![
                Apply("a", spec(json!({"raw": {"m": {"x": 1}, "l": [1]}}))),
                Force("b", spec(json!({"raw": {"m": {"y": 1}, "l": [2]}}))),
            ],
            object: spec(json!({"raw": {"m": {"x": 1, "y": 1}, "l": [2]}})),
            owners: json!({"a/Apply": {"f:spec": {"f:raw": {"f:m": {".": {}, "f:x": {}}}}},
                "b/Apply": {"f:spec": {"f:raw": {"f:m": {".": {}, "f:y": {}}, "f:l": {}}}}}),
        },
        Case {
            what: "keys of a list may come from defaults",
            steps: vec![
                Create(
                    "c",
                    spec(
                        json!({"containers": [{"name": "m", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}),
                    ),
                ),
                Apply(
                    "a",
                    spec(
                        json!({"containers": [{"name": "m", "ports": [{"containerPort": 80, "name": "web"}]}]}),
                    ),
                ),
            ],
            object: spec(
                json!({"containers": [{"name": "m", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "web"}]}]}),
            ),
            owners: json!({
                "a/Apply": {"f:spec": {"f:containers": {"k:{\"name\":\"m\"}": {".": {}, "f:name": {}, "f:ports": {
                    "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:name": {}}}}}}},
                "c/Update": {"f:spec": {"f:containers": {"k:{\"name\":\"m\"}": {".": {}, "f:name": {}, "f:ports": {".": {},
                    "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}}}}}}
            }),
        },
    ]
}

fn removal() -> Vec<Case> {
    vec![
        Case {
            what: "what is no longer applied goes",
            steps: vec![
                Apply("a", labels(json!({"x": "1", "y": "1"}))),
                Apply("a", labels(json!({"x": "1"}))),
            ],
            object: labels(json!({"x": "1"})),
            owners: json!({"a/Apply": {"f:metadata": {"f:labels": {"f:x": {}}}}}),
        },
        Case {
            what: "unless another applier owns it",
            steps: vec![
                Apply("a", labels(json!({"x": "1", "y": "1"}))),
                Apply("b", labels(json!({"y": "1"}))),
                Apply("a", labels(json!({"x": "1"}))),
            ],
            object: labels(json!({"x": "1", "y": "1"})),
            owners: json!({"a/Apply": {"f:metadata": {"f:labels": {"f:x": {}}}},
                "b/Apply": {"f:metadata": {"f:labels": {"f:y": {}}}}}),
        },
        Case {
            what: "or an updater does",
            steps: vec![
                Create("u", labels(json!({"y": "1"}))),
                Apply("a", labels(json!({"y": "1"}))),
                Apply("a", json!({"spec": {"replicas": 1}})),
            ],
            object: json!({"metadata": {"labels": {"y": "1"}}, "spec": {"replicas": 1}}),
            owners: json!({"a/Apply": {"f:spec": {"f:replicas": {}}},
                "u/Update": {"f:metadata": {"f:labels": {".": {}, "f:y": {}}}}}),
        },
        Case {
            what: "a list element goes with everything that nobody else set in it",
            steps: vec![
                Apply(
                    "a",
                    spec(json!({"containers": [{"name": "m", "image": "1"}, {"name": "n", "image": "1"}]})),
                ),
                Apply("a", spec(json!({"containers": [{"name": "n", "image": "1"}]}))),
            ],
            object: spec(json!({"containers": [{"name": "n", "image": "1"}]})),
            owners: json!({"a/Apply": {"f:spec": {"f:containers": {"k:{\"name\":\"n\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}),
        },
        Case {
            what: "a list element stays while another manager has fields in it",
            steps: vec![
                Apply("a", spec(json!({"containers": [{"name": "m", "image": "1"}]}))),
                Apply("b", spec(json!({"containers": [{"name": "m", "args": ["x"]}]}))),
                Apply("a", spec(json!({"replicas": 1}))),
            ],
            object: spec(json!({"replicas": 1, "containers": [{"name": "m", "args": ["x"]}]})),
            owners: json!({"a/Apply": {"f:spec": {"f:replicas": {}}},
                "b/Apply": {"f:spec": {"f:containers": {"k:{\"name\":\"m\"}": {".": {}, "f:name": {}, "f:args": {}}}}}}),
        },
        Case {
            what: "set elements go and stay one by one",
            steps: vec![
                Apply("a", json!({"metadata": {"finalizers": ["f1", "f2"]}})),
                Apply("b", json!({"metadata": {"finalizers": ["f2", "f3"]}})),
                Apply("a", json!({"metadata": {"finalizers": ["f1"]}})),
                Apply("b", json!({"metadata": {"finalizers": ["f3"]}})),
            ],
            object: json!({"metadata": {"finalizers": ["f1", "f3"]}}),
            owners: json!({"a/Apply": {"f:metadata": {"f:finalizers": {"v:\"f1\"": {}}}},
                "b/Apply": {"f:metadata": {"f:finalizers": {"v:\"f3\"": {}}}}}),
        },
        Case {
            what: "an atomic list goes whole",
            steps: vec![
                Apply("a", spec(json!({"containers": [{"name": "m", "args": ["1", "2"]}]}))),
                Apply("a", spec(json!({"containers": [{"name": "m"}]}))),
            ],
            object: spec(json!({"containers": [{"name": "m"}]})),
            owners: json!({"a/Apply": {"f:spec": {"f:containers": {"k:{\"name\":\"m\"}": {".": {}, "f:name": {}}}}}}),
        },
        Case {
            what: "what nobody owns stays",
            steps: vec![
                Apply("a", spec(json!({"strategy": {"type": "R"}}))),
                Update("d", spec(json!({"strategy": {"type": "R", "rollingUpdate": {"maxSurge": 1}}}))),
                Apply("a", spec(json!({"replicas": 1}))),
            ],
            object: spec(json!({"replicas": 1, "strategy": {"rollingUpdate": {"maxSurge": 1}}})),
            owners: json!({"a/Apply": {"f:spec": {"f:replicas": {}}},
                "d/Update": {"f:spec": {"f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}}}}}),
        },
    ]
}

fn meetings() -> Vec<Case> {
    vec![
        Case {
            what: "appliers share equal values",
            steps: vec![Apply("a", spec(json!({"replicas": 1}))), Apply("b", spec(json!({"replicas": 1})))],
            object: spec(json!({"replicas": 1})),
            owners: json!({"a/Apply": {"f:spec": {"f:replicas": {}}}, "b/Apply": {"f:spec": {"f:replicas": {}}}}),
        },
        Case {
            what: "force takes over",
            steps: vec![
                Apply("a", spec(json!({"replicas": 1, "paused": true}))),
                Force("b", spec(json!({"replicas": 2}))),
            ],
            object: spec(json!({"replicas": 2, "paused": true})),
            owners: json!({"a/Apply": {"f:spec": {"f:paused": {}}}, "b/Apply": {"f:spec": {"f:replicas": {}}}}),
        },
        Case {
            what: "an updater takes from an applier without conflict",
            steps: vec![Apply("a", spec(json!({"replicas": 1}))), Update("u", spec(json!({"replicas": 3})))],
            object: spec(json!({"replicas": 3})),
            owners: json!({"u/Update": {"f:spec": {"f:replicas": {}}}}),
        },
        Case {
            what: "apply and update of one name are two managers",
            steps: vec![
                Create("a", spec(json!({"replicas": 1}))),
                Apply("a", spec(json!({"replicas": 1, "paused": true}))),
            ],
            object: spec(json!({"replicas": 1, "paused": true})),
            owners: json!({"a/Apply": {"f:spec": {"f:replicas": {}, "f:paused": {}}}, "a/Update": {"f:spec": {"f:replicas": {}}}}),
        },
        Case {
            what: "elements keep the configuration's order, the others stay where they were",
            steps: vec![
                Apply("a", spec(json!({"containers": [{"name": "1"}, {"name": "2"}, {"name": "3"}]}))),
                Apply("b", spec(json!({"containers": [{"name": "3"}, {"name": "0"}, {"name": "1"}]}))),
            ],
            object: spec(json!({"containers": [{"name": "2"}, {"name": "3"}, {"name": "0"}, {"name": "1"}]})),
            owners: json!({
                "a/Apply": {"f:spec": {"f:containers": {"k:{\"name\":\"1\"}": {".": {}, "f:name": {}},
                    "k:{\"name\":\"2\"}": {".": {}, "f:name": {}}, "k:{\"name\":\"3\"}": {".": {}, "f:name": {}}}}},
                "b/Apply": {"f:spec": {"f:containers": {"k:{\"name\":\"0\"}": {".": {}, "f:name": {}},
                    "k:{\"name\":\"1\"}": {".": {}, "f:name": {}}, "k:{\"name\":\"3\"}": {".": {}, "f:name": {}}}}},
            }),
        },
        Case {
            what: "an update may clear all entries",
            steps: vec![
                Create("a", spec(json!({"replicas": 1}))),
                Update("b", json!({"spec": {"replicas": 2}, "metadata": {"managedFields": [{}]}})),
                Update("b", json!({"spec": {"replicas": 3}})),
            ],
            object: spec(json!({"replicas": 3})),
            owners: json!({}),
        },
        Case {
            what: "an untracked object is handed to before-first-apply",
            steps: vec![
                Create("a", spec(json!({"replicas": 1, "paused": true}))),
                Update(
                    "b",
                    json!({"spec": {"replicas": 1, "paused": true}, "metadata": {"managedFields": []}}),
                ),
                Apply("c", spec(json!({"replicas": 1}))),
            ],
            object: spec(json!({"replicas": 1, "paused": true})),
            owners: json!({"before-first-apply/Update": {"f:spec": {"f:replicas": {}, "f:paused": {}}},
                "c/Apply": {"f:spec": {"f:replicas": {}}}}),
        },
    ]
}

#[test]
fn sequences_leave_the_expected_object_and_owners() {
    for case in ownership().into_iter().chain(removal()).chain(meetings()) {
        let object = Cluster::run(case.steps).unwrap_or_else(|e| panic!("{}: {e}", case.what));
        assert_eq!(content(&object), case.object, "{}", case.what);
        assert_eq!(owners(&object), case.owners, "{}", case.what);
    }
}

/// The object after the steps, all but the last of which must work, and the last one's error.
fn refused(mut steps: Vec<Step>) -> ApiError {
    let last = steps.pop().unwrap();
    let mut cluster = Cluster::default();
    for step in steps {
        cluster.step(step).unwrap();
    }
    let before = cluster.object.clone();
    let error = cluster.step(last).unwrap_err();
    assert_eq!(cluster.object, before);
    error
}

#[test]
fn one_conflict_has_upstreams_text() {
    let error = refused(vec![
        Create("kubectl-client-side-apply", spec(json!({"replicas": 1}))),
        Apply("a", spec(json!({"replicas": 2}))),
    ]);
    assert_eq!(error.code(), 409);
    assert_eq!(
        error.message(),
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"
    );
    let cause = &error.details().unwrap().causes[0];
    assert_eq!(cause.reason, "FieldManagerConflict");
    assert_eq!(cause.message, "conflict with \"kubectl-client-side-apply\" using apps/v1");
    assert_eq!(cause.field, ".spec.replicas");
}

#[test]
fn many_conflicts_are_grouped_by_manager() {
    let error = refused(vec![
        Create("u", json!({"spec": {"replicas": 1}})),
        Status("s", json!({"spec": {"replicas": 1}, "metadata": {"labels": {"a": "1"}}})),
        Apply(
            "b",
            spec(
                json!({"containers": [{"name": "m", "image": "1", "ports": [{"containerPort": 80, "name": "x"}]}]}),
            ),
        ),
        Apply(
            "a",
            json!({"metadata": {"labels": {"a": "2"}}, "spec": {"replicas": 2,
            "containers": [{"name": "m", "image": "2", "ports": [{"containerPort": 80, "name": "y"}]}]}}),
        ),
    ]);
    assert_eq!(
        error.message(),
        "Apply failed with 4 conflicts: conflicts with \"b\":\n\
         - .spec.containers[name=\"m\"].image\n\
         - .spec.containers[name=\"m\"].ports[containerPort=80,protocol=\"TCP\"].name\n\
         conflicts with \"s\" with subresource \"status\" using apps/v1:\n\
         - .metadata.labels.a\n\
         conflicts with \"u\" using apps/v1:\n\
         - .spec.replicas"
    );
    assert_eq!(error.details().unwrap().causes.len(), 4);
}

#[test]
fn configurations_that_do_not_fit_are_refused() {
    let cases = [
        (spec(json!({"nope": 1})), ".spec.nope: field not declared in schema"),
        (spec(json!({"replicas": "x"})), ".spec.replicas: expected numeric (int or float), got string"),
        (
            spec(json!({"containers": [{"name": "m"}, {"name": "m"}]})),
            ".spec.containers: duplicate entries for key [name=\"m\"]",
        ),
    ];
    for (config, text) in cases {
        let error = refused(vec![Apply("a", config)]);
        assert_eq!(error.code(), 500);
        assert_eq!(
            error.message(),
            format!("failed to create typed patch object (/x; apps/v1, Kind=Thing): {text}")
        );
    }
    // A text that is always written is empty where it is left out: that it must not be is validation's to say.
    let unnamed = Cluster::run(vec![Apply("a", spec(json!({"containers": [{"image": "m"}]})))]).unwrap();
    let found = owners(&unnamed).to_string();
    assert!(found.contains(r#"k:{\"name\":\"\"}"#), "{found}");
    let entries = json!({"metadata": {"managedFields": []}});
    assert_eq!(refused(vec![Apply("a", entries)]).message(), "metadata.managedFields must be nil");
}

#[test]
fn custom_kinds_have_typed_metadata_whatever_their_schema_says() {
    use proa_schema::{Field, ObjectShape, Schema, SchemaRef, Shape};
    let open = Schema { preserve_unknown: true, ..Schema::of(Shape::Object(ObjectShape::default())) };
    let embedded = Schema { embedded_resource: true, ..open.clone() };
    let fields = [
        ("spec".into(), Field::new(SchemaRef::inline(open))),
        ("sub".into(), Field::new(SchemaRef::inline(embedded))),
    ];
    let root = Schema::of(Shape::Object(ObjectShape { fields: fields.into(), ..ObjectShape::default() }));
    let manager = FieldManager { schema: &root, ..manager_of("m", "") };
    let problem = |part: &str, value: Value| {
        let mut config = complete(json!({}));
        *config.pointer_mut(part).unwrap() = value;
        manager.check(&config).map_err(|e| e.message().rsplit(": ").take(2).collect::<Vec<_>>().join(" | "))
    };
    assert_eq!(
        manager.check(&complete(json!({"spec": {"any": {"thing": 1}}, "metadata": {"labels": {"a": "b"}}}))),
        Ok(())
    );
    let unknown = |path: &str| Err(format!("field not declared in schema | {path}"));
    assert_eq!(problem("/metadata", json!({"name": "x", "nope": 1})), unknown(".metadata.nope"));
    let config = complete(json!({"sub": {"apiVersion": "v1", "kind": "Pod", "metadata": {"nope": 1}}}));
    assert!(
        manager
            .check(&config)
            .unwrap_err()
            .message()
            .ends_with(".sub.metadata.nope: field not declared in schema")
    );
    let config = complete(json!({"nope": 1}));
    assert!(manager.check(&config).unwrap_err().message().ends_with(": .nope: field not declared in schema"));
}

#[test]
fn another_kind_or_version_is_refused() {
    let manager = manager_of("a", "");
    let error = manager.apply(None, json!({"apiVersion": "v1", "kind": "Pod"}), false).unwrap_err();
    assert_eq!((error.code(), error.message()), (400, "invalid object type: /v1, Kind=Pod"));
}

#[test]
fn an_update_that_changes_nothing_keeps_times() {
    let mut cluster = Cluster::default();
    cluster.step(Create("a", spec(json!({"replicas": 1})))).unwrap();
    let before = cluster.object.clone();
    cluster.step(Update("b", spec(json!({"replicas": 1})))).unwrap();
    assert_eq!(cluster.object, before);
    cluster.step(Apply("c", spec(json!({"replicas": 1})))).unwrap();
    let first = cluster.object.clone().unwrap();
    assert!(first["metadata"]["managedFields"][0].get("time").is_none(), "nothing changed");
    cluster.step(Apply("c", spec(json!({"replicas": 1})))).unwrap();
    assert_eq!(cluster.object, Some(first));
}

#[test]
fn identity_is_never_owned() {
    let mut object =
        complete(json!({"metadata": {"name": "x", "namespace": "n", "uid": "u", "generation": 1,
        "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}}));
    manager_of("a", "").create(&mut object);
    assert!(entries(&object).is_empty());
    let config = complete(json!({"metadata": {"namespace": "n"}}));
    let applied = manager_of("a", "").apply(None, config, false).unwrap();
    assert!(entries(&applied).is_empty());
}

#[test]
fn kubectl_takes_over_from_client_side_apply() {
    let noted = complete(spec(json!({"replicas": 1, "paused": true}))).to_string();
    let annotated = |spec: Value| json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": noted.clone()}}, "spec": spec});
    let start = || Create("kubectl-client-side-apply", annotated(json!({"replicas": 1, "paused": true})));
    let object = Cluster::run(vec![start(), Apply("kubectl", spec(json!({"replicas": 2})))]).unwrap();
    assert_eq!(object["spec"]["replicas"], 2);
    let note = object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str();
    let expected = format!("{}\n", complete(spec(json!({"replicas": 2}))));
    assert_eq!(note, Some(expected.as_str()));

    let moved = Update("hpa", annotated(json!({"replicas": 5, "paused": true})));
    let error =
        refused(vec![start(), moved, Apply("kubectl", spec(json!({"replicas": 2, "paused": false})))]);
    assert_eq!(
        error.message(),
        "Apply failed with 1 conflict: conflict with \"hpa\" using apps/v1: .spec.replicas"
    );
    let error = refused(vec![start(), Apply("other", spec(json!({"replicas": 2})))]);
    assert_eq!(error.code(), 409);
}

#[test]
fn old_updates_are_poured_into_one_entry() {
    let names = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11"];
    let mut steps = Vec::new();
    let mut all = serde_json::Map::new();
    for (i, name) in names.iter().enumerate() {
        all.insert(format!("l{i}"), "1".into());
        let object = labels(Value::Object(all.clone()));
        steps.push(if i == 0 { Create(name, object) } else { Update(name, object) });
    }
    let object = Cluster::run(steps).unwrap();
    let owners = owners(&object);
    assert_eq!(owners.as_object().unwrap().len(), 10);
    assert_eq!(
        owners["ancient-changes/Update"],
        json!({"f:metadata": {"f:labels": {".": {}, "f:l0": {}, "f:l1": {}, "f:l2": {}}}})
    );
    assert_eq!(entries(&object)[0]["time"], "2026-01-01T00:00:03Z");
}

#[test]
fn entries_are_sorted_and_complete() {
    let object = Cluster::run(vec![
        Create("z", spec(json!({"replicas": 1}))),
        Update("b", spec(json!({"replicas": 1, "paused": true}))),
        Apply("c", spec(json!({"strategy": {"type": "x"}}))),
    ])
    .unwrap();
    let entries = entries(&object);
    let order: Vec<_> = entries.iter().map(|entry| entry["manager"].as_str().unwrap()).collect();
    assert_eq!(order, ["c", "z", "b"]);
    let expected = json!({"manager": "b", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "time": "2026-01-01T00:00:02Z", "fieldsV1": {"f:spec": {"f:paused": {}}}});
    assert_eq!(entries[2], expected);
}

#[test]
fn a_change_of_version_keeps_one_entry_per_applier() {
    let config = |version: &str| {
        let mut config = complete(spec(json!({"replicas": 1})));
        config["apiVersion"] = version.into();
        config
    };
    let v1 = manager_of("a", "").apply(None, config("apps/v1"), false).unwrap();
    let newer = FieldManager { api_version: "apps/v2", ..manager_of("a", "") };
    let v2 = newer.apply(Some(&v1), config("apps/v2"), false).unwrap();
    let entries = entries(&v2);
    assert_eq!((entries.len(), &entries[0]["apiVersion"]), (1, &json!("apps/v2")));
}

#[test]
fn requests_may_set_entries_but_not_lose_them() {
    let given = json!([{"manager": "m", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:containers": {"k:{ \"name\": \"a\" }": {}}}}}]);
    let steps = |entries: Value| {
        vec![
            Create("a", spec(json!({"replicas": 1}))),
            Update("a", json!({"spec": {"replicas": 1}, "metadata": {"managedFields": entries}})),
        ]
    };
    let object = Cluster::run(steps(given)).unwrap();
    assert_eq!(
        owners(&object),
        json!({"m/Update": {"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {}}}}})
    );
    let object = Cluster::run(steps(json!([{"manager": "m"}]))).unwrap();
    assert_eq!(owners(&object), json!({"a/Update": {"f:spec": {"f:replicas": {}}}}));
    assert!(validate_managed_fields(&json!({"metadata": {"managedFields": [{"operation": "x"}]}})).is_err());
}

#[test]
fn times_alone_are_no_change() {
    let old = Cluster::run(vec![Create("a", spec(json!({"replicas": 1})))]).unwrap();
    let mut new = old.clone();
    new["metadata"]["managedFields"][0]["time"] = "2027-01-01T00:00:00Z".into();
    let mut changed = new.clone();
    keep_unchanged_times(&old, &mut new);
    assert_eq!(new, old);
    changed["spec"]["replicas"] = 2.into();
    let before = changed.clone();
    keep_unchanged_times(&old, &mut changed);
    assert_eq!(changed, before);
}

#[test]
fn replicas_change_hands_through_scale() {
    let object = Cluster::run(vec![
        Create("c", spec(json!({"replicas": 1, "paused": true}))),
        Apply("a", spec(json!({"replicas": 1}))),
    ])
    .unwrap();
    let path = ["spec", "replicas"];
    let seen = scale::to_scale(&object, &path);
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|entry| entry["apiVersion"] == "autoscaling/v1"));
    assert_eq!(scale::to_parent(&object, &seen, &path, "apps/v1"), entries(&object));

    let scaled = json!([{"manager": "hpa", "operation": "Update", "apiVersion": "autoscaling/v1", "subresource": "scale",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}, "time": "2026-01-01T00:00:09Z"}]);
    let entries = scale::to_parent(&object, scaled.as_array().unwrap(), &path, "apps/v1");
    let mut after = object.clone();
    after["metadata"]["managedFields"] = entries.into();
    // When somebody new came through /scale is not told; the others keep their times.
    scale::keep_times(&object, &mut after);
    let mut bare = json!({});
    scale::keep_times(&object, &mut bare);
    assert_eq!(bare, json!({}));
    // An applier is the same in every version, and times that come back come in order.
    let entry = |manager: &str, version: &str, day: u8| {
        json!({"manager": manager, "operation": "Apply", "apiVersion": version, "subresource": "scale",
            "time": format!("2026-01-0{day}T00:00:00Z"), "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}})
    };
    let listed = |entries: [Value; 2]| json!({"metadata": {"managedFields": entries}});
    let before = listed([entry("x", "apps/v1beta1", 1), entry("y", "apps/v1", 5)]);
    let mut later = listed([entry("y", "apps/v1", 2), entry("x", "apps/v1", 9)]);
    scale::keep_times(&before, &mut later);
    assert_eq!(later, listed([entry("x", "apps/v1", 1), entry("y", "apps/v1", 5)]));
    let times = after["metadata"]["managedFields"].as_array().unwrap().iter();
    let timeless = times.filter(|entry| entry.get("time").is_none()).map(|entry| &entry["manager"]);
    assert_eq!(timeless.collect::<Vec<_>>(), ["hpa"]);
    assert_eq!(
        owners(&after),
        json!({"c/Update": {"f:spec": {"f:paused": {}}}, "hpa/Update/scale": {"f:spec": {"f:replicas": {}}}})
    );
}

#[test]
fn names_come_from_user_agents() {
    assert_eq!(manager_or_user_agent("", "kubectl/v1.37 (linux)"), "kubectl");
    assert_eq!(manager_or_user_agent("m", "kubectl/v1.37"), "m");
    assert_eq!(manager_or_user_agent("", &"x".repeat(200)).len(), 128);
}
