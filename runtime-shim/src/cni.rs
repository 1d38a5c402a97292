//! The pods' network of a node: a bridge, and the configuration by which the runtime's CNI plugins hang pods on it.
//!
//! Owns: the text of the network's configuration, and the bridge itself, which is made before the first pod so that the
//! node's services (DNS) can listen on its address. Host ports, masquerading and services are the service proxy's, so
//! there is no `portmap` and no `ipMasq`; loopback links are set up by the runtime itself, for every pod.
//! Deliberately absent: IPv6, pods' traffic between nodes (routes, made by whoever makes nodes).
//! Upstream: CNI specification 0.4.0, plugins `bridge` and `host-local`.

use serde_json::json;
use std::{
    net::Ipv4Addr,
    path::Path,
    process::{Command, Output},
};

/// Why the network cannot be had; the text says it all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a subnet of pods.
    #[error("pod subnet {0:?} is not an IPv4 network of 8 to 30 bits")]
    Subnet(String),
    /// Not a link's name.
    #[error("name of bridge {0:?} must have 1 to {LONGEST_NAME} characters")]
    Name(String),
    /// `ip` could not be run.
    #[error("run ip: {0}; is the package iproute2 installed?")]
    Run(#[source] std::io::Error),
    /// `ip` failed.
    #[error("ip {command}: {message}")]
    Failed {
        /// Its arguments.
        command: String,
        /// What it said.
        message: String,
    },
}

/// Result of network calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Longest name of a link.
const LONGEST_NAME: usize = 15;

/// Addresses of a node's pods, such as `10.244.0.0/24`; the first one is the node's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    network: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// From `ADDRESS/LENGTH`; bits behind the length do not matter.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::Subnet(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().ok().filter(|bits| (8..=30).contains(bits)).ok_or_else(wrong)?;
        let mask = u32::MAX << (32 - u32::from(prefix));
        Ok(Self { network: Ipv4Addr::from_bits(address.to_bits() & mask), prefix })
    }
    /// The node's address in it: pods' default route, and where the node's DNS listens.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() + 1)
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// The configuration of a network, for a file `NAME.conflist`. `data` keeps which address is whose; `mtu` 0 leaves the
/// links' own.
pub fn conflist(name: &str, bridge: &str, subnet: Subnet, data: &Path, mtu: u32) -> String {
    let network = json!({
        "cniVersion": "0.4.0",
        "name": name,
        "plugins": [{
            "type": "bridge",
            "bridge": bridge,
            "isGateway": true,
            "hairpinMode": true,
            "ipMasq": false,
            "promiscMode": false,
            "mtu": mtu,
            "ipam": {
                "type": "host-local",
                "dataDir": data,
                "ranges": [[{"subnet": subnet.to_string(), "gateway": subnet.gateway()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    format!("{network:#}\n")
}

/// Makes the bridge with the node's address, unless it is there.
///
/// Its hardware address derives from its IP address: one that was not set would change with the pods on the bridge,
/// and pods would lose their gateway until they ask for it again.
pub fn ensure_bridge(name: &str, subnet: Subnet) -> Result<()> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Error::Name(name.to_owned()));
    }
    if !ip(&["link", "show", "dev", name, "type", "bridge"])?.status.success() {
        let [a, b, c, d] = subnet.gateway().octets();
        let hardware = format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
        done(&["link", "add", "name", name, "address", &hardware, "type", "bridge"])?;
    }
    let address = format!("{}/{}", subnet.gateway(), subnet.prefix);
    done(&["address", "replace", &address, "brd", "+", "dev", name])?;
    done(&["link", "set", "dev", name, "up"])
}

/// Removes the bridge; one that is gone is no error.
pub fn remove_bridge(name: &str) -> Result<()> {
    if !ip(&["link", "show", "dev", name])?.status.success() {
        return Ok(());
    }
    done(&["link", "delete", "dev", name, "type", "bridge"])
}

fn ip(args: &[&str]) -> Result<Output> {
    Command::new("ip").args(args).output().map_err(Error::Run)
}

fn done(args: &[&str]) -> Result<()> {
    let output = ip(args)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { command: args.join(" "), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_a_subnet_is_the_gateway() {
        let subnet = Subnet::parse("10.244.3.77/24").expect("a subnet");
        assert_eq!(
            (subnet.to_string().as_str(), subnet.gateway().octets()),
            ("10.244.3.0/24", [10, 244, 3, 1])
        );
        for wrong in ["10.244.0.0", "10.244.0.0/31", "fd00::/64", "10.244.0.0/x", ""] {
            assert!(Subnet::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_configuration_names_bridge_subnet_and_data() {
        let subnet = Subnet::parse("10.244.0.0/24").expect("a subnet");
        let text = conflist("proa-x", "proa-x0", subnet, Path::new("/var/lib/x/networks"), 1400);
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let plugin = &read["plugins"][0];
        assert_eq!((&read["name"], &read["cniVersion"]), (&"proa-x".into(), &"0.4.0".into()));
        assert_eq!((&plugin["bridge"], &plugin["mtu"]), (&"proa-x0".into(), &1400.into()));
        assert_eq!(plugin["ipam"]["dataDir"], "/var/lib/x/networks");
        let range = &plugin["ipam"]["ranges"][0][0];
        assert_eq!((&range["subnet"], &range["gateway"]), (&"10.244.0.0/24".into(), &"10.244.0.1".into()));
    }

    /// Runs a closure in a network of its own, which ends with its thread.
    fn alone<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("tests run as root");
            run()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).expect("no panic")
    }

    #[test]
    fn a_bridge_is_made_once_and_removed_once() {
        let subnet = Subnet::parse("10.244.7.0/24").expect("a subnet");
        let shown = |name: &str| {
            let output = ip(&["-4", "address", "show", "dev", name]).expect("ip runs");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        alone(|| {
            ensure_bridge("proa-test", subnet).expect("it is made");
            let first = shown("proa-test");
            assert!(first.contains("inet 10.244.7.1/24 brd 10.244.7.255"), "{first}");
            ensure_bridge("proa-test", subnet).expect("it is there");
            assert_eq!(shown("proa-test").matches("inet ").count(), 1);
            std::net::TcpListener::bind((subnet.gateway(), 0)).expect("its address can be used");
            remove_bridge("proa-test").expect("it is removed");
            remove_bridge("proa-test").expect("it is gone");
            assert_eq!(shown("proa-test"), "");
        });
    }

    #[test]
    fn a_bridge_needs_a_name_that_links_can_have() {
        let subnet = Subnet::parse("10.244.0.0/24").expect("a subnet");
        let refused = ensure_bridge("proa-a-long-name", subnet).expect_err("16 characters");
        assert!(refused.to_string().contains("1 to 15"), "{refused}");
    }
}
