//! API servers of others: registered, looked after, asked and shown.

use crate::{
    agent::{Agent, FRUIT},
    world::{Answer, World, request},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const OWN: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1.fruit.example.com";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/d/endpointslices";
const PEARS: &str = "/apis/fruit.example.com/v1/namespaces/d/pears";
const AGGREGATED: (&str, &str) =
    ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with another API server, which wants to see a certificate.
struct Orchard {
    world: World,
    server: Agent,
}

impl Orchard {
    async fn start() -> Self {
        let world = World::start().await;
        let server = Agent::start(Some(world.authority().server("fruit.d.svc"))).await;
        Self { world, server }
    }
    /// The same, registered and available.
    async fn registered() -> Self {
        let orchard = Self::start().await;
        orchard.serve().await;
        orchard.endpoints(json!(true), orchard.server.address.port()).await;
        orchard.register().await;
        orchard.until(("True", "Passed")).await;
        orchard
    }
    async fn serve(&self) {
        let service =
            json!({"metadata": {"name": "fruit"}, "spec": {"ports": [{"name": "https", "port": 8443}]}});
        self.world.create("namespaces/d/services", service).await;
    }
    async fn endpoints(&self, ready: Value, port: u16) {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "fruit-1", "labels": {"kubernetes.io/service-name": "fruit"}},
            "addressType": "IPv4", "ports": [{"name": "https", "port": port}],
            "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": ready}}],
        });
        let path = format!("{SLICES}/fruit-1?fieldManager=test&force=true");
        let headers = [("content-type", "application/apply-patch+yaml")];
        let answer = self.world.send("admin", request("PATCH", &path, &headers, &slice.to_string())).await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    async fn register(&self) {
        let spec = json!({
            "group": FRUIT, "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10,
            "service": {"namespace": "d", "name": "fruit", "port": 8443},
            "caBundle": BASE64_STANDARD.encode(self.world.authority().pem()),
        });
        let object = json!({"metadata": {"name": format!("v1.{FRUIT}")}, "spec": spec});
        self.world.write("POST", SERVICES, object).await;
    }
    /// Waits for status and reason of the condition; gives its message.
    async fn until(&self, wanted: (&str, &str)) -> String {
        let mut published = self.world.core.registry.published();
        let found = async {
            loop {
                let object = self.world.get(OWN).await.json();
                let condition = &object["status"]["conditions"][0];
                if (condition["status"].as_str(), condition["reason"].as_str())
                    == (Some(wanted.0), Some(wanted.1))
                {
                    return condition["message"].as_str().unwrap_or_default().to_owned();
                }
                published.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("{wanted:?} does not come about"))
    }
    /// Waits until discovery shows the group in a form.
    async fn until_shown(&self, shows: impl Fn(&Value) -> bool) -> Value {
        let shown = async {
            loop {
                let version = self.shown().await;
                if shows(&version) {
                    return version;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, shown).await.unwrap_or_else(|_| panic!("discovery does not follow"))
    }
    /// The version as aggregated discovery shows it.
    async fn shown(&self) -> Value {
        let document = self.world.send("admin", request("GET", "/apis", &[AGGREGATED], "")).await.json();
        let groups = document["items"].as_array().unwrap();
        let group = groups.iter().find(|group| group["metadata"]["name"] == FRUIT);
        group.map(|group| group["versions"][0].clone()).unwrap_or_default()
    }
    async fn stop(self) {
        self.world.stop().await;
    }
}

fn line(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.text.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_reach_the_server_of_their_group_in_the_users_name() {
    let orchard = Orchard::registered().await;
    let world = &orchard.world;
    let headers = [("authorization", "Bearer x"), ("x-remote-user", "root"), ("x-kept", "1")];
    let answer = world.send("admin", request("POST", &format!("{PEARS}?a=b"), &headers[1..], "{}")).await;
    assert_eq!(answer.json(), json!({"method": "POST", "path": PEARS}));
    let seen = orchard.server.seen().into_iter().rev().find(|seen| seen.method == "POST").unwrap();
    assert_eq!(seen.target, format!("{PEARS}?a=b"));
    assert_eq!(seen.headers["x-remote-user"], "admin");
    let groups: Vec<_> = seen.headers.get_all("x-remote-group").iter().collect();
    assert_eq!(groups, ["system:masters", "system:authenticated"]);
    let extra = "x-remote-extra-authentication.kubernetes.io%2fcredential-id";
    assert!(seen.headers[extra].to_str().unwrap().starts_with("X509SHA256="), "{:?}", seen.headers);
    assert_eq!(
        (&seen.headers["x-kept"], &seen.headers["x-forwarded-for"]),
        (&"1".parse().unwrap(), &"127.0.0.1".parse().unwrap())
    );
    assert_eq!(seen.headers["host"], orchard.server.address.to_string());
    assert_eq!(seen.headers["audit-id"], answer.headers["audit-id"]);
    // Whatever the client calls the business of its own connection, the identity stays.
    let sly = [("connection", "x-remote-user, x-remote-group, audit-id"), ("x-kept", "2")];
    world.send("admin", request("PUT", PEARS, &sly, "{}")).await;
    let seen = orchard.server.seen().into_iter().rev().find(|seen| seen.method == "PUT").unwrap();
    assert_eq!(seen.headers["x-remote-user"], "admin");
    assert!(seen.headers.contains_key("x-remote-group") && !seen.headers.contains_key("connection"));
    // The version's own path, too.
    assert_eq!(world.get("/apis/fruit.example.com/v1").await.json()["kind"], "APIResourceList");
    // What is refused here is not asked there.
    let asked = orchard.server.seen().len();
    let (code, message) =
        world.send("nobody", request("DELETE", &format!("{PEARS}/p"), &[], "")).await.failure();
    assert_eq!(code, 403);
    assert!(
        message.contains("cannot delete resource \"pears\" in API group \"fruit.example.com\""),
        "{message}"
    );
    assert!(!orchard.server.seen()[asked..].iter().any(|seen| seen.method == "DELETE"));
    orchard.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_and_connections_that_leave_http_pass_through() {
    let orchard = Orchard::registered().await;
    let world = &orchard.world;
    let mut readers = orchard.server.readers();
    let watch = world.open("admin", request("GET", &format!("{PEARS}?watch=1"), &[], ""));
    let (response, writer) = tokio::join!(watch, readers.next());
    let (mut body, writer) = (response.into_body(), writer.unwrap());
    for event in ["{\"type\":\"ADDED\"}\n", "{\"type\":\"DELETED\"}\n"] {
        writer.unbounded_send(Bytes::from_static(event.as_bytes())).unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.data_ref().map(AsRef::as_ref), Some(event.as_bytes()));
    }
    drop(body);
    let stream = world.connection("admin", b"http/1.1").await;
    let chat = format!("wss://127.0.0.1{PEARS}/p/chat").into_client_request().unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(chat, stream).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    let seen = orchard.server.seen().into_iter().rev().find(|seen| seen.target.ends_with("/chat")).unwrap();
    assert_eq!(seen.headers["x-remote-user"], "admin");
    orchard.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_shows_what_others_serve_beside_the_own() {
    let orchard = Orchard::registered().await;
    let world = &orchard.world;
    let version = orchard.until_shown(|version| version["freshness"] == "Current").await;
    assert_eq!(version["resources"][0]["resource"], "pears");
    assert_eq!(version["resources"][0]["responseKind"]["kind"], "Pear");
    let groups = world.get("/apis").await.json();
    let names: Vec<_> = groups["groups"].as_array().unwrap().iter().map(|group| &group["name"]).collect();
    assert_eq!((names[0], names[1]), (&json!("apiregistration.k8s.io"), &json!("apps")));
    assert_eq!(names.last(), Some(&&json!(FRUIT)));
    let group = world.get(&format!("/apis/{FRUIT}")).await.json();
    assert_eq!(group["preferredVersion"]["groupVersion"], "fruit.example.com/v1");
    let paths = world.get("/").await.json();
    assert!(paths["paths"].as_array().unwrap().contains(&json!("/apis/fruit.example.com/v1")));
    let index = world.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/fruit.example.com/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&url).await.json()["path"], "/openapi/v3/apis/fruit.example.com/v1");
    assert_ne!(index["paths"]["apis/apps/v1"], json!({}), "others have no say in the own documents");
    let joined = world.get("/openapi/v2").await.json();
    let path = &joined["paths"]["/apis/fruit.example.com/v1/pears"];
    assert_eq!(path["get"]["responses"]["200"]["schema"]["$ref"], "#/definitions/com.example.Pear");
    const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let meta = &joined["definitions"]["com.example.Pear"]["properties"]["metadata"]["$ref"];
    assert_eq!(meta, &json!(format!("#/definitions/{META}_v2")), "another description is another definition");
    assert_ne!(joined["definitions"][META]["description"], "of fruit");
    assert!(joined["definitions"]["Version"].is_null() && joined["paths"]["/api/v1/pods"].is_object());
    let protobuf = [("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")];
    let message = world.send("admin", request("GET", "/openapi/v2", &protobuf, "")).await;
    assert!(message.text.contains("/apis/fruit.example.com/v1/pears"));
    // A server that knows only the old form.
    orchard.server.grow_old();
    let path = format!("{SLICES}/fruit-1");
    world.write("PATCH", &path, json!({"metadata": {"annotations": {"changed": "1"}}})).await;
    let version = orchard.until_shown(|version| version["resources"][0]["resource"] == "apples").await;
    assert_eq!(version["resources"][0]["responseKind"], json!({"group": "", "version": "", "kind": "Apple"}));
    assert!(world.get("/openapi/v3").await.json()["paths"]["apis/fruit.example.com/v1"].is_null());
    orchard.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_server_from_being_reached_is_told_and_noticed() {
    let orchard = Orchard::start().await;
    let world = &orchard.world;
    assert_eq!(world.get(PEARS).await.status, 404);
    orchard.register().await;
    assert_eq!(orchard.until(("False", "ServiceNotFound")).await, "service/fruit in \"d\" is not present");
    assert_eq!(line(&world.get(PEARS).await), (503, "service unavailable\n"));
    let version = orchard.until_shown(|version| !version.is_null()).await;
    assert_eq!(version, json!({"version": "v1", "freshness": "Stale"}));
    orchard.serve().await;
    orchard.until(("False", "EndpointsNotFound")).await;
    orchard.endpoints(json!(false), 1).await;
    orchard.until(("False", "MissingEndpoints")).await;
    orchard.endpoints(json!(true), 1).await;
    let why = orchard.until(("False", "FailedDiscoveryCheck")).await;
    assert!(why.contains("/apis/fruit.example.com/v1: Get "), "{why}");
    assert!(why.ends_with("dial tcp 127.0.0.1:1: connect: connection refused"), "{why}");
    orchard.endpoints(json!(true), orchard.server.address.port()).await;
    assert_eq!(orchard.until(("True", "Passed")).await, "all checks passed");
    assert_eq!(world.get(PEARS).await.json()["path"], PEARS);
    // Somebody else's authority.
    let other = BASE64_STANDARD.encode(crate::authority::Authority::new().pem());
    world.write("PATCH", OWN, json!({"spec": {"caBundle": other}})).await;
    let why = orchard.until(("False", "FailedDiscoveryCheck")).await;
    assert!(why.contains("x509: certificate signed by unknown authority"), "{why}");
    world.write("PATCH", OWN, json!({"spec": {"caBundle": null, "insecureSkipTLSVerify": true}})).await;
    orchard.until(("True", "Passed")).await;
    // Without its Service it is not available any more; without an APIService it is nobody's.
    let deleted =
        world.send("admin", request("DELETE", "/api/v1/namespaces/d/services/fruit", &[], "")).await;
    assert_eq!(deleted.status, 200);
    orchard.until(("False", "ServiceNotFound")).await;
    assert_eq!(world.send("admin", request("DELETE", OWN, &[], "")).await.status, 200);
    world.until_gone(PEARS).await;
    orchard.until_shown(Value::is_null).await;
    orchard.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_own_groups_are_registered_and_definitions_are_followed() {
    let world = World::start().await;
    let apps = world.get(&format!("{SERVICES}/v1.apps")).await.json();
    assert_eq!(apps["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "onstart"}));
    assert_eq!(apps["spec"]["groupPriorityMinimum"], 17_800);
    assert_eq!(apps["status"]["conditions"][0]["reason"], "Local");
    let list = world.get(SERVICES).await.json();
    let names: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert!(names.contains(&&json!("v1.")) && names.contains(&&json!("v2.autoscaling")), "{names:?}");
    assert!(!names.contains(&&json!("v1.apiregistration.k8s.io")));
    let names = json!({"plural": "plums", "singular": "plum", "kind": "Plum", "listKind": "PlumList"});
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema});
    let spec =
        json!({"group": "stone.example.com", "scope": "Cluster", "names": names, "versions": [version]});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    world
        .write("POST", definitions, json!({"metadata": {"name": "plums.stone.example.com"}, "spec": spec}))
        .await;
    let own = format!("{SERVICES}/v1.stone.example.com");
    world.until_served(&own).await;
    let object = world.get(&own).await.json();
    assert_eq!(object["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "true"}));
    assert_eq!(
        (&object["spec"]["groupPriorityMinimum"], &object["spec"]["versionPriority"]),
        (&json!(1000), &json!(100))
    );
    // Whoever removes it while there is the definition gets it back.
    assert_eq!(world.send("admin", request("DELETE", &own, &[], "")).await.status, 200);
    world.until_served(&own).await;
    let path = format!("{definitions}/plums.stone.example.com");
    assert_eq!(world.send("admin", request("DELETE", &path, &[], "")).await.status, 200);
    world.until_gone(&own).await;
    world.stop().await;
}
