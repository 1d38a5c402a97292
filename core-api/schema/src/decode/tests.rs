use super::*;
use crate::{canonical::canonical, fixtures};
use proptest::prelude::*;
use serde_json::json;

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
}

fn error(spec: &Value) -> String {
    decode(&fixtures::deployment(), &mut deployment(spec)).unwrap_err().message().to_owned()
}

#[test]
fn wrong_types_read_as_gos() {
    const FRAME: &str = "Deployment in version \"v1\" cannot be handled as a Deployment: ";
    for (spec, want) in [
        (
            json!({"replicas": "3"}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            json!({"replicas": 1.5}),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            json!({"replicas": 3_000_000_000_u64}),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            json!({"containers": [{"name": 1}]}),
            "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
        ),
        (
            json!({"containers": {}}),
            "json: cannot unmarshal object into Go struct field DeploymentSpec.spec.containers of type []v1.Container",
        ),
        (
            json!({"containers": ["x"]}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.containers of type v1.Container",
        ),
        (
            json!({"strategy": []}),
            "json: cannot unmarshal array into Go struct field DeploymentSpec.spec.strategy of type \
             v1.DeploymentStrategy",
        ),
        (
            json!({"paused": 0}),
            "json: cannot unmarshal number into Go struct field DeploymentSpec.spec.paused of type bool",
        ),
        (json!({"maxSurge": true}), "json: cannot unmarshal bool into Go value of type int32"),
        (json!({"maxSurge": 0.5}), "json: cannot unmarshal number 0.5 into Go value of type int32"),
        (
            json!({"containers": [{"limits": {"cpu": "1x1"}}]}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (json!({"containers": [{"timeout": "1 day"}]}), "time: invalid duration \"1 day\""),
        (json!({"containers": [{"data": "a*=="}]}), "illegal base64 data at input byte 1"),
        (json!({"containers": [{"data": "aaaaaa"}]}), "illegal base64 data at input byte 4"),
        (
            json!({"containers": [{"data": 1}]}),
            "json: cannot unmarshal number into Go struct field Container.spec.containers.data of type []uint8",
        ),
    ] {
        assert_eq!(error(&spec), format!("{FRAME}{want}"), "{spec}");
    }
    let mut labels = deployment(&json!({}));
    labels["metadata"]["labels"] = json!({"a": 1});
    let text = decode(&fixtures::deployment(), &mut labels).unwrap_err().message().to_owned();
    assert!(
        text.ends_with(
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"
        ),
        "{text}"
    );
    let mut time = deployment(&json!({}));
    time["metadata"]["creationTimestamp"] = json!(1);
    let text = decode(&fixtures::deployment(), &mut time).unwrap_err().message().to_owned();
    assert!(text.ends_with("json: cannot unmarshal number into Go value of type string"), "{text}");
}

#[test]
fn parts_have_no_kind() {
    let mut value = json!([]);
    let error = decode_part(&fixtures::deployment(), &mut value, "v1.DeleteOptions").unwrap_err();
    assert_eq!(error.to_string(), "json: cannot unmarshal array into Go value of type v1.DeleteOptions");
}

#[test]
fn unknown_fields_are_dropped_and_named() {
    let mut value = deployment(&json!({"foo": 1, "containers": [{"name": "a"}, {"name": "b", "bar": {}}]}));
    value["Spec"] = json!({});
    let issues = decode(&fixtures::deployment(), &mut value).unwrap();
    let texts: Vec<_> = issues.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"unknown field "Spec""#,
            r#"unknown field "spec.containers[1].bar""#,
            r#"unknown field "spec.foo""#,
        ]
    );
    assert!(value.get("Spec").is_none());
    assert_eq!(value["spec"], json!({"containers": [{"name": "a"}, {"name": "b"}]}));
}

#[test]
fn not_more_is_reported_than_anyone_reads() {
    let mut value = deployment(&json!({}));
    for i in 0..500 {
        value["spec"][format!("odd{i}")] = json!(i);
    }
    assert_eq!(decode(&fixtures::deployment(), &mut value).unwrap().len(), MAX_ISSUES);
    assert_eq!(value["spec"], json!({}));
}

#[test]
fn scalars_become_canonical_and_null_is_absent() {
    let mut value = deployment(&json!({
        "replicas": null,
        "containers": [null, {
            "name": "a",
            "args": [null, "x"],
            "data": "aGk=\n",
            "started": "2024-01-02T03:04:05.123456+01:00",
            "timeout": "90s",
            "limits": {"cpu": 0.5, "memory": "1024Mi", "none": null},
            "extra": {"free": [null]},
        }],
    }));
    value["metadata"]["creationTimestamp"] = json!("2024-01-02T03:04:05+02:00");
    assert_eq!(decode(&fixtures::deployment(), &mut value).unwrap(), []);
    assert_eq!(
        value["spec"],
        json!({"containers": [{}, {
            "name": "a",
            "args": ["", "x"],
            "data": "aGk=",
            "started": "2024-01-02T02:04:05.123456Z",
            "timeout": "1m30s",
            "limits": {"cpu": "500m", "memory": "1Gi", "none": "0"},
            "extra": {"free": [null]},
        }]})
    );
    assert_eq!(value["metadata"]["creationTimestamp"], "2024-01-02T01:04:05Z");
}

#[test]
fn canonical_times_are_recognised() {
    for (text, want) in [
        ("2024-02-28T23:59:59Z", true),
        ("2024-02-30T00:00:00Z", false),
        ("2024-13-01T00:00:00Z", false),
        ("2024-02-01T24:00:00Z", false),
        ("0000-02-01T00:00:00Z", false),
        ("2024-02-01T00:00:00+", false),
        ("", false),
    ] {
        assert_eq!(is_canonical_time(text), want, "{text}");
    }
}

proptest! {
    #[test]
    fn decoding_and_canonical_form_are_idempotent(value in fixtures::any_value()) {
        let schema = fixtures::deployment();
        let mut once = value;
        if decode(&schema, &mut once).is_ok() {
            canonical(&schema, &mut once);
            let mut twice = once.clone();
            prop_assert_eq!(decode(&schema, &mut twice).unwrap(), vec![]);
            canonical(&schema, &mut twice);
            prop_assert_eq!(twice, once);
        }
    }
}
