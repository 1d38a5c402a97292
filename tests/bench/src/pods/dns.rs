//! How many queries a second the node's DNS answers.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, task::JoinSet, time::timeout};

const CLIENTS: usize = 4;
const UNDER_WAY: usize = 16;
const TIME: Duration = Duration::from_secs(3);
/// A query for the address of the API (RFC 1035, section 4.1).
const QUERY: &[u8] =
    b"\x70\x72\x01\0\0\x01\0\0\0\0\0\0\x0akubernetes\x07default\x03svc\x07cluster\x05local\0\0\x01\0\x01";

/// Asks the Service `kube-dns` by several clients, each with several queries under way.
pub(super) async fn rate(client: &Client) -> Result<f64> {
    let services = Api::<Service>::namespaced(client.clone(), "kube-system");
    let address = services.get("kube-dns").await?.spec.and_then(|spec| spec.cluster_ip);
    let server: IpAddr = address.context("kube-dns has no address")?.parse()?;
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask(server));
    }
    let mut answers = 0.0;
    while let Some(count) = clients.join_next().await {
        answers += f64::from(count??);
    }
    Ok(answers / begun.elapsed().as_secs_f64())
}

/// Answers that came in time.
async fn ask(server: IpAddr) -> Result<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((server, 53)).await?;
    for _ in 0..UNDER_WAY {
        socket.send(QUERY).await?;
    }
    let (begun, mut buffer, mut count) = (Instant::now(), [0; 512], 0);
    while begun.elapsed() < TIME {
        let length =
            timeout(Duration::from_secs(1), socket.recv(&mut buffer)).await.context("no answer")??;
        // No error, and at least one record.
        anyhow::ensure!(length > 12 && buffer[3] & 0xf == 0 && buffer[7] > 0, "the API's name is not known");
        count += 1;
        socket.send(QUERY).await?;
    }
    Ok(count)
}
