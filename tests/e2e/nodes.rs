//! Several nodes on one machine: a network, addresses and containers of each one's own, and one cluster of them all.

use crate::{
    kubectl::Kubectl,
    node::{Node, SHELL, http_get, until, until_empty},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// On each node a pod that says which node it is on and who asks; a Service, a node port and a host port lead to it.
const WEB: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: busybox:1
        command: [sh, -c]
        args:
        - |
          mkdir -p /www/cgi-bin
          cat > /www/cgi-bin/who <<'END'
          #!/bin/sh
          printf 'Content-Type: text/plain\\r\\n\\r\\n'
          echo $NODE $REMOTE_ADDR
          END
          chmod +x /www/cgi-bin/who
          echo serving on $NODE
          exec httpd -f -p 8080 -h /www
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        ports: [{containerPort: 8080, hostPort: HOST_PORT}]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
      - name: client
        image: SHELL
        command: [sleep, '36000']
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: NODE_PORT}]
";

/// Another Service of these pods, at the addresses of the nodes.
const BALANCER: &str = "
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  type: LoadBalancer
  allocateLoadBalancerNodePorts: false
  selector: {app: web}
  ports: [{port: PORT, targetPort: 8080}]
";

/// A pod of the DaemonSet.
struct Web {
    name: String,
    ip: String,
}

/// Two nodes with a pod of the DaemonSet on each.
struct World {
    node: Node,
    kubectl: Kubectl,
    /// Addresses of nodes by name.
    nodes: BTreeMap<String, String>,
    /// Pods by the names of their nodes.
    pods: BTreeMap<String, Web>,
}

impl World {
    fn start() -> Self {
        let node = Node::start_several(2);
        let kubectl = node.kubectl();
        until("two nodes are registered", || {
            (kubectl.run("get nodes -o name").ok().stdout.lines().count() == 2).then_some(())
        });
        kubectl.run("wait --for=condition=Ready node --all --timeout=110s").ok();
        let manifest = WEB.replace("HOST_PORT", &(node.port() + 1).to_string()).replace("SHELL", SHELL);
        kubectl.pipe(&manifest.replace("NODE_PORT", &node.port().to_string()), "apply -f -").ok();
        kubectl.run("rollout status daemonset/web --timeout=110s").ok();
        let nodes = pairs(&kubectl, "nodes", "{.metadata.name} {.status.addresses[0].address}");
        let pods = "{.spec.nodeName} {.metadata.name} {.status.podIP}";
        let pods = pairs(&kubectl, "pods -l app=web", pods).into_iter().map(|(node, rest)| {
            let (name, ip) = rest.split_once(' ').unwrap();
            (node, Web { name: name.to_owned(), ip: ip.to_owned() })
        });
        let world = Self { pods: pods.collect(), node, kubectl, nodes };
        assert!(world.nodes.keys().eq(world.pods.keys()), "a pod on each node: {:?}", world.pods.keys());
        world
    }
    /// Names of the first and the second node.
    fn names(&self) -> (&str, &str) {
        let mut names = self.nodes.keys();
        (names.next().unwrap(), names.next().unwrap())
    }
    /// What a pod is told by this address: the node of who answered, and the address that it saw.
    fn ask(&self, from: &Web, address: &str) -> Option<(String, String)> {
        let curl = format!("exec {} -c client -- curl -s -m 5 http://{address}/cgi-bin/who", from.name);
        let step = self.kubectl.run(&curl);
        answer(&step.stdout)
    }
    /// Container ids and restarts of all pods.
    fn containers(&self) -> String {
        let status = "{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}";
        self.kubectl
            .run(&format!("get pods -l app=web -o jsonpath='{{range .items[*]}}{status};{{end}}'"))
            .ok()
            .stdout
    }
    /// Runs a pod on a node to its end, so that it is known that the node works.
    fn runs_pods(&self, node: &str, name: &str) {
        let overrides = format!("{{\"spec\":{{\"nodeName\":\"{node}\"}}}}");
        self.kubectl
            .run(&format!(
                "run {name} --image={SHELL} --restart=Never --overrides='{overrides}' --command -- true"
            ))
            .ok();
        self.kubectl
            .run(&format!("wait --for=jsonpath='{{.status.phase}}'=Succeeded pod/{name} --timeout=110s"))
            .ok();
    }
}

/// First word and the rest of each line.
fn pairs(kubectl: &Kubectl, what: &str, columns: &str) -> BTreeMap<String, String> {
    let line = format!("get {what} -o jsonpath='{{range .items[*]}}{columns}{{\"\\n\"}}{{end}}'");
    let lines = kubectl.run(&line).ok().stdout;
    lines.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

fn answer(text: &str) -> Option<(String, String)> {
    let (node, address) = text.trim().split_once(' ')?;
    let address = address.trim_matches(['[', ']']).trim_start_matches("::ffff:");
    Some((node.to_owned(), address.to_owned()))
}

#[test]
fn two_nodes_are_one_cluster() {
    let mut world = World::start();
    let cidrs: BTreeSet<String> =
        pairs(&world.kubectl, "nodes", "{.metadata.name} {.spec.podCIDR}").into_values().collect();
    assert_eq!(cidrs.len(), 2, "each node has pod addresses of its own: {cidrs:?}");
    pods_reach_each_other(&world);
    services_lead_to_both_nodes(&world);
    nodes_answer_at_their_addresses(&world);
    load_balancers_have_ports_of_nodes(&world);
    the_api_reaches_pods(&world);
    the_second_node_has_its_own_network(&world);
    world.node.down();
}

fn pods_reach_each_other(world: &World) {
    for from in world.pods.values() {
        for (node, to) in &world.pods {
            let seen = until("a pod answers a pod", || world.ask(from, &format!("{}:8080", to.ip)));
            assert_eq!(seen, (node.clone(), from.ip.clone()), "pods see each other's addresses");
        }
    }
}

fn services_lead_to_both_nodes(world: &World) {
    let cluster_ip = world.kubectl.run("get service web -o jsonpath='{.spec.clusterIP}'").ok().stdout;
    for from in world.pods.values() {
        // The name is resolved by the DNS of the pod's own node.
        for address in [cluster_ip.as_str(), "web", "web.default.svc.cluster.local"] {
            let mut nodes = BTreeSet::new();
            until("both pods of the Service answer", || {
                let (node, seen) = world.ask(from, address)?;
                // A pod that reaches itself by a Service sees its node.
                let own = &world.pods[&node];
                assert!(own.ip == from.ip || seen == from.ip, "a Service keeps the source: {seen}");
                nodes.insert(node);
                (nodes.len() == 2).then_some(())
            });
        }
    }
}

fn nodes_answer_at_their_addresses(world: &World) {
    let (node_port, host_port) = (world.node.port(), world.node.port() + 1);
    for (name, address) in &world.nodes {
        let mut nodes = BTreeSet::new();
        until("a node port leads to both pods", || {
            nodes.insert(answer(&http_get(&format!("{address}:{node_port}"), "/cgi-bin/who")?)?.0);
            (nodes.len() == 2).then_some(())
        });
        let here =
            until("a host port answers", || http_get(&format!("{address}:{host_port}"), "/cgi-bin/who"));
        assert_eq!(answer(&here).unwrap().0, *name, "a host port leads to the node's own pod");
        for from in world.pods.values() {
            until("a pod reaches the node port", || world.ask(from, &format!("{address}:{node_port}")));
        }
    }
}

fn load_balancers_have_ports_of_nodes(world: &World) {
    let World { kubectl, nodes, .. } = world;
    let (port, host_port) = (world.node.port() + 2, world.node.port() + 1);
    let apply = |name: &str, port: u16| {
        let manifest = BALANCER.replace("NAME", name).replace("PORT", &port.to_string());
        kubectl.pipe(&manifest, "apply -f -").ok();
    };
    let shows = |name: &str, wanted: BTreeSet<&str>| {
        until("the Service has its addresses", || {
            let addresses = "jsonpath='{.status.loadBalancer.ingress[*].ip}'";
            let listed = kubectl.run(&format!("get service {name} -o {addresses}")).ok().stdout;
            (listed.split_whitespace().collect::<BTreeSet<_>>() == wanted).then_some(())
        });
    };
    let is_told = |name: &str, why: &str| {
        let about = format!("reason=AllocationFailed,involvedObject.name={name}");
        until("an event says why it waits", || {
            let events = kubectl.run(&format!("get events --field-selector {about}")).ok().stdout;
            events.contains(why).then_some(())
        });
    };
    let all: BTreeSet<&str> = nodes.values().map(String::as_str).collect();
    apply("first", port);
    shows("first", all.clone());
    for address in &all {
        let at = format!("{address}:{port}");
        let mut answered = BTreeSet::new();
        until("an address of a node leads to both pods", || {
            answered.insert(answer(&http_get(&at, "/cgi-bin/who")?)?.0);
            (answered.len() == 2).then_some(())
        });
        for from in world.pods.values() {
            until("a pod reaches the address", || world.ask(from, &at));
        }
    }
    apply("second", port);
    is_told("second", "is in use by service default/first");
    shows("second", BTreeSet::new());
    kubectl.run("delete service first").ok();
    shows("second", all);
    let (first, second) = world.names();
    let excluded = "node.kubernetes.io/exclude-from-external-load-balancers";
    kubectl.run(&format!("label node {first} {excluded}=")).ok();
    shows("second", BTreeSet::from([nodes[second].as_str()]));
    apply("second", host_port);
    is_told("second", "is in use by pod default/web-");
    shows("second", BTreeSet::new());
    kubectl.run("delete service second").ok();
    kubectl.run(&format!("label node {first} {excluded}-")).ok();
}

fn the_api_reaches_pods(world: &World) {
    let World { kubectl, .. } = world;
    for (node, pod) in &world.pods {
        let name = &pod.name;
        kubectl.run(&format!("logs {name} -c web")).ok().prints(&format!("serving on {node}"));
        kubectl.run(&format!("exec {name} -c web -- sh -c 'echo $NODE'")).ok().prints(node);
        kubectl.pipe("some text", &format!("exec -i {name} -c web -- cat")).ok().prints("some text");
        let proxied = format!("get --raw /api/v1/namespaces/default/pods/{name}:8080/proxy/cgi-bin/who");
        kubectl.run(&proxied).ok().shows(&[node]);
        let mut forwarding = kubectl.follow(&format!("port-forward pod/{name} :8080 --address 127.0.0.1"));
        let line = forwarding.until("Forwarding from");
        let address = line.split_whitespace().nth(2).unwrap().to_owned();
        let body = until("the pod answers through the forwarded port", || http_get(&address, "/cgi-bin/who"));
        assert_eq!(answer(&body).unwrap().0, *node);
    }
    let mut nodes = BTreeSet::new();
    until("both pods answer through the proxy of the Service", || {
        let step = kubectl.run("get --raw /api/v1/namespaces/default/services/web:80/proxy/cgi-bin/who");
        nodes.insert(answer(&step.stdout)?.0);
        (nodes.len() == 2).then_some(())
    });
}

/// Pods on the network of a node see the node's address and name, and may use ports that the other node uses.
fn the_second_node_has_its_own_network(world: &World) {
    let (_, second) = world.names();
    let manifest = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: on-node}}
spec:
  nodeName: {second}
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: {SHELL}, command: [sleep, '3600']}}]
"
    );
    let kubectl = &world.kubectl;
    kubectl.pipe(&manifest, "apply -f -").ok();
    kubectl.run("wait --for=condition=Ready pod/on-node --timeout=110s").ok();
    kubectl.run("get pod on-node -o jsonpath='{.status.podIP}'").ok().prints(&world.nodes[second]);
    kubectl.run("exec on-node -- cat /proc/sys/kernel/hostname").ok().prints(second);
    let health = "exec on-node -- curl -sk -o /dev/null -w %{http_code} https://127.0.0.1:10250/healthz";
    kubectl.run(health).ok().prints("401");
    let address: Ipv4Addr = world.nodes[second].parse().unwrap();
    assert!(!address.is_loopback());
}

#[test]
fn containers_of_a_further_node_outlive_its_process_and_the_server() {
    let mut world = World::start();
    let second = world.names().1.to_owned();
    let before = world.containers();
    world.node.kill_node(2);
    world.runs_pods(&second, "probe");
    assert_eq!(world.containers(), before, "the same containers run on after the node's process was killed");
    let name = &world.pods[&second].name;
    let exec = format!("exec {name} -c web -- echo here");
    until("the pod is reached again", || world.kubectl.run(&exec).stdout.contains("here").then_some(()));

    world.node.server().kill();
    world.node.server().start_again();
    world.runs_pods(&second, "second");
    assert_eq!(world.containers(), before, "the same containers run on after the server was killed");

    world.node.server().kill();
    world.node.proa(&["down"], &[]);
    until_empty("left after a kill and `down`", || world.node.leftovers());
}
