//! How many queries a second one node answers: `cargo run --release -p proa-operator-dns --example rate`.
//!
//! Four clients on loopback keep 16 queries each under way for three seconds, beside the server on the same machine. The
//! time of the server's own thread says what a query costs when the machine has other work, too.

#![allow(clippy::unwrap_used, reason = "a measurement that fails says where")]

use hickory_server::proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RecordType},
};
use proa_kit::RunConfig;
use proa_operator_dns::{Dns, DnsConfig};
use proa_test_cluster::Cluster;
use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

const CLIENTS: usize = 4;
const UNDER_WAY: usize = 16;
const TIME: Duration = Duration::from_secs(3);

fn query() -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(
        Name::from_ascii("kubernetes.default.svc.cluster.local.").unwrap(),
        RecordType::A,
    ));
    message.to_vec().unwrap()
}

/// Whether the name is there yet.
fn answers(server: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&query(), server).unwrap();
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).unwrap();
    Message::from_vec(&buffer[..length]).unwrap().metadata.response_code == ResponseCode::NoError
}

/// Seconds that the server's thread has computed.
fn server_seconds() -> f64 {
    const TICKS: f64 = 100.0;
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let mut stats =
        threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap());
    let server = stats.find(|stat| stat.contains("(dns)")).unwrap();
    let fields: Vec<&str> = server.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

/// Answers and the times they took.
fn load(server: SocketAddr) -> (u32, Vec<Duration>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let (query, start, mut buffer) = (query(), Instant::now(), [0; 1500]);
    let mut sent: Vec<Instant> = Vec::new();
    for _ in 0..UNDER_WAY {
        sent.push(Instant::now());
        socket.send(&query).unwrap();
    }
    let (mut count, mut times) = (0, Vec::new());
    while start.elapsed() < TIME {
        socket.recv(&mut buffer).unwrap();
        let slot = usize::try_from(count).unwrap() % UNDER_WAY;
        times.push(sent[slot].elapsed());
        sent[slot] = Instant::now();
        socket.send(&query).unwrap();
        count += 1;
    }
    (count, times)
}

#[tokio::main]
async fn main() {
    let rules = proa_operator_dns::rules();
    let cluster =
        Cluster::builder().operator("dns", rules, |_, _| std::future::ready(())).start().await.unwrap();
    let dns = Dns::bind(&DnsConfig::new("n1", vec!["127.0.0.1:0".parse().unwrap()])).unwrap();
    let server = dns.addresses()[0];
    let running = tokio::spawn(dns.run(cluster.operator("dns"), RunConfig::default()));
    let measured = tokio::task::spawn_blocking(move || {
        while !answers(server) {
            thread::yield_now();
        }
        let one = Instant::now();
        (0..1000).for_each(|_| assert!(answers(server)));
        println!("one after the other: {:?} each", one.elapsed() / 1000);
        let before = server_seconds();
        let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(move || load(server))).collect();
        let clients: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        (server_seconds() - before, clients)
    });
    let (seconds, clients) = measured.await.unwrap();
    let count: u32 = clients.iter().map(|(count, _)| count).sum();
    let mut times: Vec<Duration> = clients.into_iter().flat_map(|(_, times)| times).collect();
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 1000];
    println!("{:.0} queries/s, p50 {:?}, p99 {:?}", f64::from(count) / TIME.as_secs_f64(), at(500), at(990));
    println!("{:.1} µs of the server's thread for each", seconds / f64::from(count) * 1e6);
    running.abort();
    cluster.stop().await;
}
