//! Bad input against the real server: status code, reason and field path are upstream's, and nothing is half-written.

use crate::server::{PATIENCE, Server};
use kube::{Client, client::Body};
use serde_json::Value;

/// A bad request and what is said to it.
struct Case {
    what: &'static str,
    method: &'static str,
    path: &'static str,
    content_type: &'static str,
    body: String,
    code: u16,
    reason: &'static str,
    /// Part of the message.
    message: &'static str,
    /// Fields of the causes, in order.
    fields: &'static [&'static str],
}

impl Case {
    fn new(what: &'static str, method: &'static str, path: &'static str, body: impl Into<String>) -> Self {
        let content_type = "application/json";
        let body = body.into();
        Self {
            what,
            method,
            path,
            content_type,
            body,
            code: 400,
            reason: "BadRequest",
            message: "",
            fields: &[],
        }
    }
    fn of_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }
    fn is(mut self, code: u16, reason: &'static str, message: &'static str) -> Self {
        (self.code, self.reason, self.message) = (code, reason, message);
        self
    }
    fn at(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = fields;
        self
    }
}

/// The reason of an answer that is text and no Status: nothing is served at the path.
const PLAIN: &str = "text";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/m";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn map(name: &str, more: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}}{more}}}"#)
}

fn bodies() -> Vec<Case> {
    let post = |what, body: String| Case::new(what, "POST", MAPS, body);
    vec![
        post("cut off", r#"{"apiVersion":"v1","kind":"#.into()).is(400, "BadRequest", ""),
        post("not JSON", "hello".into()).is(400, "BadRequest", ""),
        post("no body", String::new()).is(400, "BadRequest", ""),
        post("a list", "[]".into()).is(400, "BadRequest", ""),
        post("bad YAML", "a: [".into()).of_type("application/yaml").is(400, "BadRequest", ""),
        post("unknown type", map("x", "")).of_type("text/plain").is(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format",
        ),
        post("a string for an object", map("x", r#","data":"text""#)).is(
            400,
            "BadRequest",
            "cannot be handled as a ConfigMap",
        ),
        post("a number for a string", map("x", r#","data":{"k":1}"#)).is(
            400,
            "BadRequest",
            "cannot be handled as a ConfigMap",
        ),
        post("another kind", map("x", "").replace("ConfigMap", "Secret")).is(
            400,
            "BadRequest",
            "Secret in version \"v1\" cannot be handled as a ConfigMap",
        ),
        post("another version", map("x", "").replace(r#""v1""#, r#""v2""#)).is(400, "BadRequest", ""),
        post("too long", map("x", &format!(r#","data":{{"k":"{}"}}"#, "a".repeat(4 << 20)))).is(
            413,
            "RequestEntityTooLarge",
            "",
        ),
        post("much data", map("x", &format!(r#","data":{{"k":"{}"}}"#, "a".repeat((1 << 20) + 1))))
            .is(422, "Invalid", "Too long: may not be more than 1048576 bytes")
            .at(&["[]"]),
        post(
            "deep nesting",
            map("x", &format!(r#","data":{}1{}"#, r#"{"a":"#.repeat(20_000), "}".repeat(20_000))),
        )
        .is(400, "BadRequest", ""),
        post("deep YAML", "a: ".to_owned() + &"[".repeat(20_000)).of_type("application/yaml").is(
            400,
            "BadRequest",
            "",
        ),
        Case::new(
            "a strict unknown field",
            "POST",
            "/api/v1/namespaces/default/configmaps?fieldValidation=Strict",
            map("x", r#","dota":{}"#),
        )
        .is(400, "BadRequest", r#"strict decoding error: unknown field "dota""#),
        Case::new(
            "a strict double field",
            "POST",
            "/api/v1/namespaces/default/configmaps?fieldValidation=Strict",
            map("x", r#","data":{},"data":{}"#),
        )
        .is(400, "BadRequest", r#"duplicate field "data""#),
    ]
}

fn objects() -> Vec<Case> {
    let post = |what, body: String| Case::new(what, "POST", MAPS, body);
    let container = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"A","image":""}]}}"#;
    let deployment = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":-1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
    vec![
        post("no name", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}"#.into()).is(422, "Invalid", "name or generateName is required").at(&["metadata.name"]),
        post("a bad name", map("Not_Valid", "")).is(422, "Invalid", "a lowercase RFC 1123 subdomain must consist of").at(&["metadata.name"]),
        post("a long name", map(&"a".repeat(254), "")).is(422, "Invalid", "must be no more than 253").at(&["metadata.name"]),
        post("a foreign namespace", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"other"}}"#.into())
            .is(400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"),
        post("a revision of its own", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","resourceVersion":"5"}}"#.into())
            .is(400, "BadRequest", "resourceVersion should not be set on objects to be created"),
        post("a bad key", map("x", r#","data":{"a b":"c"}"#)).is(422, "Invalid", "a valid config key must consist of").at(&["data[a b]"]),
        post("a bad label", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","labels":{"a b":"c"}}}"#.into()).is(422, "Invalid", "").at(&["metadata.labels"]),
        post("taken", map("m", "")).is(409, "AlreadyExists", r#"configmaps "m" already exists"#),
        Case::new("no such namespace", "POST", "/api/v1/namespaces/none/configmaps", map("x", "")).is(404, "NotFound", r#"namespaces "none" not found"#),
        Case::new("a bad container", "POST", PODS, container).is(422, "Invalid", "").at(&["spec.containers[0].name", "spec.containers[0].image"]),
        Case::new("a bad deployment", "POST", DEPLOYMENTS, deployment).is(422, "Invalid", "must be greater than or equal to 0").at(&["spec.replicas", "spec.template.metadata.labels"]),
        Case::new("another name", "PUT", MAP, map("other", "")).is(400, "BadRequest", "the name of the object (other) does not match the name on the URL (m)"),
        Case::new("stale", "PUT", MAP, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","resourceVersion":"1"}}"#)
            .is(409, "Conflict", "the object has been modified; please apply your changes to the latest version and try again"),
        Case::new("another uid", "PUT", MAP, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","uid":"00000000-0000-0000-0000-000000000000"}}"#).is(409, "Conflict", "Precondition failed: UID in precondition"),
        Case::new("a revision that is none", "PUT", MAP, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","resourceVersion":"new"}}"#).is(422, "Invalid", "metadata.resourceVersion: Invalid value: \"new\""),
    ]
}

fn patches() -> Vec<Case> {
    let patch = |what, content_type, body: &str| Case::new(what, "PATCH", MAP, body).of_type(content_type);
    vec![
        patch("no patch type", "application/json", "{}").is(
            415,
            "UnsupportedMediaType",
            "415: Unsupported Media Type",
        ),
        patch("a cut off merge", MERGE, "{").is(400, "BadRequest", ""),
        patch("an object as JSON patch", JSON_PATCH, "{}").is(400, "BadRequest", ""),
        patch("an unknown operation", JSON_PATCH, r#"[{"op":"jump","path":"/data"}]"#).is(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
        patch("a missing path", JSON_PATCH, r#"[{"op":"remove","path":"/data/none"}]"#)
            .is(422, "Invalid", ""),
        patch("a failed test", JSON_PATCH, r#"[{"op":"test","path":"/data/k","value":"w"}]"#).is(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
        patch("a wrong type", MERGE, r#"{"data":[1]}"#).is(422, "Invalid", "").at(&["patch"]),
        patch("an unknown directive", STRATEGIC, r#"{"data":{"$patch":"explode"}}"#).is(500, "", "explode"),
        Case::new(
            "apply of another kind",
            "PATCH",
            "/api/v1/namespaces/default/configmaps/m?fieldManager=x",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: m}\n",
        )
        .of_type(APPLY),
        patch("apply without a manager", APPLY, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n").is(
            422,
            "Invalid",
            "fieldManager",
        ),
        patch("a stale revision", MERGE, r#"{"metadata":{"resourceVersion":"1"}}"#).is(
            409,
            "Conflict",
            "the object has been modified",
        ),
        Case::new("a patch of nothing", "PATCH", "/api/v1/namespaces/default/configmaps/none", "{}")
            .of_type(MERGE)
            .is(404, "NotFound", r#"configmaps "none" not found"#),
    ]
}

fn options() -> Vec<Case> {
    let get = |what, path| Case::new(what, "GET", path, "");
    vec![
        get("no such group", "/apis/none.example.com/v1/things").is(404, PLAIN, "404 page not found"),
        get("no such kind", "/api/v1/things").is(404, "NotFound", "could not find the requested resource"),
        get("no such object", "/api/v1/namespaces/default/configmaps/none").is(
            404,
            "NotFound",
            r#"configmaps "none" not found"#,
        ),
        get("no such subresource", "/api/v1/namespaces/default/configmaps/m/status").is(
            404,
            "NotFound",
            "could not find the requested resource",
        ),
        get("a bad selector", "/api/v1/configmaps?labelSelector=a%20b%20c").is(
            400,
            "BadRequest",
            "unable to parse requirement",
        ),
        get("a field nobody selects", "/api/v1/configmaps?fieldSelector=data.k%3Dv").is(
            400,
            "BadRequest",
            "\"data.k\" is not a known field selector",
        ),
        get("a bad limit", "/api/v1/configmaps?limit=many").is(400, "BadRequest", ""),
        get("a bad token", "/api/v1/configmaps?limit=1&continue=nonsense").is(
            400,
            "BadRequest",
            "continue key is not valid",
        ),
        get("a bad revision", "/api/v1/configmaps?resourceVersion=abc").is(
            400,
            "BadRequest",
            "Invalid value",
        ),
        get("a match without a revision", "/api/v1/configmaps?resourceVersionMatch=Exact").is(
            422,
            "Invalid",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        get(
            "a revision of tomorrow",
            "/api/v1/configmaps?resourceVersion=99999999&resourceVersionMatch=Exact",
        )
        .is(504, "Timeout", "Too large resource version"),
        get("initial events without a match", "/api/v1/configmaps?watch=true&sendInitialEvents=true").is(
            422,
            "Invalid",
            "sendInitialEvents",
        ),
        Case::new(
            "no deletion of a collection of names",
            "DELETE",
            "/api/v1/namespaces/default/configmaps/none",
            "",
        )
        .is(404, "NotFound", ""),
        Case::new(
            "a bad policy",
            "DELETE",
            "/api/v1/namespaces/default/configmaps/m?propagationPolicy=Sideways",
            "",
        )
        .is(422, "Invalid", "propagationPolicy"),
        Case::new("a bad precondition", "DELETE", MAP, r#"{"preconditions":{"uid":"other"}}"#).is(
            409,
            "Conflict",
            "the UID in the precondition (other) does not match the UID in record",
        ),
        Case::new("a method nobody serves", "PUT", MAPS, "{}").is(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        Case::new("all namespaces at once", "DELETE", "/api/v1/namespaces", "").is(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        Case::new("a bad dry run", "POST", "/api/v1/namespaces/default/configmaps?dryRun=Some", map("x", ""))
            .is(422, "Invalid", "dryRun"),
        Case::new(
            "a bad strictness",
            "POST",
            "/api/v1/namespaces/default/configmaps?fieldValidation=Maybe",
            map("x", ""),
        )
        .is(422, "Invalid", "fieldValidation"),
    ]
}

/// Sends a case and says how the answer differs from what it should be.
async fn differs(client: &Client, case: &Case) -> Option<String> {
    let request = http::Request::builder()
        .method(case.method)
        .uri(case.path)
        .header("content-type", case.content_type)
        .body(Body::from(case.body.clone().into_bytes()))
        .unwrap();
    let answer = match tokio::time::timeout(PATIENCE, client.send(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Some(format!("{}: no answer: {error}", case.what)),
        Err(_) => return Some(format!("{}: no answer in time", case.what)),
    };
    let code = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.unwrap();
    let status: Value = serde_json::from_slice(&body).unwrap_or_default();
    let all = String::from_utf8_lossy(&body);
    if case.reason == PLAIN && code == case.code && all.trim() == case.message {
        return None;
    }
    let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
    let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    let fields: Vec<_> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
    let is_right = code == case.code
        && status["code"] == case.code
        && text("kind") == "Status"
        && text("status") == "Failure"
        && text("reason") == case.reason
        && text("message").contains(case.message)
        && (case.fields.is_empty() || fields == case.fields);
    let shown: String = all.chars().take(600).collect();
    (!is_right).then(|| {
        format!(
            "{}: should be {} {} {:?} {:?}, is {code} {shown}",
            case.what, case.code, case.reason, case.message, case.fields
        )
    })
}

#[tokio::test]
async fn bad_input_is_refused_as_upstream_does() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.run("create serviceaccount default").ok();
    kubectl.run("create configmap m --from-literal=k=v").ok();
    let before = kubectl.run("get cm m -o yaml --show-managed-fields").ok().stdout;
    let client = server.client().await;
    let cases: Vec<Case> = [bodies(), objects(), patches(), options()].into_iter().flatten().collect();
    let mut wrong = Vec::new();
    for case in &cases {
        wrong.extend(differs(&client, case).await);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    kubectl.run("get cm m -o yaml --show-managed-fields").ok().prints(&before);
    kubectl.run("get cm,pod,deployment -o name").ok().prints("configmap/m");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn bad_manifests_are_refused_through_kubectl() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.pipe("kind: ConfigMap\nmetadata: {name: x}\n", "create -f -").fails(&["apiVersion not set"]);
    kubectl
        .pipe("apiVersion: v1\nkind: Widget\nmetadata: {name: x}\n", "create -f -")
        .fails(&[r#"no matches for kind "Widget" in version "v1""#]);
    kubectl
        .pipe("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndota: {}\n", "create -f -")
        .fails(&[r#"strict decoding error: unknown field "dota""#]);
    kubectl
        .pipe(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndota: {}\n",
            "create -f - --validate=warn",
        )
        .ok()
        .warns(&[r#"Warning: unknown field "dota""#]);
    let typed = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: many}\n";
    kubectl
        .pipe(typed, "create -f -")
        .fails(&["Deployment in version \"v1\" cannot be handled as a Deployment"]);
    let bare = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {spec: {}}}\n";
    kubectl
        .pipe(bare, "create -f -")
        .fails(&["spec.selector: Required value", "spec.template.spec.containers: Required value"]);
    kubectl
        .run("create service nodeport n --tcp=80 --node-port=99")
        .fails(&["spec.ports[0].nodePort: Invalid value: 99", "provided port is not in the valid range"]);
    kubectl
        .run("create service clusterip n --tcp=80 --clusterip=1.2.3.4")
        .fails(&["spec.clusterIPs: Invalid value", "the provided network does not match the current range"]);
}
