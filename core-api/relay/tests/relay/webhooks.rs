//! Admission webhooks, asked over TLS by the real server.

use crate::{
    hook::Hook,
    world::{Answer, SPDY, World, request},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

const D: &str = "/api/v1/namespaces/d";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";

/// A server with a webhook behind the Service `d/hook`.
pub(crate) struct Guarded {
    pub(crate) world: World,
    pub(crate) hook: Hook,
}

impl Guarded {
    pub(crate) async fn start() -> Self {
        let world = World::start().await;
        let hook = Hook::start(world.serving("hook.d.svc")).await;
        let port = hook.address.port();
        let service = json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 8443}]}});
        world.create("namespaces/d/services", service).await;
        let slice = json!({
            "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
            "addressType": "IPv4", "ports": [{"name": "", "port": port}],
            "endpoints": [{"addresses": ["10.244.0.9"]}],
        });
        world.write("POST", "/apis/discovery.k8s.io/v1/namespaces/d/endpointslices", slice).await;
        Self { world, hook }
    }

    /// A `clientConfig` that leads to the webhook at a path.
    pub(crate) fn client(&self, path: &str) -> Value {
        json!({
            "service": {"namespace": "d", "name": "hook", "port": 8443, "path": path},
            "caBundle": BASE64_STANDARD.encode(self.world.authority().pem()),
        })
    }

    /// A webhook that is asked about everything that is done to config maps.
    fn webhook(&self, name: &str, path: &str) -> Value {
        json!({
            "name": format!("{name}.example.com"), "clientConfig": self.client(path), "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        })
    }

    async fn configure(&self, kind: &str, name: &str, webhooks: &[Value]) {
        let configuration = json!({"metadata": {"name": name}, "webhooks": webhooks});
        let path = format!("{CONFIGURATIONS}/{kind}webhookconfigurations");
        let answer = self.world.send("admin", request("POST", &path, JSON, &configuration.to_string())).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    async fn unconfigure(&self, kind: &str, name: &str) {
        let path = format!("{CONFIGURATIONS}/{kind}webhookconfigurations/{name}");
        let answer = self.world.send("admin", request("DELETE", &path, &[], "")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    pub(crate) async fn send(&self, method: &str, path: &str, object: &Value) -> Answer {
        let headers: &[_] = if method == "PATCH" { MERGE } else { JSON };
        self.world.send("admin", request(method, path, headers, &object.to_string())).await
    }

    async fn config_map(&self, object: &Value) -> Answer {
        self.send("POST", &format!("{D}/configmaps"), object).await
    }

    pub(crate) async fn stop(self) {
        self.world.stop().await;
    }
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const MERGE: &[(&str, &str)] = &[("content-type", "application/merge-patch+json")];

fn data(name: &str, data: &Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_is_the_clients_answer_and_the_question_says_everything() {
    let guarded = Guarded::start().await;
    guarded.config_map(&data("old", &json!({"a": "1"}))).await;
    guarded.configure("validating", "guard", &[guarded.webhook("guard", "/deny")]).await;
    let denied = "admission webhook \"guard.example.com\" denied the request: not here";

    let answer =
        guarded.send("POST", &format!("{D}/configmaps?fieldManager=me"), &data("new", &json!({}))).await;
    assert_eq!(answer.failure(), (403, denied.to_owned()));
    assert_eq!(answer.json()["reason"], "Forbidden");
    let question = guarded.hook.seen().pop().expect("asked");
    assert_eq!((question.target.as_str(), question.host.as_str()), ("/deny?timeout=10s", "hook.d.svc:8443"));
    assert_eq!(question.review["apiVersion"], "admission.k8s.io/v1");
    let mut asked = guarded.hook.take().pop().expect("asked");
    let object = asked["object"].take();
    assert_eq!((&object["kind"], &object["metadata"]["name"]), (&json!("ConfigMap"), &json!("new")));
    assert!(asked["uid"].as_str().is_some_and(|uid| !uid.is_empty()));
    asked.as_object_mut().unwrap().remove("uid");
    let extra = asked["userInfo"].as_object_mut().unwrap().remove("extra").expect("how the user was known");
    assert!(extra.get("authentication.kubernetes.io/credential-id").is_some(), "{extra}");
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    assert_eq!(
        asked,
        json!({
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "new", "namespace": "d", "operation": "CREATE", "dryRun": false,
            "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
            "object": null, "oldObject": null,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"},
        })
    );

    let old = format!("{D}/configmaps/old");
    assert_eq!(
        guarded.send("PATCH", &old, &json!({"data": {"a": "2"}})).await.failure(),
        (403, denied.to_owned())
    );
    let asked = guarded.hook.take().pop().expect("asked");
    assert_eq!((&asked["object"]["data"]["a"], &asked["oldObject"]["data"]["a"]), (&json!("2"), &json!("1")));
    assert_eq!((&asked["operation"], &asked["options"]["kind"]), (&json!("UPDATE"), &json!("UpdateOptions")));

    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 5});
    assert_eq!(guarded.send("DELETE", &old, &options).await.failure(), (403, denied.to_owned()));
    let asked = guarded.hook.take().pop().expect("asked");
    assert_eq!((&asked["object"], &asked["oldObject"]["data"]["a"]), (&Value::Null, &json!("1")));
    assert_eq!((&asked["operation"], &asked["options"]["gracePeriodSeconds"]), (&json!("DELETE"), &json!(5)));

    let answer = guarded.send("POST", &format!("{D}/secrets"), &json!({"metadata": {"name": "s"}})).await;
    assert_eq!(answer.status, 201, "nobody asks about secrets: {}", answer.text);
    assert_eq!(
        (guarded.hook.take().len(), guarded.hook.connections()),
        (0, 1),
        "one connection served all questions"
    );
    guarded.unconfigure("validating", "guard").await;
    assert_eq!(guarded.send("DELETE", &old, &json!({})).await.status, 200);
    guarded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_and_conditions_say_who_is_asked_about() {
    let guarded = Guarded::start().await;
    let mut of_namespace = guarded.webhook("namespaces", "/deny");
    of_namespace["namespaceSelector"] = json!({"matchLabels": {"guarded": "yes"}});
    let mut of_objects = guarded.webhook("objects", "/deny");
    of_objects["objectSelector"] = json!({"matchLabels": {"guarded": "yes"}});
    let mut conditional = guarded.webhook("conditional", "/deny");
    conditional["matchConditions"] =
        json!([{"name": "a", "expression": "object.metadata.name == 'special'"}]);
    guarded.configure("validating", "guard", &[of_namespace, of_objects, conditional]).await;
    assert_eq!(guarded.config_map(&data("free", &json!({}))).await.status, 201);
    assert_eq!(guarded.hook.take().len(), 0);
    let labelled = json!({"metadata": {"name": "a", "labels": {"guarded": "yes"}}});
    assert_eq!(guarded.config_map(&labelled).await.failure().0, 403);
    assert_eq!(guarded.config_map(&data("special", &json!({}))).await.failure().0, 403);
    let labels = json!({"metadata": {"labels": {"guarded": "yes"}}});
    assert_eq!(guarded.send("PATCH", "/api/v1/namespaces/d", &labels).await.status, 200);
    assert_eq!(guarded.config_map(&data("b", &json!({}))).await.failure().0, 403);
    let wrong = json!({"metadata": {"name": "wrong"}, "webhooks": [{"matchConditions": [
        {"name": "bad", "expression": "... [] bad"}]}]});
    let path = format!("{CONFIGURATIONS}/mutatingwebhookconfigurations");
    let (code, message) = guarded.send("POST", &path, &wrong).await.failure();
    assert_eq!(code, 422);
    assert!(
        message.contains(
            "webhooks[0].matchConditions[0].expression: Invalid value: \"... [] bad\": compilation failed: "
        ),
        "{message}"
    );
    guarded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutations_go_in_order_and_are_seen_by_those_who_ask_for_it() {
    let guarded = Guarded::start().await;
    let mut first = guarded.webhook("first", "/add/one/two");
    let second = guarded.webhook("second", "/add/two/start");
    let third = guarded.webhook("third", "/add/three/two");
    // Names order configurations, whatever was there first.
    guarded.configure("mutating", "b", &[second.clone(), third.clone()]).await;
    guarded.configure("mutating", "a", &[first.clone()]).await;
    let made = guarded.config_map(&data("once", &json!({"start": "yes"}))).await.json();
    assert_eq!(made["data"], json!({"start": "yes", "two": "yes", "three": "yes"}));
    guarded.unconfigure("mutating", "a").await;
    first["reinvocationPolicy"] = json!("IfNeeded");
    guarded.configure("mutating", "a", &[first]).await;
    let made = guarded.config_map(&data("again", &json!({"start": "yes"}))).await.json();
    assert_eq!(made["data"], json!({"start": "yes", "one": "yes", "two": "yes", "three": "yes"}));
    let asked: Vec<_> = guarded.hook.seen().into_iter().map(|asked| asked.target).collect();
    assert_eq!(
        asked[3..],
        [
            "/add/one/two?timeout=10s",
            "/add/two/start?timeout=10s",
            "/add/three/two?timeout=10s",
            "/add/one/two?timeout=10s"
        ]
    );
    guarded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_webhook_adds_is_typed_and_defaulted() {
    let guarded = Guarded::start().await;
    let mut webhook = guarded.webhook("init", "/init");
    webhook["rules"][0]["resources"] = json!(["pods"]);
    guarded.configure("mutating", "init", &[webhook]).await;
    let pod = json!({"metadata": {"name": "q"}, "spec": {"containers": [{"name": "a", "image": "i"}]}});
    let made = guarded.send("POST", &format!("{D}/pods"), &pod).await.json();
    let added = &made["spec"]["initContainers"][0];
    assert_eq!((&added["name"], &added["terminationMessagePolicy"]), (&json!("first"), &json!("File")));
    assert_eq!(added.get("unknown"), None);
    // The service account's plugin has seen it in the second round.
    assert_eq!(added["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    guarded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_count_unless_they_are_ignored() {
    let guarded = Guarded::start().await;
    let post =
        |path: &str| format!("failed to call webhook: Post \"https://hook.d.svc:8443{path}?timeout=1s\": ");
    let expired = format!("{}context deadline exceeded", post("/hang"));
    let broken = "failed to call webhook: an error on the server (\"oh no\") has prevented the request from succeeding";
    let nonsense = "received undecodable patch in webhook response: error decoding patch";
    for (kind, path, why) in [
        ("validating", "/hang", expired.as_str()),
        ("validating", "/broken", broken),
        ("mutating", "/nonsense", nonsense),
    ] {
        for policy in ["Ignore", "Fail"] {
            let mut webhook = guarded.webhook("fails", path);
            webhook["failurePolicy"] = json!(policy);
            webhook["timeoutSeconds"] = json!(1);
            guarded.configure(kind, "fails", &[webhook]).await;
            let answer = guarded.config_map(&json!({"metadata": {"generateName": "a-"}})).await;
            if policy == "Ignore" {
                assert_eq!(answer.status, 201, "{path}: {}", answer.text);
            } else {
                let (code, message) = answer.failure();
                let start = "Internal error occurred: failed calling webhook \"fails.example.com\": ";
                assert_eq!(code, 500);
                assert!(message.starts_with(&format!("{start}{why}")), "{message}");
            }
            guarded.unconfigure(kind, "fails").await;
        }
    }
    // Nobody vouches for the webhook's certificate.
    let mut stranger = guarded.webhook("stranger", "/");
    stranger["clientConfig"]["caBundle"] = json!(null);
    guarded.configure("validating", "stranger", &[stranger]).await;
    let (code, message) = guarded.config_map(&data("x", &json!({}))).await.failure();
    assert_eq!(code, 500);
    assert!(message.contains("tls: failed to verify certificate: x509: "), "{message}");
    guarded.unconfigure("validating", "stranger").await;
    let mut missing = guarded.webhook("missing", "/");
    missing["clientConfig"]["service"]["name"] = json!("nobody");
    guarded.configure("validating", "missing", &[missing]).await;
    let (_, message) = guarded.config_map(&data("x", &json!({}))).await.failure();
    assert!(message.ends_with("services \"nobody\" not found"), "{message}");
    guarded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warnings_and_dry_runs_reach_both_sides() {
    let guarded = Guarded::start().await;
    guarded.configure("validating", "warns", &[guarded.webhook("warns", "/warn/mind")]).await;
    let answer = guarded.send("POST", &format!("{D}/configmaps?dryRun=All"), &data("dry", &json!({}))).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["warning"]),
        (201, &"299 - \"mind\"".parse().unwrap())
    );
    let asked = guarded.hook.take().pop().expect("asked");
    assert_eq!((&asked["dryRun"], &asked["options"]["dryRun"]), (&json!(true), &json!(["All"])));
    assert_eq!(guarded.world.get(&format!("{D}/configmaps/dry")).await.status, 404);
    for name in ["a", "b"] {
        assert_eq!(guarded.config_map(&data(name, &json!({}))).await.status, 201);
    }
    let deleted = guarded.send("DELETE", &format!("{D}/configmaps"), &json!({})).await;
    let warnings: Vec<_> = deleted.headers.get_all("warning").iter().map(|w| w.to_str().unwrap()).collect();
    assert_eq!((deleted.status.as_u16(), warnings), (200, vec!["299 - \"mind\""]));
    guarded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_subresources_are_asked_about() {
    let guarded = Guarded::start().await;
    let mut webhook = guarded.webhook("parts", "/deny");
    let rule = |operation, resource| {
        let (groups, versions, resources) = (["*"], ["*"], [resource]);
        json!({"operations": [operation], "apiGroups": groups, "apiVersions": versions, "resources": resources})
    };
    webhook["rules"] = json!([rule("CONNECT", "pods/exec"), rule("CREATE", "pods/eviction")]);
    guarded.configure("validating", "parts", &[webhook]).await;
    let exec = request("POST", &format!("{D}/pods/p/exec?command=sh&stdin=true&container=a"), SPDY, "");
    assert_eq!(guarded.world.send("admin", exec).await.failure().0, 403);
    let asked = guarded.hook.take().pop().expect("asked");
    assert_eq!((&asked["operation"], &asked["subResource"]), (&json!("CONNECT"), &json!("exec")));
    assert_eq!(
        asked["object"],
        json!({"kind": "PodExecOptions", "apiVersion": "v1", "stdin": true, "container": "a", "command": ["sh"]})
    );
    assert_eq!((&asked["kind"]["kind"], &asked["options"]), (&json!("PodExecOptions"), &Value::Null));
    let eviction = json!({"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p"}});
    assert_eq!(guarded.send("POST", &format!("{D}/pods/p/eviction"), &eviction).await.failure().0, 403);
    let asked = guarded.hook.take().pop().expect("asked");
    assert_eq!(asked["kind"], json!({"group": "policy", "version": "v1", "kind": "Eviction"}));
    assert_eq!(asked["resource"], json!({"group": "", "version": "v1", "resource": "pods"}));
    guarded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scale_is_shown_and_changed_as_one() {
    let guarded = Guarded::start().await;
    let labels = json!({"app": "web"});
    let template =
        json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": labels}, "template": template});
    let deployment = json!({"metadata": {"name": "web"}, "spec": spec});
    let path = "/apis/apps/v1/namespaces/d/deployments";
    assert_eq!(guarded.send("POST", path, &deployment).await.status, 201);
    let mut webhook = guarded.webhook("scale", "/replicas/7");
    webhook["rules"][0]["apiGroups"] = json!(["apps"]);
    webhook["rules"][0]["resources"] = json!(["deployments/scale"]);
    guarded.configure("mutating", "scale", &[webhook]).await;
    let answer = guarded.send("PATCH", &format!("{path}/web/scale"), &json!({"spec": {"replicas": 3}})).await;
    assert_eq!(answer.json()["spec"]["replicas"], 7, "{}", answer.text);
    let asked = guarded.hook.take().remove(0);
    assert_eq!(
        (&asked["object"]["kind"], &asked["object"]["spec"]["replicas"]),
        (&json!("Scale"), &json!(3))
    );
    assert_eq!(
        (&asked["kind"]["group"], &asked["resource"]["resource"]),
        (&json!("autoscaling"), &json!("deployments"))
    );
    guarded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configurations_are_out_of_reach_and_other_versions_are_not() {
    let guarded = Guarded::start().await;
    let mut everything = guarded.webhook("everything", "/deny");
    everything["rules"] =
        json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    guarded.configure("validating", "everything", &[everything]).await;
    let (code, _) = guarded.config_map(&data("x", &json!({}))).await.failure();
    assert_eq!(code, 403);
    let review = json!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(guarded.send("POST", path, &review).await.status, 201);
    guarded.unconfigure("validating", "everything").await;
    guarded.hook.take();

    // An event of the new group is the same as one of the core group.
    for (policy, status) in [("Exact", 201), ("Equivalent", 403)] {
        let mut events = guarded.webhook("events", "/deny");
        events["rules"][0]["resources"] = json!(["events"]);
        events["matchPolicy"] = json!(policy);
        guarded.configure("validating", "events", &[events]).await;
        let event = json!({
            "metadata": {"generateName": "e-"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "A",
            "action": "B", "type": "Normal", "reportingController": "a.b/c", "reportingInstance": "d", "note": "n",
            "regarding": {"kind": "Pod", "namespace": "d", "name": "p"},
        });
        let answer = guarded.send("POST", "/apis/events.k8s.io/v1/namespaces/d/events", &event).await;
        assert_eq!(answer.status, status, "{policy}: {}", answer.text);
        guarded.unconfigure("validating", "events").await;
    }
    let asked = guarded.hook.take().pop().expect("asked");
    assert_eq!(
        (&asked["kind"]["group"], &asked["requestKind"]["group"]),
        (&json!(""), &json!("events.k8s.io"))
    );
    assert_eq!((&asked["object"]["apiVersion"], &asked["object"]["message"]), (&json!("v1"), &json!("n")));
    guarded.stop().await;
}
