//! The whole of it against the real server in process: objects in, packets out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use hickory_server::proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::A},
};
use k8s_openapi::api::{
    core::v1::{Namespace, Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
    runtime::wait::await_condition,
};
use proa_kit::RunConfig;
use proa_operator_dns::{Dns, DnsConfig};
use proa_test_cluster::Cluster;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{fmt::Debug, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// A DNS server that listens on loopback and has a name server outside.
struct Fixture {
    cluster: Cluster,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

/// A name server that says of every name that its address is 192.0.2.77.
async fn outside(tasks: &mut JoinSet<()>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tasks.spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let mut message = Message::from_vec(&buffer[..length]).unwrap().into_response();
            let name = message.queries[0].name().clone();
            let data = RData::A(A::new(192, 0, 2, 77));
            message.add_answer(Record::from_rdata(name, 60, data));
            socket.send_to(&message.to_vec().unwrap(), client).await.unwrap();
        }
    });
    address
}

impl Fixture {
    async fn start() -> Self {
        let cluster = Cluster::builder()
            .operator("dns", proa_operator_dns::rules(), |_, _| std::future::ready(()))
            .start()
            .await
            .unwrap();
        let mut tasks = JoinSet::new();
        let folder = tempfile::tempdir().unwrap();
        let resolv_conf = folder.path().join("resolv.conf");
        std::fs::write(&resolv_conf, format!("nameserver {}\n", outside(&mut tasks).await)).unwrap();
        // The first address is not of this machine: the bridge of a node comes later, too.
        let listen = ["192.0.2.53:0", "127.0.0.1:0"].map(|address| address.parse().unwrap());
        let dns = Dns::bind(&DnsConfig { resolv_conf, ..DnsConfig::new("n1", listen.to_vec()) }).unwrap();
        let address = dns.addresses()[1];
        let stop = CancellationToken::new();
        let run = RunConfig { shutdown: stop.clone(), ..RunConfig::default() };
        tasks.spawn(dns.run(cluster.operator("dns"), run));
        Self { cluster, address, stop, tasks, _folder: folder }
    }
    fn client(&self) -> Client {
        self.cluster.admin()
    }
    async fn create<K>(&self, api: &Api<K>, object: Value)
    where
        K: Serialize + DeserializeOwned + Clone + Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    /// Asks until the answers are as wanted.
    async fn await_answers(&self, name: &str, kind: RecordType, wanted: &[&str]) {
        let reached = async {
            loop {
                let reply = by_udp(self.address, &query(name, kind)).await;
                if reply.metadata.response_code != ResponseCode::ServFail && data(&reply) == wanted {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let all = timeout(PATIENCE, reached).await;
        assert!(all.is_ok(), "{name} {kind}: {}", by_udp(self.address, &query(name, kind)).await);
    }
    async fn stop(mut self) {
        self.stop.cancel();
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        self.cluster.stop().await;
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn data(reply: &Message) -> Vec<String> {
    let mut data: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
    data.sort();
    data
}

async fn by_udp(server: SocketAddr, query: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&query.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 4096];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn by_tcp(server: SocketAddr, query: &Message) -> Message {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let packet = query.to_vec().unwrap();
    stream.write_u16(u16::try_from(packet.len()).unwrap()).await.unwrap();
    stream.write_all(&packet).await.unwrap();
    let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut reply).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

#[tokio::test]
async fn names_follow_services_and_their_endpoints() {
    let fixture = Fixture::start().await;
    let services: Api<Service> = Api::default_namespaced(fixture.client());
    let slices: Api<EndpointSlice> = Api::default_namespaced(fixture.client());
    fixture.await_answers("kubernetes.default.svc.cluster.local.", RecordType::A, &["10.96.0.1"]).await;
    let web = json!({"metadata": {"name": "web"}, "spec": {"clusterIP": "10.96.0.99",
        "ports": [{"name": "http", "port": 80}]}});
    fixture.create(&services, web).await;
    fixture.await_answers("WEB.default.svc.cluster.local.", RecordType::A, &["10.96.0.99"]).await;
    fixture
        .await_answers(
            "_http._tcp.web.default.svc.cluster.local.",
            RecordType::SRV,
            &["0 100 80 web.default.svc.cluster.local."],
        )
        .await;
    fixture
        .await_answers("99.0.96.10.in-addr.arpa.", RecordType::PTR, &["web.default.svc.cluster.local."])
        .await;
    let db = json!({"metadata": {"name": "db"}, "spec": {"clusterIP": "None", "ports": [{"port": 5432}]}});
    fixture.create(&services, db).await;
    let slice = json!({"metadata": {"name": "db-1", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 5432}],
        "endpoints": [{"addresses": ["10.244.0.2"], "hostname": "db-0"}, {"addresses": ["10.244.0.3"]}]});
    fixture.create(&slices, slice).await;
    let both = ["10.244.0.2", "10.244.0.3"];
    fixture.await_answers("db.default.svc.cluster.local.", RecordType::A, &both).await;
    fixture.await_answers("db-0.db.default.svc.cluster.local.", RecordType::A, &both[..1]).await;
    slices.delete("db-1", &DeleteParams::default()).await.unwrap();
    fixture.await_answers("db.default.svc.cluster.local.", RecordType::A, &[]).await;
    let reply = by_udp(fixture.address, &query("db.default.svc.cluster.local.", RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert!(reply.metadata.authoritative && reply.metadata.recursion_available);
    assert_eq!(reply.authorities[0].record_type(), RecordType::SOA);
    fixture.stop().await;
}

#[tokio::test]
async fn names_outside_are_forwarded_and_aliases_followed() {
    let fixture = Fixture::start().await;
    fixture.await_answers("www.example.com.", RecordType::A, &["192.0.2.77"]).await;
    let services: Api<Service> = Api::default_namespaced(fixture.client());
    let alias = json!({"metadata": {"name": "out"},
        "spec": {"type": "ExternalName", "externalName": "www.example.com"}});
    fixture.create(&services, alias).await;
    let name = "out.default.svc.cluster.local.";
    fixture.await_answers(name, RecordType::A, &["192.0.2.77", "www.example.com."]).await;
    fixture.await_answers(name, RecordType::CNAME, &["www.example.com."]).await;
    fixture.stop().await;
}

#[tokio::test]
async fn large_replies_are_cut_by_udp_and_whole_by_tcp() {
    let fixture = Fixture::start().await;
    let services: Api<Service> = Api::default_namespaced(fixture.client());
    let slices: Api<EndpointSlice> = Api::default_namespaced(fixture.client());
    let many = json!({"metadata": {"name": "many"}, "spec": {"clusterIP": "None"}});
    fixture.create(&services, many).await;
    let endpoints: Vec<Value> = (0..200).map(|n| json!({"addresses": [format!("10.244.9.{n}")]})).collect();
    let slice = json!({"metadata": {"name": "many-1", "labels": {"kubernetes.io/service-name": "many"}},
        "addressType": "IPv4", "endpoints": endpoints});
    fixture.create(&slices, slice).await;
    let name = "many.default.svc.cluster.local.";
    let whole = async {
        while by_tcp(fixture.address, &query(name, RecordType::A)).await.answers.len() < 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, whole).await.unwrap();
    let small = by_udp(fixture.address, &query(name, RecordType::A)).await;
    assert!(small.metadata.truncation && small.to_vec().unwrap().len() <= 512);
    let mut extended = query(name, RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    extended.set_edns(edns);
    let larger = by_udp(fixture.address, &extended).await;
    assert!(larger.metadata.truncation && larger.answers.len() > small.answers.len());
    assert!(larger.to_vec().unwrap().len() <= 1232);
    let mut little = query("kubernetes.default.svc.cluster.local.", RecordType::A);
    little.set_edns(Edns::new());
    let few = by_udp(fixture.address, &little).await;
    assert!(few.edns.is_some() && !few.metadata.truncation);
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_not_served_is_refused() {
    let fixture = Fixture::start().await;
    let code = |query: Message| async move { by_udp(fixture.address, &query).await.metadata.response_code };
    let name = "cluster.local.";
    assert_eq!(code(query(name, RecordType::AXFR)).await, ResponseCode::Refused);
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(chaos).await, ResponseCode::Refused);
    let mut status = query(name, RecordType::A);
    status.metadata.op_code = OpCode::Status;
    assert_eq!(code(status).await, ResponseCode::NotImp);
    let mut two = query(name, RecordType::A);
    two.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::AAAA));
    assert_eq!(code(two).await, ResponseCode::FormErr);
    let mut future = query(name, RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    future.set_edns(edns);
    // The number is that of BADSIG, too.
    assert_eq!(u16::from(code(future).await), u16::from(ResponseCode::BADVERS));
    fixture.stop().await;
}

#[tokio::test]
async fn the_service_and_the_endpoint_of_the_node_are_kept() {
    let fixture = Fixture::start().await;
    let namespaces: Api<Namespace> = Api::all(fixture.client());
    let is_there = |object: Option<&Namespace>| object.is_some();
    timeout(PATIENCE, await_condition(namespaces, "kube-system", is_there)).await.unwrap().unwrap();
    let services: Api<Service> = Api::namespaced(fixture.client(), "kube-system");
    let slices: Api<EndpointSlice> = Api::namespaced(fixture.client(), "kube-system");
    let has_ip = |service: Option<&Service>| {
        let ip = service.and_then(|service| service.spec.as_ref()?.cluster_ip.as_deref());
        ip == Some("10.96.0.10")
    };
    timeout(PATIENCE, await_condition(services.clone(), "kube-dns", has_ip)).await.unwrap().unwrap();
    let nodes: Api<Node> = Api::all(fixture.client());
    fixture.create(&nodes, json!({"metadata": {"name": "n1"}})).await;
    let is_published = |slice: Option<&EndpointSlice>| {
        let endpoints = slice.and_then(|slice| slice.endpoints.as_ref());
        endpoints.is_some_and(|endpoints| endpoints[0].addresses == ["192.0.2.53"])
    };
    timeout(PATIENCE, await_condition(slices.clone(), "kube-dns-n1", is_published)).await.unwrap().unwrap();
    services.delete("kube-dns", &DeleteParams::default()).await.unwrap();
    timeout(PATIENCE, await_condition(services, "kube-dns", has_ip)).await.unwrap().unwrap();
    fixture.await_answers("kube-dns.kube-system.svc.cluster.local.", RecordType::A, &["10.96.0.10"]).await;
    fixture.stop().await;
}
