//! Every image is served.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use proa_test_images::{IMAGES, Registry};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

fn get(server: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {server}\r\nAccept: application/vnd.oci.image.manifest.v1+json\r\n\r\n"
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn every_image_is_served_until_the_registry_is_dropped() {
    let registry = Registry::start(Ipv4Addr::LOCALHOST.into()).unwrap();
    let server = registry.address();
    for image in IMAGES {
        let (name, tag) = image.split_once(':').unwrap();
        let reply = get(server, &format!("/v2/{name}/manifests/{tag}"));
        let is_served = reply.starts_with("HTTP/1.0 200") && reply.contains("image.layer.v1.tar+gzip");
        assert!(is_served, "{image}: {reply}");
    }
    let missing = get(server, "/v2/dockercoins/worker/manifests/v0.3");
    assert!(missing.starts_with("HTTP/1.0 404"), "{missing}");
    drop(registry);
    assert!(TcpStream::connect(server).is_err());
}
