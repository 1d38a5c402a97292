//! Requests that a proxy passes on: a node's ingress operator, and nginx.
//!
//! Flow: a backend (nginx, one worker) answers with two bytes; the proxy is a process of its own in front of it; clients
//! send requests to the proxy one after the other. What the proxy used of the processors is counted by process.

mod http1;
mod nginx;
pub(crate) mod proa;

use super::Bench;
use crate::{
    client::{Call, Endpoint},
    load::{Clients, Seen, Until},
    peer::{Kind, Process, free_port},
    results::{Figure, Sink, less, more},
};
use anyhow::{Context, Result};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};

/// The host that clients ask for.
const HOST: &str = "bench.example";
const CLIENTS: usize = 64;
const FIGURES: [Figure; 4] = [more("per s"), less("p50 ms"), less("p99 ms"), less("\u{b5}s of proxy")];
const SOON: Duration = Duration::from_secs(30);
/// Before anything is counted: connections to the backend are there then.
const WARM_UP: Duration = Duration::from_secs(1);

/// Where a proxy takes requests, and what to believe of it.
struct Place {
    http: SocketAddr,
    https: SocketAddr,
    certificate: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Place {
    fn new() -> Result<Self> {
        let port = || Ok::<_, anyhow::Error>(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
        let certificate = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        Ok(Self { http: port()?, https: port()?, certificate })
    }
    /// What clients need for TLS with this protocol.
    fn tls(&self, protocol: &[u8]) -> Result<(ClientConfig, ServerName<'static>)> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.certificate.cert.der().to_vec()))?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![protocol.to_vec()];
        Ok((tls, ServerName::try_from(HOST)?))
    }
}

pub(super) async fn measure(bench: &Bench, kind: Kind, sink: &mut Sink) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("peer-").tempdir_in(&bench.programs.scratch)?;
    let place = Place::new()?;
    let backend = nginx::backend(directory.path())?;
    match kind {
        Kind::Nginx => {
            let proxy = nginx::proxy(directory.path(), &place, backend.address)?;
            rows(bench, &place, &proxy.process, sink).await
        }
        _ => {
            let proxy = proa::start(bench, directory.path(), &place, backend.address).await?;
            rows(bench, &place, &proxy.process, sink).await
        }
    }
}

async fn rows(bench: &Bench, place: &Place, proxy: &Process, sink: &mut Sink) -> Result<()> {
    until_served(place).await?;
    let time = bench.scale.time;
    let mut put = |id, what: &str, seen: Result<(Seen, f64)>| match seen {
        Ok((seen, cpu)) => {
            sink.put(id, what, &FIGURES, &[seen.per_second, seen.p50_ms, seen.p99_ms, cpu]);
            sink.failures.extend(seen.reason.map(|why| format!("{what}: {} failed: {why}", seen.failed)));
        }
        Err(error) => sink.missing(id, what, &FIGURES, &error),
    };
    let plain = || http1::run(place.http, None, CLIENTS, time);
    put("http1", "HTTP/1.1, 64 clients", counted(proxy, plain).await);
    let tls = place.tls(b"http/1.1")?;
    let secure = || http1::run(place.https, Some(tls.clone()), CLIENTS, time);
    put("tls1", "HTTP/1.1 with TLS, 64 clients", counted(proxy, secure).await);
    let (tls, name) = place.tls(b"h2")?;
    let endpoint = &Endpoint::new(place.https, name, tls);
    let streams = || async move {
        let mut clients = Clients::connect(endpoint, CLIENTS).await?;
        clients.run(CLIENTS, Until::Time(time), &Arc::default(), |_| Call::get("/")).await
    };
    put("tls2", "HTTP/2 with TLS, 64 clients", counted(proxy, streams).await);
    Ok(())
}

/// What clients saw, and microseconds of processor time that the proxy used for each request. Once before, uncounted.
async fn counted<F: Future<Output = Result<Seen>>>(
    proxy: &Process,
    run: impl Fn() -> F,
) -> Result<(Seen, f64)> {
    let begun = Instant::now();
    while begun.elapsed() < WARM_UP {
        run().await?;
    }
    let before = proxy.cpu_seconds()?;
    let seen = run().await?;
    let used = proxy.cpu_seconds()? - before;
    let each = used * 1e6 / seen.answers as f64;
    Ok((seen, each))
}

/// Waits until the proxy passes requests on.
async fn until_served(place: &Place) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    let begun = Instant::now();
    loop {
        let http = http1::once(place.http, None).await;
        let outcome = match http {
            Ok(()) => http1::once(place.https, Some(place.tls(b"http/1.1")?)).await,
            failed => failed,
        };
        match outcome {
            Err(_) if begun.elapsed() < SOON => tokio::time::sleep(PAUSE).await,
            outcome => return outcome.context("the proxy does not pass requests on"),
        }
    }
}

/// Writes a certificate and its key: their paths.
fn written(directory: &Path, place: &Place) -> Result<[String; 2]> {
    let pair = [
        ("tls.crt", place.certificate.cert.pem()),
        ("tls.key", place.certificate.signing_key.serialize_pem()),
    ];
    let mut paths = [String::new(), String::new()];
    for (path, (name, text)) in paths.iter_mut().zip(pair) {
        std::fs::write(directory.join(name), text)?;
        *path = directory.join(name).display().to_string();
    }
    Ok(paths)
}
