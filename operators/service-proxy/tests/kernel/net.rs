//! Networks for tests: a node with a bridge, pods on it, and someone outside, each a network namespace of one thread.
//!
//! Namespaces have no names: they end with the threads and sockets of the test process, whatever becomes of it, and links
//! end with them. Nothing here touches the namespace that the test runs in.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::mpsc,
    time::Duration,
};

/// How long a client waits for an answer that should come.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client waits for an answer that should not come.
pub(crate) const IMPATIENCE: Duration = Duration::from_millis(300);

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace and its thread.
pub(crate) struct Space {
    jobs: mpsc::Sender<Job>,
    thread: i32,
}

impl Space {
    /// A new namespace with its loopback link up.
    pub(crate) fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("tests run as root");
            ip("link set lo up");
            tell.send(nix::unistd::gettid().as_raw()).expect("the test waits");
            queue.iter().for_each(|job| job());
        });
        Self { jobs, thread: told.recv().expect("the thread starts") }
    }
    /// Runs a closure inside.
    pub(crate) fn run<T: Send + 'static>(&self, inside: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        let job = move || drop(tell.send(inside()));
        self.jobs.send(Box::new(job)).expect("the thread lives");
        told.recv().expect("no panic inside")
    }
    /// Runs `ip` inside.
    pub(crate) fn ip(&self, args: &str) {
        let args = args.to_owned();
        self.run(move || ip(&args));
    }
    /// Serves a TCP port until the test ends: tells each client the name and the client's address.
    pub(crate) fn serve_tcp(&self, port: u16, name: &'static str) {
        self.run(move || {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a free port");
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let peer = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
                    let _ = stream.write_all(format!("{name} {peer}").as_bytes());
                }
            });
        });
    }
    /// Serves a UDP port until the test ends, in the same way.
    pub(crate) fn serve_udp(&self, port: u16, name: &'static str) {
        self.run(move || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a free port");
            std::thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
                }
            });
        });
    }
    /// What a TCP server says.
    pub(crate) fn ask(&self, to: &str) -> io::Result<String> {
        self.ask_within(to, PATIENCE)
    }
    /// What a TCP server says in this time.
    pub(crate) fn ask_within(&self, to: &str, within: Duration) -> io::Result<String> {
        let to: SocketAddr = to.parse().expect("an address");
        self.run(move || {
            let mut stream = TcpStream::connect_timeout(&to, within)?;
            stream.set_read_timeout(Some(within))?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        })
    }
    /// A UDP client that keeps its port.
    pub(crate) fn client(&self) -> UdpClient<'_> {
        let socket = self.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port"));
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        UdpClient { _space: self, socket }
    }
}

/// A UDP client.
pub(crate) struct UdpClient<'a> {
    _space: &'a Space,
    socket: UdpSocket,
}

impl UdpClient<'_> {
    /// What a UDP server says.
    pub(crate) fn ask(&self, to: &str) -> io::Result<String> {
        let to: SocketAddrV4 = to.parse().expect("an address");
        let mut buffer = [0; 64];
        self.socket.send_to(b"?", to)?;
        let length = self.socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
    /// Sends without waiting.
    pub(crate) fn send(&self, to: &str) {
        let to: SocketAddrV4 = to.parse().expect("an address");
        self.socket.send_to(b"?", to).expect("it is sent");
    }
}

fn ip(args: &str) {
    let output = Command::new("ip").args(args.split_whitespace()).output().expect("ip runs");
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A node `192.0.2.2` with a bridge `10.244.0.1`, and a machine `192.0.2.1` outside.
pub(crate) struct Network {
    pub(crate) node: Space,
    pub(crate) outside: Space,
}

impl Network {
    pub(crate) fn new() -> Self {
        let (node, outside) = (Space::new(), Space::new());
        node.ip("link add br0 type bridge");
        node.ip("address add 10.244.0.1/24 dev br0");
        node.ip("link set br0 up");
        node.ip(&format!("link add eth0 type veth peer name eth0 netns {}", outside.thread));
        node.ip("address add 192.0.2.2/24 dev eth0");
        node.ip("link set eth0 up");
        outside.ip("address add 192.0.2.1/24 dev eth0");
        outside.ip("link set eth0 up");
        outside.ip("route add 203.0.113.0/24 via 192.0.2.2");
        Self { node, outside }
    }
    /// A pod `10.244.0.NUMBER`.
    pub(crate) fn pod(&self, number: u8) -> Space {
        let pod = Space::new();
        self.node.ip(&format!("link add v{number} type veth peer name eth0 netns {}", pod.thread));
        self.node.ip(&format!("link set v{number} master br0"));
        self.node.ip(&format!("link set v{number} type bridge_slave hairpin on"));
        self.node.ip(&format!("link set v{number} up"));
        pod.ip(&format!("address add 10.244.0.{number}/24 dev eth0"));
        pod.ip("link set eth0 up");
        pod.ip("route add default via 10.244.0.1");
        pod
    }
}
