//! A node's ingress operator in a process of its own, fed by an API server.

use super::{HOST, Place, SOON, written};
use crate::{
    client::Call,
    measure::{Bench, namespace},
    peer::{Kind, Peer, Process, With},
};
use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::config::{KubeConfigOptions, Kubeconfig};
use proa_kit::RunConfig;
use proa_operator_ingress::{Ingress, IngressConfig};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path};

/// The operator, and the API server that it watches.
pub(super) struct Proxy {
    pub(super) process: Process,
    _api: Peer,
}

/// The argument with which this program is a node's ingress operator; a kubeconfig and two addresses follow.
pub(crate) const SERVE: &str = "serve-ingress";

pub(super) async fn start(
    bench: &Bench,
    directory: &Path,
    place: &Place,
    backend: SocketAddr,
) -> Result<Proxy> {
    let api = Peer::start(&bench.programs, Kind::Proa, With::Nothing).await?;
    let mut connection = api.endpoint().connect().await?;
    namespace(&mut connection, "bench").await?;
    for (path, object) in objects(directory, place, backend)? {
        connection.insist(&Call::post(path, object.to_string()), SOON).await?;
    }
    let kubeconfig = api.kubeconfig().display().to_string();
    let arguments = [SERVE.to_owned(), kubeconfig, place.http.to_string(), place.https.to_string()];
    let process = Process::start("proxy", &std::env::current_exe()?, directory, arguments)?;
    Ok(Proxy { process, _api: api })
}

/// What leads to the backend.
fn objects(directory: &Path, place: &Place, backend: SocketAddr) -> Result<[(&'static str, Value); 5]> {
    let [certificate, key] = written(directory, place)?;
    let data = |path: &str| Ok::<_, anyhow::Error>(STANDARD.encode(fs::read(path)?));
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": ports}});
    let slice = json!({
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": backend.port(), "protocol": "TCP"}],
        "endpoints": [{"addresses": [backend.ip().to_string()], "conditions": {"ready": true}}],
    });
    let secret = json!({"metadata": {"name": "tls"}, "type": "kubernetes.io/tls",
        "data": {"tls.crt": data(&certificate)?, "tls.key": data(&key)?}});
    let class = json!({"metadata": {"name": "proa"}, "spec": {"controller": "proa.dev/ingress"}});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}});
    let ingress = json!({
        "metadata": {"name": "web", "annotations": {"nginx.ingress.kubernetes.io/ssl-redirect": "false"}},
        "spec": {"ingressClassName": "proa", "tls": [{"hosts": [HOST], "secretName": "tls"}],
            "rules": [{"host": HOST, "http": {"paths": [path]}}]},
    });
    Ok([
        ("/apis/networking.k8s.io/v1/ingressclasses", class),
        ("/api/v1/namespaces/bench/services", service),
        ("/apis/discovery.k8s.io/v1/namespaces/bench/endpointslices", slice),
        ("/api/v1/namespaces/bench/secrets", secret),
        ("/apis/networking.k8s.io/v1/namespaces/bench/ingresses", ingress),
    ])
}

/// Is a node's ingress operator until it is ended.
pub(crate) async fn serve(arguments: &[String]) -> Result<()> {
    let [kubeconfig, http, https] = arguments else { anyhow::bail!("a kubeconfig and two addresses") };
    let file = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    let client = kube::Client::try_from(config)?;
    let http: SocketAddr = http.parse().context("an address")?;
    let https = https.parse().context("an address")?;
    let place = IngressConfig { node: "bench".to_owned(), address: http.ip(), http, https };
    let run = RunConfig::default();
    Ingress::new(&place, &run)?.run(client, run).await;
    Ok(())
}
