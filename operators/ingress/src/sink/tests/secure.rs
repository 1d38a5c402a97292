//! TLS: which certificate, redirects, HTTP/2.

use super::world::{Client, PATIENCE, World, all, echo, get, rule};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::json;
use std::{convert::Infallible, net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

async fn connect(address: SocketAddr, name: &str, alpn: &str) -> TlsStream<TcpStream> {
    let mut config = ClientConfig::clone(&super::super::tls::client_for_tests());
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap().unwrap()
}

/// The name in the certificate that a client is shown.
async fn certified_for(address: SocketAddr, name: &str) -> String {
    let stream = connect(address, name, "http/1.1").await;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let (_, certificate) = X509Certificate::from_der(&shown).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    match names.value.general_names[0] {
        GeneralName::DNSName(name) => name.to_owned(),
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_name_has_its_certificate() {
    let mut world = World::start().await;
    let mut spec = all("a.example", "web").unwrap();
    spec["tls"] = json!([{"hosts": ["a.example"], "secretName": "one"}, {"hosts": ["*.wild.example"], "secretName": "wild"},
        {"hosts": ["gone.example"], "secretName": "gone"}]);
    world.ingress("a", &[], Some(spec));
    world.certificate("one", "a.example");
    world.certificate("wild", "*.wild.example");
    world.service("web", &[echo("web").await]);
    world.apply().await;
    let https = world.https().await;
    for (name, shown) in [
        ("a.example", "a.example"),
        ("x.wild.example", "*.wild.example"),
        ("y.x.wild.example", "ingress.local"),
        ("gone.example", "ingress.local"),
        ("other.example", "ingress.local"),
    ] {
        assert_eq!(certified_for(https, name).await, shown, "{name}");
    }
    // A new certificate serves at once, and one that is gone no longer.
    world.certificate("gone", "gone.example");
    world.apply().await;
    assert_eq!(certified_for(https, "gone.example").await, "gone.example");
    let mut client = Client::over(connect(https, "a.example", "http/1.1").await).await;
    let told = client.send(get("a.example", "/")).await.told();
    assert_eq!(told["headers"]["x-forwarded-proto"], "https");
}

#[tokio::test]
async fn http_is_redirected_where_there_is_tls() {
    let mut world = World::start().await;
    let with_tls = |host: &str| {
        let mut spec = all(host, "web").unwrap();
        spec["tls"] = json!([{"hosts": [host]}]);
        Some(spec)
    };
    world.ingress("a", &[], with_tls("a.example"));
    world.ingress("b", &[("ssl-redirect", "false")], with_tls("b.example"));
    world.ingress("c", &[("force-ssl-redirect", "true")], all("c.example", "web"));
    world.ingress("d", &[], all("d.example", "web"));
    world.service("web", &[echo("web").await]);
    world.apply().await;
    for host in ["a.example", "c.example"] {
        let reply = world.get(host, "/x?y=1").await;
        assert_eq!(reply.status, StatusCode::PERMANENT_REDIRECT);
        let location = reply.headers["location"].to_str().unwrap();
        assert!(
            location.starts_with(&format!("https://{host}")) && location.ends_with("/x?y=1"),
            "{location}"
        );
    }
    for host in ["b.example", "d.example"] {
        assert_eq!(world.get(host, "/").await.status, StatusCode::OK);
    }
    // Who issues certificates asks by plain HTTP.
    assert_eq!(world.get("a.example", "/.well-known/acme-challenge/token").await.status, StatusCode::OK);
    assert_eq!(
        world.get("a.example", "/.well-known/acme-challenge/../../x").await.status,
        StatusCode::PERMANENT_REDIRECT
    );
}

/// A backend that speaks HTTP/2 without TLS and ends with trailers, as gRPC does.
async fn grpc(world: &mut World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    world.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| {
                async move {
                    assert_eq!(request.version(), Version::HTTP_2);
                    assert_eq!(request.headers()["te"], "trailers");
                    let authority = request.uri().authority().unwrap().to_string();
                    let said = request.into_body().collect().await.unwrap().to_bytes();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    trailers.insert("said-to", authority.parse().unwrap());
                    let frames = [Ok::<_, Infallible>(Frame::data(said)), Ok(Frame::trailers(trailers))];
                    Ok::<_, Infallible>(Response::new(StreamBody::new(futures::stream::iter(frames))))
                }
                .boxed()
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { drop(builder.serve_connection(TokioIo::new(stream), service).await) });
        }
    });
    address
}

#[tokio::test]
async fn grpc_goes_through_with_its_trailers() {
    let mut world = World::start().await;
    let spec = json!({"rules": [rule("a.example", &[("/pkg.Service/", "Prefix", "web")])]});
    world.ingress("a", &[("backend-protocol", "GRPC")], Some(spec));
    let backend = grpc(&mut world).await;
    world.service("web", &[backend]);
    world.apply().await;
    let stream = connect(world.https().await, "a.example", "h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    world.spawn(async move { drop(connection.await) });
    for _ in 0..3 {
        let body = http_body_util::Full::new(Bytes::from("hello"));
        let request =
            Request::post("https://a.example/pkg.Service/Call").header("te", "trailers").body(body).unwrap();
        let answer = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        let body = answer.into_body().collect().await.unwrap();
        let trailers = body.trailers().unwrap().clone();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["said-to"]),
            (&"0".parse().unwrap(), &"a.example".parse().unwrap())
        );
        assert_eq!(body.to_bytes(), "hello");
    }
}

#[tokio::test]
async fn http2_and_http1_backends_work_together() {
    let mut world = World::start().await;
    world.ingress("a", &[], all("a.example", "web"));
    world.service("web", &[echo("web").await]);
    world.apply().await;
    let stream = connect(world.https().await, "a.example", "h2").await;
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    world.spawn(async move { drop(connection.await) });
    let request = Request::get("https://a.example/x").header("cookie", "a=1").header("cookie", "b=2");
    let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let answer = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    let told: serde_json::Value =
        serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&told["uri"], &told["headers"]["host"]), (&json!("/x"), &json!("a.example")));
    assert_eq!(told["headers"]["cookie"], "a=1; b=2");
}
