//! A server with one node, whose agent is played, and the clients that talk to it.

use crate::{
    agent::{Agent, BYE},
    authority::Authority,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use proa_assembly::{Core, Serving, Settings};
use proa_edge::{EdgeConfig, Identity, Running};
use proa_policy::{bootstrap, tokens::SigningKey};
use proa_relay::{ClientIdentity, RelayConfig};
use proa_store::Memory;
use serde_json::{Value, json};
use std::{net::Ipv4Addr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Node `n` with the played agent; in namespace `d` pod `p` with containers `a` and `b` on it, and pod `nowhere`.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) agent: Agent,
    authority: Authority,
    edge: Running,
}

/// An answer that has been read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
    /// Code and message of a `Status`.
    pub(crate) fn failure(&self) -> (u16, String) {
        let status = self.json();
        assert_eq!(status["kind"], "Status", "{status}");
        (self.status.as_u16(), status["message"].as_str().unwrap_or_default().to_owned())
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(Authority::new(), Serving::default()).await
    }
    /// With what only some servers have.
    pub(crate) async fn start_with(authority: Authority, serving: Serving) -> Self {
        let agent = Agent::start(Some(authority.server("127.0.0.1"))).await;
        let core = Core::start_serving(Memory::new(), settings(&authority), serving).await.unwrap();
        let (certificate, key) = authority.issue("server", &[], &["127.0.0.1"]);
        let edge = proa_edge::serve(EdgeConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            tls: Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap(),
            front_proxy_ca: Vec::new(),
            client_ca: vec![authority.der()],
            api: core.api.clone(),
            workers: 2,
        })
        .unwrap();
        let world = Self { core, agent, authority, edge };
        world.fill().await;
        world
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }
    /// The TLS of a server whose certificate is for `host`.
    pub(crate) fn serving(&self, host: &str) -> rustls::ServerConfig {
        self.authority.serving(host)
    }

    async fn fill(&self) {
        self.create("namespaces", json!({"metadata": {"name": "d"}})).await;
        self.create("namespaces/d/serviceaccounts", json!({"metadata": {"name": "default"}})).await;
        self.node("n", self.agent.address.port()).await;
        self.pod("p", "n", &["a", "b"]).await;
        self.pod("single", "n", &["a"]).await;
        self.pod("refused", "n", &["a"]).await;
        self.pod("sink", "n", &["a"]).await;
        self.pod("nowhere", "", &["a"]).await;
    }

    /// Creates an object of the core group.
    pub(crate) async fn create(&self, collection: &str, object: Value) -> Value {
        self.write("POST", &format!("/api/v1/{collection}"), object).await
    }
    pub(crate) async fn write(&self, method: &str, path: &str, object: Value) -> Value {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", content_type(method));
        let request = request.body(object.to_string().into_bytes()).unwrap();
        self.core.admin().request::<Value>(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
    /// A node whose agent listens on a port of this host.
    pub(crate) async fn node(&self, name: &str, port: u16) {
        let status = json!({
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        });
        self.create("nodes", json!({"metadata": {"name": name}, "status": status})).await;
    }
    pub(crate) async fn pod(&self, name: &str, node: &str, containers: &[&str]) {
        let containers: Vec<_> = containers.iter().map(|name| json!({"name": name, "image": "i"})).collect();
        let mut spec = json!({"containers": containers});
        if !node.is_empty() {
            spec["nodeName"] = json!(node);
        }
        self.create("namespaces/d/pods", json!({"metadata": {"name": name}, "spec": spec})).await;
    }
    /// A pod with an address, and a first port.
    pub(crate) async fn reachable(&self, name: &str, port: u16) {
        let container = json!({"name": "a", "image": "i", "ports": [{"containerPort": port}]});
        let spec = json!({"containers": [container], "nodeName": "n"});
        self.create("namespaces/d/pods", json!({"metadata": {"name": name}, "spec": spec})).await;
        let status = json!({"status": {"podIP": POD_IP, "podIPs": [{"ip": POD_IP}]}});
        self.write("PATCH", &format!("/api/v1/namespaces/d/pods/{name}/status"), status).await;
    }
    /// Lets a user do something with a resource of the core group in `d`.
    pub(crate) async fn allow(&self, user: &str, resource: &str, verbs: &[&str]) {
        const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/d";
        let rule = json!({"apiGroups": [""], "resources": [resource], "verbs": verbs});
        let role = json!({"metadata": {"name": user}, "rules": [rule]});
        self.write("POST", &format!("{RBAC}/roles"), role).await;
        let binding = json!({
            "metadata": {"name": user},
            "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
            "roleRef": {"kind": "Role", "name": user, "apiGroup": "rbac.authorization.k8s.io"},
        });
        self.write("POST", &format!("{RBAC}/rolebindings"), binding).await;
    }

    /// A connection of a user; `admin` may do everything.
    pub(crate) async fn connection(&self, user: &str, protocol: &[u8]) -> TlsStream<TcpStream> {
        let groups: &[&str] = if user == "admin" { &["system:masters"] } else { &[] };
        let config = self.authority.client(user, groups, protocol);
        let socket = TcpStream::connect(self.edge.addr()).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect("127.0.0.1".try_into().unwrap(), socket).await.unwrap()
    }
    /// Sends a request on a connection of its own.
    pub(crate) async fn open(&self, user: &str, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = self.connection(user, b"http/1.1").await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.unwrap()
    }
    pub(crate) async fn send(&self, user: &str, request: Request<Full<Bytes>>) -> Answer {
        let (parts, body) = self.open(user, request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, text }
    }
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("admin", request("GET", path, &[], "")).await
    }
    /// Waits until a path is served, which the server's definitions decide.
    pub(crate) async fn until_served(&self, path: &str) {
        self.until(path, |status| status == StatusCode::OK).await;
    }
    /// Waits until an object does not exist.
    pub(crate) async fn until_gone(&self, path: &str) {
        self.until(path, |status| status == StatusCode::NOT_FOUND).await;
    }
    async fn until(&self, path: &str, holds: fn(StatusCode) -> bool) {
        let mut published = self.core.registry.published();
        let mut catalogue = self.core.registry.catalogue_changed();
        while !holds(self.get(path).await.status) {
            tokio::select! {
                changed = published.changed() => changed.unwrap(),
                changed = catalogue.changed() => changed.unwrap(),
            }
        }
    }
    /// Leaves HTTP as SPDY clients do.
    pub(crate) async fn upgrade(&self, path: &str) -> (HeaderMap, TokioIo<hyper::upgrade::Upgraded>) {
        let mut response = self.open("admin", request("POST", path, SPDY, "")).await;
        assert_eq!(response.status(), 101, "{:?}", response.headers());
        let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
        (response.headers().clone(), TokioIo::new(upgraded))
    }
    pub(crate) async fn stop(self) {
        let Self { core, edge, .. } = self;
        tokio::task::spawn_blocking(move || edge.stop()).await.unwrap();
        core.stop().await;
    }
}

/// The address of pods that have one.
pub(crate) const POD_IP: &str = "10.244.0.7";

/// How SPDY clients ask for an upgrade.
pub(crate) const SPDY: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "SPDY/3.1"),
    ("x-stream-protocol-version", "v4.channel.k8s.io"),
    ("x-stream-protocol-version", "channel.k8s.io"),
    ("authorization", "Bearer secret"),
];

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header("host", "proa.example");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

/// What an echo sends back of a text: the text, then its goodbye.
pub(crate) fn echoed(text: &str) -> String {
    format!("{text}{BYE}")
}

fn content_type(method: &str) -> &'static str {
    if method == "PATCH" { "application/merge-patch+json" } else { "application/json" }
}

fn settings(authority: &Authority) -> Settings {
    let key = SigningKey::generate().and_then(|der| SigningKey::from_pkcs8(&der)).unwrap();
    let (certificate, client_key) =
        authority.issue("kube-apiserver-kubelet-client", &["system:masters"], &[]);
    let mut relay = RelayConfig::new(certificate, client_key, Some(authority.pem()));
    let (certificate, key_of_proxy) = authority.issue("front-proxy-client", &[], &[]);
    relay.front_proxy = Some(ClientIdentity { certificate, key: key_of_proxy });
    // Backends of tests listen on this host.
    relay.reach = |_| Some(Ipv4Addr::LOCALHOST.into());
    Settings {
        services: ([10, 96, 0, 0].into(), 12),
        node_ports: 30_000..=32_767,
        bootstrap: bootstrap::Settings {
            service_ip: [10, 96, 0, 1].into(),
            advertise: [192, 0, 2, 1].into(),
            port: 6443,
            client_ca: String::new(),
            front_proxy_ca: String::new(),
        },
        signing_key: Arc::new(key),
        issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
        operators: Vec::new(),
        event_ttl: None,
        encryption: Default::default(),
        relay: Some(relay),
    }
}
