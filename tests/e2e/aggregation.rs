//! Another API server behind an APIService, as people who run kubectl meet it.

use crate::{kubectl::Kubectl, server::Server};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

/// An API server of the group `fruit.example.com` on a port of this host. It answers only those who have the front
/// proxy's certificate, and ends with the test.
struct Orchard {
    port: u16,
    /// Who signed its certificate, PEM.
    authority: String,
}

impl Orchard {
    fn start(front_proxy_authority: &str) -> Self {
        let mut certified = rcgen::CertificateParams::new(vec!["fruit.default.svc".to_owned()]).unwrap();
        certified.is_ca = rcgen::IsCa::ExplicitNoCa;
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = certified.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(front_proxy_authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = config
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (socket, config) = (socket.unwrap(), config.clone());
                std::thread::spawn(move || serve(socket, config));
            }
        });
        Self { port, authority: certificate.pem() }
    }
}

/// One request and its answer. Clients that go away are no failure.
fn serve(socket: TcpStream, config: Arc<ServerConfig>) -> Option<()> {
    let connection = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, socket));
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let path = head.first()?.split(' ').nth(1)?.to_owned();
    let header = |name: &str| {
        let named = |line: &&String| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
        head.iter().find(named).map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
    };
    let (status, body) = answer(&path, &header("x-remote-user"));
    let stream = stream.get_mut();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

fn answer(path: &str, user: &str) -> (&'static str, String) {
    let resources = r#"[{"name": "pears", "singularName": "pear", "namespaced": true, "kind": "Pear",
        "shortNames": ["pr"], "verbs": ["get", "list"]}]"#;
    let pear = |name: &str| {
        format!(
            r#"{{"kind": "Pear", "apiVersion": "fruit.example.com/v1", "asked": "{user}",
                "metadata": {{"name": "{name}", "namespace": "default"}}}}"#
        )
    };
    match path.split('?').next().unwrap_or_default() {
        "/apis" => ("200 OK", r#"{"kind": "APIGroupList", "apiVersion": "v1", "groups": []}"#.to_owned()),
        "/apis/fruit.example.com/v1" => (
            "200 OK",
            format!(
                r#"{{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "fruit.example.com/v1",
                    "resources": {resources}}}"#
            ),
        ),
        "/apis/fruit.example.com/v1/namespaces/default/pears" => (
            "200 OK",
            format!(
                r#"{{"kind": "PearList", "apiVersion": "fruit.example.com/v1", "metadata": {{}},
                    "items": [{}, {}]}}"#,
                pear("conference"),
                pear("williams")
            ),
        ),
        "/apis/fruit.example.com/v1/namespaces/default/pears/williams" => ("200 OK", pear("williams")),
        _ => (
            "404 Not Found",
            r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                "message": "no such pear"}"#
                .to_owned(),
        ),
    }
}

/// Registers it behind a Service.
fn register(kubectl: &Kubectl, orchard: &Orchard) {
    let manifest = format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: fruit, namespace: default}}
spec: {{type: ExternalName, externalName: localhost}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1.fruit.example.com}}
spec:
  group: fruit.example.com
  version: v1
  service: {{namespace: default, name: fruit, port: {}}}
  caBundle: {}
  groupPriorityMinimum: 2000
  versionPriority: 10
",
        orchard.port,
        BASE64_STANDARD.encode(&orchard.authority)
    );
    let created = "service/fruit created\napiservice.apiregistration.k8s.io/v1.fruit.example.com created";
    kubectl.pipe(&manifest, "apply -f -").ok().prints(created);
}

#[test]
fn kinds_of_another_api_server_are_used_like_the_own() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    let local = kubectl.run("get apiservices").ok();
    local.matches("^NAME +SERVICE +AVAILABLE +AGE$").matches(r"^v1\.apps +Local +True +\d+s$");
    let authority = fs::read_to_string(server.data().join("pki/front-proxy-ca.crt")).unwrap();
    let orchard = Orchard::start(&authority);
    register(&kubectl, &orchard);
    kubectl.run("wait --for=condition=Available apiservice/v1.fruit.example.com --timeout=60s").ok();
    let own = kubectl.run("get apiservices v1.fruit.example.com").ok();
    own.matches(r"^v1\.fruit\.example\.com +default/fruit +True +\d+s$");
    let listed = kubectl.run("api-resources --api-group=fruit.example.com").ok();
    listed.matches(r"^pears +pr +fruit\.example\.com/v1 +true +Pear$");
    let pears = kubectl.run("get pr").ok();
    pears.matches("^conference ").matches("^williams ");
    let asked = kubectl.run("get pears williams -o jsonpath={.asked}").ok();
    asked.prints("kubernetes-admin");
    kubectl.run("get pears comice").fails(&["(NotFound)", "no such pear"]);
    kubectl.run("get pears --as=nobody").fails(&[
        "User \"nobody\" cannot list resource \"pears\" in API group \"fruit.example.com\" in the namespace \"default\"",
    ]);
    kubectl.run("delete service fruit").ok();
    kubectl.run("wait --for=condition=Available=False apiservice/v1.fruit.example.com --timeout=60s").ok();
    let gone = kubectl.run("get apiservices v1.fruit.example.com").ok();
    gone.matches(r"default/fruit +False \(ServiceNotFound\)");
    let path = "/apis/fruit.example.com/v1/namespaces/default/pears";
    kubectl
        .run(&format!("get --raw {path}"))
        .fails(&["the server is currently unable to handle the request"]);
    kubectl.run("delete apiservice v1.fruit.example.com").ok();
    kubectl.run(&format!("get --raw {path}")).fails(&["the server could not find the requested resource"]);
}
