//! Create, update, patch, delete.

use crate::support::{Cluster, send};
use serde_json::json;

mod ways {
    crate::both_ways!(
        creates,
        creates_from_protobuf,
        updates,
        patches,
        applies,
        scales,
        scales_of_wrong_types,
        deletes,
        actions
    );
}

const TOYS: &str = "/apis/toy.example/v1/namespaces/d/toys";

async fn creates(cluster: &Cluster) {
    let agent = [("user-agent", "smith/1.0 (linux)")];
    let yaml = [("content-type", "application/yaml"), agent[0]];
    let made = cluster.send("POST", TOYS, &yaml, "metadata:\n  name: a\nspec: {node: n1}\n").await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["metadata"]["managedFields"][0]["manager"], "smith");
    let again = cluster.send("POST", TOYS, &[], r#"{"metadata":{"name":"a"}}"#).await;
    assert_eq!(again.message(), (409, "toys.toy.example \"a\" already exists".to_owned()));
    let dry = cluster.send("POST", &format!("{TOYS}?dryRun=All"), &[], r#"{"metadata":{"name":"b"}}"#).await;
    assert_eq!(dry.status, 201);
    assert_eq!(cluster.get(&format!("{TOYS}/b")).await.status, 404);
    let unknown = r#"{"metadata":{"name":"c"},"spec":{"nope":1}}"#;
    let warned = cluster.send("POST", TOYS, &[], unknown).await;
    assert_eq!(warned.headers["warning"], "299 - \"unknown field \\\"spec.nope\\\"\"");
    let strict = cluster.send("POST", &format!("{TOYS}?fieldValidation=Strict"), &[], unknown).await;
    assert_eq!(strict.status, 400);
    assert!(strict.message().1.contains("unknown field \"spec.nope\""));
    let twice = r#"{"metadata":{"name":"e"},"spec":{"count":1,"count":2}}"#;
    let warned = cluster.send("POST", TOYS, &[], twice).await;
    assert_eq!(warned.headers["warning"], "299 - \"duplicate field \\\"spec.count\\\"\"");
    assert_eq!(
        cluster.get("/apis/toy.example/v1/boxes").await.headers["warning"],
        "299 - \"toy.example/v1 Box is deprecated; use a bag\""
    );
}

async fn creates_from_protobuf(cluster: &Cluster) {
    let toy = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"node": "n1", "count": 7}});
    let body = |kind: &str, version: &str| {
        let mut body = Vec::new();
        let message = |out: &mut Vec<u8>| proa_schema::protobuf::encode(&crate::toys::toy(), &toy, out);
        proa_schema::protobuf::write_envelope(version, kind, &mut body, message);
        body
    };
    let protobuf = [("content-type", "application/vnd.kubernetes.protobuf"), ("accept", "application/json")];
    let made = cluster.send("POST", TOYS, &protobuf, body("Toy", "toy.example/v1")).await;
    assert_eq!(
        (made.status.as_u16(), &made.headers["content-type"]),
        (201, &"application/json".parse().unwrap())
    );
    assert_eq!(made.json()["spec"], toy["spec"]);
    assert_eq!(made.json()["metadata"]["labels"], toy["metadata"]["labels"]);
    let other = cluster.send("POST", TOYS, &protobuf, body("Box", "toy.example/v1")).await;
    assert_eq!(other.status, 400, "another kind is not read as this one: {}", other.text());
    let other = cluster.send("POST", TOYS, &protobuf, body("Toy", "v1")).await;
    let refused = other.message().1;
    assert!(
        refused.contains("cannot be handled as a Toy: no kind \"Toy\" is registered for version \"v1\""),
        "{refused}"
    );
    let custom =
        cluster.send("POST", "/apis/toy.example/v1/boxes", &protobuf, body("Box", "toy.example/v1")).await;
    assert_eq!(custom.status, 415, "custom kinds have no protobuf form");
}

async fn updates(cluster: &Cluster) {
    let mut toy = cluster.create_toy(json!({"metadata": {"name": "a"}, "spec": {"node": "n1"}})).await.json();
    toy["spec"]["node"] = json!("n2");
    let path = format!("{TOYS}/a");
    let answer = cluster.send("PUT", &path, &[], toy.to_string()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["spec"]["node"]), (200, &json!("n2")));
    let stale = cluster.send("PUT", &path, &[], toy.to_string()).await;
    assert_eq!(stale.status, 409);
    assert!(stale.message().1.starts_with("Operation cannot be fulfilled on toys.toy.example \"a\""));
    let mut status = answer.json();
    status["status"] = json!({"count": 5});
    status["spec"]["node"] = json!("ignored");
    let answer = cluster.send("PUT", &format!("{path}/status"), &[], status.to_string()).await.json();
    assert_eq!((&answer["status"]["count"], &answer["spec"]["node"]), (&json!(5), &json!("n2")));
    let scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "a"}, "spec": {"replicas": 4}});
    let answer = cluster.send("PUT", &format!("{path}/scale"), &[], scale.to_string()).await.json();
    assert_eq!((&answer["spec"]["replicas"], &answer["status"]["replicas"]), (&json!(4), &json!(5)));
    let other = cluster.send("PUT", &path, &[], r#"{"metadata":{"name":"b"}}"#).await;
    assert_eq!(
        other.message(),
        (400, "the name of the object (b) does not match the name on the URL (a)".to_owned())
    );
}

async fn patches(cluster: &Cluster) {
    cluster.create_toy(json!({"metadata": {"name": "a"}, "spec": {"node": "n1"}})).await;
    let path = format!("{TOYS}/a");
    for (kind, body, want) in [
        ("application/merge-patch+json", r#"{"spec":{"node":"n2"}}"#, "n2"),
        ("application/json-patch+json", r#"[{"op":"replace","path":"/spec/node","value":"n3"}]"#, "n3"),
        ("application/strategic-merge-patch+json; charset=utf-8", r#"{"spec":{"node":"n4"}}"#, "n4"),
    ] {
        let answer = cluster.send("PATCH", &path, &[("content-type", kind)], body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["spec"]["node"]), (200, &json!(want)), "{kind}");
    }
    let wrong = cluster.send("PATCH", &path, &[("content-type", "application/json")], "{}").await;
    assert_eq!(wrong.message(), (415, "415: Unsupported Media Type".to_owned()));
}

/// Who applies a Scale has the replicas, wherever the kind has them, and takes them from whoever has them only by force.
async fn scales(cluster: &Cluster) {
    cluster.create_toy(json!({"metadata": {"name": "s"}, "spec": {"count": 1}})).await;
    let scale =
        r#"{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"s"},"spec":{"replicas":4}}"#;
    let apply = [("content-type", "application/apply-patch+yaml")];
    let path = format!("{TOYS}/s/scale?fieldManager=me");
    let why = "Apply failed with 1 conflict: conflict with \"test\" using autoscaling/v1: .spec.replicas";
    assert_eq!(cluster.send("PATCH", &path, &apply, scale).await.message(), (409, why.to_owned()));
    let forced = cluster.send("PATCH", &format!("{path}&force=true"), &apply, scale).await;
    assert_eq!((forced.status.as_u16(), &forced.json()["spec"]["replicas"]), (200, &json!(4)));
    let toy = cluster.get(&format!("{TOYS}/s")).await.json();
    let owner = &toy["metadata"]["managedFields"][0];
    assert_eq!((&owner["manager"], &owner["subresource"]), (&json!("me"), &json!("scale")), "{toy}");
    assert_eq!((&owner["operation"], &owner["apiVersion"]), (&json!("Apply"), &json!("toy.example/v1")));
    assert_eq!((&owner["fieldsV1"], &toy["spec"]["count"]), (&json!({"f:spec": {"f:count": {}}}), &json!(4)));
    let twice = scale.replace("}}", r#","replicas":4}}"#);
    let strict =
        cluster.send("PATCH", &format!("{path}&fieldValidation=Strict"), &apply, twice.clone()).await;
    assert_eq!(strict.status, 400, "{}", strict.text());
    assert!(strict.message().1.starts_with("error strict decoding patch: "), "{}", strict.text());
    let told = cluster.send("PATCH", &path, &apply, twice).await;
    assert!(told.status == 200 && told.headers.contains_key("warning"), "{}", told.text());
}

/// A Scale is read as its type whoever it is a part of.
async fn scales_of_wrong_types(cluster: &Cluster) {
    const LARGE: &str = "json: cannot unmarshal number 9223372036854775808 into Go struct field \
                         ScaleSpec.spec.replicas of type int32";
    const NOPE: &str = "strict decoding error: unknown field \"spec.nope\"";
    const HANDLED: &str = "Scale in version \"v1\" cannot be handled as a Scale: ";
    cluster.create_toy(json!({"metadata": {"name": "t"}, "spec": {"count": 3}})).await;
    let path = format!("{TOYS}/t/scale");
    let strict = format!("{path}?fieldValidation=Strict");
    let put = |spec: &str| format!(r#"{{"metadata":{{"name":"t"}},"spec":{spec}}}"#);
    let told = cluster.send("PUT", &path, &[], put(r#"{"replicas":2,"replicas":3,"nope":1}"#)).await;
    let warnings = told.headers.get_all("warning").iter().map(|text| text.to_str().expect("ASCII"));
    let both =
        ["299 - \"unknown field \\\"spec.nope\\\"\"", "299 - \"duplicate field \\\"spec.replicas\\\"\""];
    assert_eq!((told.status.as_u16(), warnings.collect::<Vec<_>>()), (200, both.to_vec()));

    let merge = [("content-type", "application/merge-patch+json")];
    for (path, spec, why) in
        [(&path, r#"{"replicas":9223372036854775808}"#, LARGE), (&strict, r#"{"replicas":2,"nope":1}"#, NOPE)]
    {
        let refused = cluster.send("PUT", path, &[], put(spec)).await;
        assert_eq!(refused.message(), (400, format!("{HANDLED}{why}")));
        let refused = cluster.send("PATCH", path, &merge, format!(r#"{{"spec":{spec}}}"#)).await;
        let cause = &refused.json()["details"]["causes"][0];
        assert_eq!((refused.status.as_u16(), &cause["field"]), (422, &json!("patch")), "{}", refused.text());
        assert!(cause["message"].as_str().is_some_and(|text| text.ends_with(why)), "{cause}");
    }
    let apply = [("content-type", "application/apply-patch+yaml")];
    let body = r#"{"kind":"Scale","apiVersion":"autoscaling/v1","spec":{"replicas":9223372036854775808}}"#;
    let refused = cluster.send("PATCH", &format!("{path}?fieldManager=me&force=true"), &apply, body).await;
    assert_eq!(refused.message(), (400, format!("{HANDLED}{LARGE}")));
    assert_eq!(cluster.get(&format!("{TOYS}/t")).await.json()["spec"]["count"], 3);
}

async fn applies(cluster: &Cluster) {
    let yaml = "apiVersion: toy.example/v1\nkind: Toy\nmetadata:\n  name: a\nspec:\n  node: n1\n";
    let path = format!("{TOYS}/a?fieldManager=me");
    let apply = [("content-type", "application/apply-patch+yaml")];
    let made = cluster.send("PATCH", &path, &apply, yaml).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let again = cluster.send("PATCH", &path, &apply, yaml).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["metadata"]["resourceVersion"], made.json()["metadata"]["resourceVersion"]);
    let other = format!("{TOYS}/a?fieldManager=other");
    let conflict = cluster.send("PATCH", &other, &apply, yaml.replace("n1", "n2")).await;
    assert_eq!(conflict.status, 409, "{}", conflict.text());
    let forced =
        cluster.send("PATCH", &format!("{other}&force=true"), &apply, yaml.replace("n1", "n2")).await;
    assert_eq!(forced.json()["spec"]["node"], "n2");
    let nameless = cluster.send("PATCH", &format!("{TOYS}/a"), &apply, yaml).await;
    assert_eq!(nameless.status, 422);
    let editor = cluster.client("editor");
    let refused = send(
        &editor,
        "PATCH",
        &format!("{TOYS}/new?fieldManager=x"),
        &apply,
        yaml.replace("name: a", "name: new"),
    )
    .await;
    assert_eq!(refused.status, 403, "an apply that creates needs the right to create");
    let allowed = send(&editor, "PATCH", &other, &apply, yaml.replace("n1", "n2")).await;
    assert_eq!(allowed.status, 200);
}

async fn deletes(cluster: &Cluster) {
    let made = cluster.create_toy(json!({"metadata": {"name": "a"}})).await.json();
    let path = format!("{TOYS}/a");
    let wrong = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}});
    let refused = cluster.send("DELETE", &path, &[], wrong.to_string()).await;
    assert_eq!(refused.status, 409);
    let dry = cluster.send("DELETE", &format!("{path}?dryRun=All"), &[], "").await;
    assert_eq!((dry.status.as_u16(), cluster.get(&path).await.status.as_u16()), (200, 200));
    let gone = cluster.send("DELETE", &path, &[], "").await;
    assert_eq!((gone.status.as_u16(), &gone.json()["status"]), (200, &json!("Success")));
    assert_eq!(gone.json()["details"]["uid"], made["metadata"]["uid"]);
    assert_eq!(cluster.send("DELETE", &path, &[], "").await.status, 404);
    for name in ["x", "y", "z"] {
        cluster
            .create_toy(json!({"metadata": {"name": name, "labels": {"keep": (name == "z").to_string()}}}))
            .await;
    }
    let deleted = cluster.send("DELETE", &format!("{TOYS}?labelSelector=keep%3Dfalse"), &[], "").await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert_eq!(deleted.json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(cluster.get(TOYS).await.json()["items"].as_array().unwrap().len(), 1);
}

async fn actions(cluster: &Cluster) {
    let answer = cluster.send("POST", "/apis/toy.example/v1/reviews", &[], r#"{"spec":{"a":1}}"#).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["status"]["asked"], json!({"a": 1}));
    assert_eq!(answer.json()["status"]["by"], "tester");
    assert_eq!(answer.json()["status"]["groups"], json!(["testers", "system:authenticated"]));
    assert_eq!(answer.headers["warning"], "299 - \"mind \\\"this\\\"\"");
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let refused = cluster.send("POST", "/apis/toy.example/v1/reviews", &table, "{}").await;
    assert_eq!(refused.status, 406, "answers have no table");
    cluster.create_toy(json!({"metadata": {"name": "a"}})).await;
    let answer = cluster.send("POST", &format!("{TOYS}/a/echo"), &[], r#"{"spec":2}"#).await;
    assert_eq!(answer.json()["status"]["asked"], 2);
}
