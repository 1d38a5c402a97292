//! Small servers on ephemeral ports of this machine; they end with the test's runtime.

use super::super::grpc::{HealthRequest, HealthResponse, HealthStatus};
use futures::future::{BoxFuture, Ready, ready};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tonic::{
    Request, Response, Status,
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port that nobody listens on.
pub(super) async fn closed_port() -> u16 {
    listen().await.1
}

type Answer = fn(&str) -> String;

/// Reads one request, answers what `answer` says behind `HTTP/1.1 `, or nothing at all, and closes.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // The beginning of TLS, to a server that does not speak it.
            Ok(0x16) if head.is_empty() => {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                return;
            }
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = answer(&String::from_utf8_lossy(&head).to_lowercase());
    if !text.is_empty() {
        let _ = stream.write_all(format!("HTTP/1.1 {text}").as_bytes()).await;
    }
    let _ = stream.shutdown().await;
}

/// An HTTP server; its port.
pub(crate) async fn http_server(answer: Answer) -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer));
        }
    });
    port
}

/// An HTTPS server with a certificate that nobody knows; its port.
pub(crate) async fn https_server(answer: Answer) -> u16 {
    let signed = rcgen::generate_simple_self_signed(vec!["elsewhere.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, answer).await;
                }
            });
        }
    });
    port
}

/// A gRPC server with the health service: `good`, `bad`, and nothing else.
pub(super) async fn grpc_server() -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(Server::builder().add_service(Health).serve_with_incoming(TcpIncoming::from(listener)));
    port
}

#[derive(Clone)]
struct Health;

impl NamedService for Health {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl UnaryService<HealthRequest> for Health {
    type Response = HealthResponse;
    type Future = Ready<Result<Response<HealthResponse>, Status>>;

    fn call(&mut self, request: Request<HealthRequest>) -> Self::Future {
        let status = match request.into_inner().service.as_str() {
            "good" => HealthStatus::Serving,
            "bad" => HealthStatus::NotServing,
            _ => return ready(Err(Status::not_found("unknown service"))),
        };
        ready(Ok(Response::new(HealthResponse { status: status.into() })))
    }
}

impl tower::Service<http::Request<tonic::body::Body>> for Health {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<HealthResponse, HealthRequest>::default();
            Ok(Grpc::new(codec).unary(service, request).await)
        })
    }
}
