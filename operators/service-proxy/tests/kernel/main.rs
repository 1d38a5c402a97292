//! The proxy against a real kernel: what clients in pods, on the node and outside get from whom.
#![expect(clippy::needless_pass_by_value, reason = "literals of objects read better than references to them")]

mod net;

use net::{IMPATIENCE, Network, Space};
use proa_kit::{
    Change, Key, View,
    project::{Dirty, Projection, Sink},
    views::{EndpointSliceView, PodView, ServiceView},
};
use proa_operator_service_proxy::{
    Proxy, ProxyConfig,
    index::{Index, Subject},
    sink::Kernel,
    status::{Health, HealthChecks},
    sweep,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io::{self, ErrorKind},
    process::Command,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn config() -> ProxyConfig {
    ProxyConfig {
        cluster: "test".into(),
        node: "one".into(),
        pod_cidr: "10.244.0.0/16".parse().expect("a network"),
        node_pod_cidr: "10.244.0.0/24".parse().expect("a network"),
        service_cidr: "10.96.0.0/16".parse().expect("a network"),
        bridge: "br0".into(),
    }
}

/// The proxy of a node, fed by hand.
struct Running {
    index: Index,
    dirty: Dirty<Subject>,
    kernel: Kernel,
    services: HashMap<String, Arc<ServiceView>>,
    slices: HashMap<String, Arc<EndpointSliceView>>,
    pods: HashMap<String, Arc<PodView>>,
}

/// Runs in the node's namespace.
struct TestProxy<'a> {
    node: &'a Space,
    running: Arc<Mutex<Running>>,
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn change<V: View>(objects: &mut HashMap<String, Arc<V>>, name: &str, object: Option<Value>) -> Change<V> {
    let new =
        object.map(|object| Arc::new(serde_json::from_str::<V>(&object.to_string()).expect("an object")));
    let old = match &new {
        Some(new) => objects.insert(name.into(), new.clone()),
        None => objects.remove(name),
    };
    Change { old, new }
}

impl<'a> TestProxy<'a> {
    fn start(node: &'a Space) -> Self {
        let running = Running {
            index: Index::default(),
            dirty: Dirty::All,
            kernel: Kernel::new(Arc::new(config())),
            services: HashMap::new(),
            slices: HashMap::new(),
            pods: HashMap::new(),
        };
        let proxy = Self { node, running: Arc::new(Mutex::new(running)) };
        proxy.with(|running| block_on(running.kernel.read_back()).expect("the kernel can be prepared"));
        proxy.sync();
        proxy
    }
    /// Another process takes over: it knows the objects, and of the table what it reads.
    fn restart(&self) {
        self.with(|running| {
            running.kernel = Kernel::new(Arc::new(config()));
            running.dirty = Dirty::All;
            block_on(running.kernel.read_back()).expect("the kernel can be prepared");
        });
        self.sync();
    }
    fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut Running) -> T + Send + 'static) -> T {
        let running = self.running.clone();
        self.node.run(move || act(&mut running.lock().expect("no panic before")))
    }
    fn sync(&self) {
        self.with(|running| {
            let dirty = std::mem::replace(&mut running.dirty, Dirty::Keys(HashSet::new()));
            let rules = Proxy::new(&config()).render(&running.index, &dirty);
            block_on(running.kernel.apply(rules)).expect("the kernel takes the rules");
        });
    }
    fn service(&self, name: &'static str, spec: Value) {
        self.service_with(name, spec, Value::Null);
    }
    fn service_with(&self, name: &'static str, spec: Value, status: Value) {
        let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec, "status": status});
        let mut object = object;
        object.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        self.with(move |running| {
            let change = change(&mut running.services, name, Some(object));
            running.index.service(&change, &mut running.dirty);
        });
        self.sync();
    }
    /// The endpoints of a service: last numbers of pods' addresses, each with the node it is on.
    fn endpoints(&self, service: &'static str, ports: Value, on: &[(u8, &str)]) {
        let endpoints: Vec<Value> = on
            .iter()
            .map(|(pod, node)| json!({"addresses": [format!("10.244.0.{pod}")], "nodeName": node}))
            .collect();
        let object = json!({
            "metadata": {"name": service, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
        });
        self.with(move |running| {
            let change = change(&mut running.slices, service, Some(object));
            running.index.slice(&change, &mut running.dirty);
        });
        self.sync();
    }
    fn pod(&self, name: &'static str, number: u8, ports: Value) {
        let object = json!({
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"nodeName": "one", "containers": [{"name": "c", "ports": ports}]},
            "status": {"phase": "Running", "podIP": format!("10.244.0.{number}")},
        });
        self.with(move |running| {
            let change = change(&mut running.pods, name, Some(object));
            running.index.pod(&change, &mut running.dirty);
        });
        self.sync();
    }
    fn no_pod(&self, name: &'static str) {
        self.with(move |running| {
            let change = change(&mut running.pods, name, None);
            running.index.pod(&change, &mut running.dirty);
        });
        self.sync();
    }
}

/// Asks until each of the servers has answered; a random choice that leaves one out forty times does not happen.
fn all_answers(client: &Space, to: &str, servers: usize) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for _ in 0..40 * servers {
        seen.insert(client.ask(to).expect(to));
        if seen.len() == servers {
            break;
        }
    }
    seen
}

fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

fn assert_refused(result: io::Result<String>) {
    assert_eq!(result.expect_err("no one answers").kind(), ErrorKind::ConnectionRefused);
}

const HTTP: fn() -> Value = || json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);

#[test]
fn a_cluster_ip_leads_to_every_endpoint_from_pods_and_from_the_node() {
    let network = Network::new();
    let (one, two, client) = (network.pod(5), network.pod(6), network.pod(7));
    one.serve_tcp(8080, "one");
    two.serve_tcp(8080, "two");
    let proxy = TestProxy::start(&network.node);
    proxy.service("web", json!({"clusterIP": "10.96.0.5", "ports": [{"name": "http", "port": 80}]}));
    proxy.endpoints("web", HTTP(), &[(5, "one"), (6, "one")]);
    assert_eq!(all_answers(&client, "10.96.0.5:80", 2), texts(["one 10.244.0.7", "two 10.244.0.7"]));
    assert_eq!(all_answers(&network.node, "10.96.0.5:80", 2), texts(["one 10.244.0.1", "two 10.244.0.1"]));
    proxy.endpoints("web", HTTP(), &[(6, "one")]);
    assert_eq!(all_answers(&client, "10.96.0.5:80", 1), texts(["two 10.244.0.7"]));
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    let network = Network::new();
    let one = network.pod(5);
    one.serve_tcp(8080, "one");
    let proxy = TestProxy::start(&network.node);
    proxy.pod("one", 5, json!([]));
    proxy.service("web", json!({"clusterIP": "10.96.0.5", "ports": [{"name": "http", "port": 80}]}));
    proxy.endpoints("web", HTTP(), &[(5, "one")]);
    assert_eq!(one.ask("10.96.0.5:80").expect("it hears itself"), "one 10.244.0.1");
}

#[test]
fn a_node_port_is_open_on_every_address_of_the_node() {
    let network = Network::new();
    let (one, client) = (network.pod(5), network.pod(7));
    one.serve_tcp(8080, "one");
    one.serve_udp(8080, "one");
    let proxy = TestProxy::start(&network.node);
    let ports = json!([
        {"name": "http", "port": 80, "nodePort": 30080},
        {"name": "dns", "port": 80, "protocol": "UDP", "nodePort": 30080},
    ]);
    proxy.service("web", json!({"type": "NodePort", "clusterIP": "10.96.0.5", "ports": ports}));
    let ports = json!([{"name": "http", "port": 8080}, {"name": "dns", "port": 8080, "protocol": "UDP"}]);
    proxy.endpoints("web", ports, &[(5, "one")]);
    for to in ["127.0.0.1:30080", "192.0.2.2:30080", "10.244.0.1:30080"] {
        assert!(network.node.ask(to).expect(to).starts_with("one "), "TCP {to}");
        assert!(network.node.client().ask(to).expect(to).starts_with("one "), "UDP {to}");
    }
    assert_eq!(network.outside.ask("192.0.2.2:30080").expect("from outside"), "one 10.244.0.1");
    assert_eq!(network.outside.client().ask("192.0.2.2:30080").expect("from outside"), "one 10.244.0.1");
    assert_eq!(client.ask("192.0.2.2:30080").expect("from a pod"), "one 10.244.0.1");
}

#[test]
fn a_service_without_endpoints_refuses() {
    let network = Network::new();
    let client = network.pod(7);
    // Else the node itself says that it does not know the way to the external address.
    network.node.ip("route add default via 192.0.2.1");
    let proxy = TestProxy::start(&network.node);
    let ports = json!([{"port": 80, "nodePort": 30080}, {"name": "u", "port": 80, "protocol": "UDP"}]);
    let spec =
        json!({"type": "NodePort", "clusterIP": "10.96.0.5", "externalIPs": ["203.0.113.9"], "ports": ports});
    proxy.service("web", spec);
    assert_refused(client.ask("10.96.0.5:80"));
    assert_refused(network.node.ask("10.96.0.5:80"));
    assert_refused(network.node.ask("127.0.0.1:30080"));
    assert_refused(network.outside.ask("192.0.2.2:30080"));
    assert_refused(network.outside.ask("203.0.113.9:80"));
    // Neither is another port of a service, or an address that no service has, left without an answer.
    assert_refused(client.ask("10.96.0.5:81"));
    assert_refused(client.ask("10.96.7.7:80"));
    let datagram = client.run(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("10.96.0.5:80")?;
        socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        socket.send(b"?")?;
        socket.recv(&mut [0; 8])
    });
    assert_eq!(datagram.expect_err("no one answers").kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn clients_keep_their_endpoint_over_restarts_and_until_it_goes() {
    let network = Network::new();
    let (one, two, client) = (network.pod(5), network.pod(6), network.pod(7));
    one.serve_tcp(8080, "one");
    two.serve_tcp(8080, "two");
    let proxy = TestProxy::start(&network.node);
    let spec = json!({
        "clusterIP": "10.96.0.5", "ports": [{"name": "http", "port": 80}], "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
    });
    proxy.service("web", spec);
    proxy.endpoints("web", HTTP(), &[(5, "one"), (6, "one")]);
    let ask = || client.ask("10.96.0.5:80").expect("an answer");
    let first = ask();
    assert!((0..20).all(|_| ask() == first));
    proxy.restart();
    assert!((0..20).all(|_| ask() == first), "sets outlive the proxy");
    let (left, other) = if first.starts_with("one") { (6, "two") } else { (5, "one") };
    proxy.endpoints("web", HTTP(), &[(left, "one")]);
    assert!(ask().starts_with(other));
    proxy.endpoints("web", HTTP(), &[(5, "one"), (6, "one")]);
    assert!((0..20).all(|_| ask().starts_with(other)), "it keeps the new one");
}

#[test]
fn a_udp_client_that_keeps_its_port_is_led_to_the_new_endpoint() {
    let network = Network::new();
    let (one, two, client) = (network.pod(5), network.pod(6), network.pod(7));
    one.serve_udp(53, "one");
    two.serve_udp(53, "two");
    let proxy = TestProxy::start(&network.node);
    // A flow from before the service had endpoints must not stay where it was sent.
    let (inside, outside, early) = (client.client(), network.outside.client(), network.outside.client());
    early.send("192.0.2.2:30053");
    let port = json!([{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}]);
    proxy.service("dns", json!({"type": "NodePort", "clusterIP": "10.96.0.10", "ports": port}));
    let ports = || json!([{"name": "dns", "port": 53, "protocol": "UDP"}]);
    proxy.endpoints("dns", ports(), &[(5, "one")]);
    assert_eq!(inside.ask("10.96.0.10:53").expect("an answer"), "one 10.244.0.7");
    assert_eq!(outside.ask("192.0.2.2:30053").expect("an answer"), "one 10.244.0.1");
    // Its earlier datagram was refused, which the socket may report once.
    let answer = early.ask("192.0.2.2:30053").or_else(|_| early.ask("192.0.2.2:30053"));
    assert_eq!(answer.expect("an answer"), "one 10.244.0.1");
    proxy.endpoints("dns", ports(), &[(6, "one")]);
    assert_eq!(inside.ask("10.96.0.10:53").expect("an answer"), "two 10.244.0.7");
    assert_eq!(outside.ask("192.0.2.2:30053").expect("an answer"), "two 10.244.0.1");
}

#[test]
fn host_ports_lead_to_their_pod() {
    let network = Network::new();
    let (one, two) = (network.pod(5), network.pod(6));
    one.serve_tcp(80, "one");
    one.serve_udp(53, "one");
    two.serve_udp(53, "two");
    let proxy = TestProxy::start(&network.node);
    proxy.pod(
        "one",
        5,
        json!([
            {"containerPort": 80, "hostPort": 8080},
            {"containerPort": 80, "hostPort": 8081, "hostIP": "127.0.0.1"},
            {"containerPort": 53, "hostPort": 5353, "protocol": "UDP"},
        ]),
    );
    assert_eq!(network.outside.ask("192.0.2.2:8080").expect("from outside"), "one 192.0.2.1");
    assert_eq!(network.node.ask("127.0.0.1:8080").expect("by loopback"), "one 10.244.0.1");
    assert_eq!(network.node.ask("127.0.0.1:8081").expect("by loopback"), "one 10.244.0.1");
    assert_eq!(two.ask("10.244.0.1:8080").expect("from a pod"), "one 10.244.0.6");
    assert_eq!(one.ask("192.0.2.2:8080").expect("from itself"), "one 10.244.0.1");
    assert_refused(network.outside.ask("192.0.2.2:8081"));
    let client = network.outside.client();
    assert_eq!(client.ask("192.0.2.2:5353").expect("UDP"), "one 192.0.2.1");
    proxy.no_pod("one");
    proxy.pod("two", 6, json!([{"containerPort": 53, "hostPort": 5353, "protocol": "UDP"}]));
    assert_eq!(client.ask("192.0.2.2:5353").expect("UDP"), "two 192.0.2.1");
    assert_refused(network.outside.ask("192.0.2.2:8080"));
}

#[test]
fn local_traffic_keeps_its_source_and_guards_keep_others_away() {
    let network = Network::new();
    let (one, client) = (network.pod(5), network.pod(7));
    one.serve_tcp(8080, "one");
    let proxy = TestProxy::start(&network.node);
    let spec = |range: &str| {
        json!({
            "type": "LoadBalancer", "clusterIP": "10.96.0.5", "externalTrafficPolicy": "Local",
            "loadBalancerSourceRanges": [range], "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
        })
    };
    let status = || json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.10", "ipMode": "VIP"}]}});
    proxy.service_with("web", spec("192.0.2.0/24"), status());
    proxy.endpoints("web", HTTP(), &[(5, "one"), (99, "two")]);
    // Only the endpoint of this node is used, and it sees the client.
    assert_eq!(all_answers(&network.outside, "203.0.113.10:80", 1), texts(["one 192.0.2.1"]));
    assert_eq!(all_answers(&network.outside, "192.0.2.2:30080", 1), texts(["one 192.0.2.1"]));
    proxy.service_with("web", spec("198.51.100.0/24"), status());
    let kept_away = network.outside.ask_within("203.0.113.10:80", IMPATIENCE).expect_err("it is kept away");
    assert_eq!(kept_away.kind(), ErrorKind::TimedOut);
    assert_eq!(network.outside.ask("192.0.2.2:30080").expect("node ports are not guarded"), "one 192.0.2.1");
    // Pods and the node may go everywhere.
    proxy.endpoints("web", HTTP(), &[(5, "two")]);
    assert_eq!(client.ask("192.0.2.2:30080").expect("from a pod"), "one 10.244.0.7");
    assert_eq!(network.node.ask("127.0.0.1:30080").expect("from the node"), "one 10.244.0.1");
    let dropped = network.outside.ask_within("192.0.2.2:30080", IMPATIENCE).expect_err("none is here");
    assert_eq!(dropped.kind(), ErrorKind::TimedOut);
}

#[test]
fn external_addresses_are_served_and_pods_leave_with_the_address_of_the_node() {
    let network = Network::new();
    let one = network.pod(5);
    one.serve_tcp(8080, "one");
    network.outside.serve_tcp(9999, "outside");
    let proxy = TestProxy::start(&network.node);
    let spec = json!({"clusterIP": "10.96.0.5", "externalIPs": ["203.0.113.9"], "ports": [{"name": "http", "port": 80}]});
    proxy.service("web", spec);
    proxy.endpoints("web", HTTP(), &[(5, "one")]);
    assert_eq!(network.outside.ask("203.0.113.9:80").expect("from outside"), "one 10.244.0.1");
    assert_eq!(one.ask("192.0.2.1:9999").expect("to the outside"), "outside 192.0.2.2");
}

#[test]
fn loopback_services_of_the_node_are_not_open_to_pods() {
    let network = Network::new();
    let pod = network.pod(5);
    network.node.run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:7777").expect("a free port");
        std::thread::spawn(move || listener.incoming().for_each(drop));
    });
    let _proxy = TestProxy::start(&network.node);
    pod.run(|| std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1"))
        .expect("a setting of the pod");
    pod.ip("address del 127.0.0.1/8 dev lo");
    pod.ip("route add 127.0.0.1/32 via 10.244.0.1 dev eth0 src 10.244.0.5");
    let kept_away = pod.ask_within("127.0.0.1:7777", IMPATIENCE).expect_err("it is kept away");
    assert_eq!(kept_away.kind(), ErrorKind::TimedOut);
}

fn tables() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().expect("nft runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_restart_removes_what_is_gone_and_a_sweep_all_of_it_but_nothing_of_others() {
    let network = Network::new();
    let foreign = "add table ip other\nadd chain ip other kept\nadd table ip proa-test-2\n";
    network.node.run(move || {
        let table = foreign.to_owned();
        let add = move |line: &str| {
            let words = line.split_whitespace();
            assert!(Command::new("nft").args(words).status().expect("nft runs").success());
        };
        table.lines().for_each(add);
    });
    {
        let proxy = TestProxy::start(&network.node);
        let ports = json!([{"name": "http", "port": 80}]);
        let spec = |kind: &str| json!({"clusterIP": "10.96.0.5", "sessionAffinity": kind, "ports": ports});
        proxy.service("old", spec("ClientIP"));
        proxy.endpoints("old", HTTP(), &[(5, "one"), (6, "one")]);
    }
    assert!(network.node.run(tables).contains("clients/10800/shop/old"));
    let _proxy = TestProxy::start(&network.node);
    let after = network.node.run(tables);
    assert!(!after.contains("shop/old"), "{after}");
    assert!(after.contains("table ip proa-test {"), "{after}");
    for _ in 0..2 {
        network.node.run(|| block_on(sweep("test"))).expect("it is removed, or gone");
    }
    let after = network.node.run(tables);
    assert!(!after.contains("table ip proa-test {"), "{after}");
    assert!(after.contains("chain kept") && after.contains("table ip proa-test-2"), "{after}");
}

#[test]
fn a_table_that_cannot_be_kept_is_made_anew() {
    let network = Network::new();
    network.node.run(|| {
        for line in
            ["add table ip proa-test", "add map ip proa-test services { type inet_service : verdict ; }"]
        {
            let words = line.split_whitespace();
            assert!(Command::new("nft").args(words).status().expect("nft runs").success());
        }
    });
    let one = network.pod(5);
    one.serve_tcp(8080, "one");
    let proxy = TestProxy::start(&network.node);
    proxy.service("web", json!({"clusterIP": "10.96.0.5", "ports": [{"name": "http", "port": 80}]}));
    proxy.endpoints("web", HTTP(), &[(5, "one")]);
    assert!(network.node.ask("10.96.0.5:80").expect("an answer").starts_with("one"));
}

async fn get_health(of: &mut HealthChecks, endpoints: usize) -> String {
    of.set(&Key::new("shop", "web"), Some(Health { port: 30999, endpoints })).await;
    let mut stream = tokio::net::TcpStream::connect("192.0.2.2:30999").await.expect("it listens");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("it answers");
    assert!(text.contains(&format!("\"localEndpoints\":{endpoints}")), "{text}");
    text
}

#[test]
fn load_balancers_hear_whether_the_node_has_endpoints() {
    let network = Network::new();
    network.node.run(|| {
        block_on(async {
            let mut checks = HealthChecks::default();
            assert!(get_health(&mut checks, 2).await.starts_with("HTTP/1.1 200"));
            assert!(get_health(&mut checks, 0).await.starts_with("HTTP/1.1 503"));
            checks.table_is_current(false);
            assert!(get_health(&mut checks, 2).await.starts_with("HTTP/1.1 503"));
            checks.retain(|_| false);
        });
    });
    let proxy = TestProxy::start(&network.node);
    let ports = json!([{"name": "http", "port": 80}]);
    proxy.service("web", json!({"clusterIP": "10.96.0.5", "healthCheckNodePort": 30999, "ports": ports}));
    proxy.endpoints("web", HTTP(), &[(5, "one"), (6, "one"), (7, "two")]);
    let told =
        proxy.with(|running| Proxy::new(&config()).render(&running.index, &Dirty::All).parts[0].1.health);
    assert_eq!(told, Some(Health { port: 30999, endpoints: 2 }));
}

/// Prints what the module text of the crate states.
#[test]
fn a_thousand_services_are_loaded_and_one_of_them_changed() {
    let network = Network::new();
    let proxy = TestProxy::start(&network.node);
    proxy.with(|running| {
        for number in 0..1000 {
            let name = format!("s{number}");
            let service = json!({
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"clusterIP": format!("10.96.{}.{}", number / 250, number % 250 + 1), "ports": [{"port": 80}]},
            });
            let endpoints: Vec<Value> =
                (2..5).map(|pod| json!({"addresses": [format!("10.244.{}.{pod}", number % 250)]})).collect();
            let slice = json!({
                "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": endpoints,
            });
            let change_of = change(&mut running.services, &name, Some(service));
            running.index.service(&change_of, &mut running.dirty);
            let change_of = change(&mut running.slices, &name, Some(slice));
            running.index.slice(&change_of, &mut running.dirty);
        }
    });
    let started = Instant::now();
    proxy.restart();
    println!("full load: {:?}", started.elapsed());
    let started = Instant::now();
    proxy.restart();
    println!("restart over a full table: {:?}", started.elapsed());
    for endpoints in [&[(5, "one")][..], &[(5, "one"), (6, "one")], &[]] {
        let started = Instant::now();
        proxy.endpoints("s500", json!([{"port": 8080}]), endpoints);
        println!("change to {} endpoints: {:?}", endpoints.len(), started.elapsed());
    }
    assert_refused(network.node.ask("10.96.2.1:80"));
}
