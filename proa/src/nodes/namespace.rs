//! The network of a further node of this machine: a namespace, and a pair of links that joins it to the machine's.
//!
//! Owns: the namespace (named as `ip netns` wants it), the links, the machine's routes to the node and its pods, and one
//! nftables table per cluster, by which nodes reach what is outside the machine. The node sends everything that is not
//! its own to the machine, which forwards it; so nodes and their pods see each other's true addresses. Invariant: all
//! names follow from the cluster's name and the node's number, and the namespace outlives every process, so that a
//! node that comes back finds its pods.
//! Deliberately absent: a mount namespace. Directories of nodes differ by their settings, and a runtime hides the mounts
//! of its containers by itself.

use crate::settings::{Footprint, Network, instance};
use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    net::Ipv4Addr,
    os::fd::AsFd as _,
    path::Path,
    process::{Command, Stdio},
    thread,
};

/// Where `ip netns` keeps namespaces.
const NAMESPACES: &str = "/run/netns";
/// The node's end of the link.
const INSIDE: &str = "eth0";
/// Longest name of a machine.
const LONGEST_HOST_NAME: usize = 64;

/// What the network of a node is made of.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// The machine's address towards its nodes.
    pub(super) machine: Ipv4Addr,
    /// The node's.
    pub(super) node: Ipv4Addr,
    /// Its pods'.
    pub(super) pods: Network,
}

/// The network namespace of one node.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    name: String,
    link: String,
}

impl Namespace {
    pub(super) fn of(footprint: &Footprint) -> Self {
        Self { name: footprint.instance.clone(), link: footprint.link.clone() }
    }

    fn file(&self) -> std::path::PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }

    /// Whether anything of it is there.
    pub(super) fn exists(&self) -> bool {
        self.file().exists() || has_link(&self.link)
    }

    /// Makes what is missing of it.
    pub(super) fn ensure(&self, addresses: &Addresses) -> Result<()> {
        let Self { name, link } = self;
        // A file without a namespace is left when the machine stopped.
        if !works(&["-n", name, "link", "show", "dev", "lo"])? {
            self.remove()?;
            ip(&["netns", "add", name])?;
        }
        if !has_link(link) || !works(&["-n", name, "link", "show", "dev", INSIDE])? {
            ip(&["link", "add", "name", link, "type", "veth", "peer", "name", INSIDE, "netns", name])?;
        }
        let Addresses { machine, node, pods } = addresses;
        let (machine, node, pods) = (machine.to_string(), node.to_string(), pods.to_string());
        let host = |address: &str| format!("{address}/32");
        ip(&["address", "replace", &host(&machine), "dev", link])?;
        ip(&["link", "set", "dev", link, "up"])?;
        ip(&["route", "replace", &host(&node), "dev", link, "scope", "link", "src", &machine])?;
        ip(&["route", "replace", &pods, "via", &node, "dev", link, "src", &machine])?;
        ip(&["-n", name, "link", "set", "dev", "lo", "up"])?;
        ip(&["-n", name, "address", "replace", &host(&node), "dev", INSIDE])?;
        ip(&["-n", name, "link", "set", "dev", INSIDE, "up"])?;
        ip(&["-n", name, "route", "replace", &host(&machine), "dev", INSIDE, "scope", "link", "src", &node])?;
        ip(&["-n", name, "route", "replace", "default", "via", &machine, "dev", INSIDE, "src", &node])
    }

    /// Does something, such as starting a process, in the namespace, on a machine that seems to have another name. What
    /// is started inherits both.
    pub(super) fn enter<T: Send>(
        &self,
        host_name: &str,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> Result<T> {
        let name: String = host_name.chars().take(LONGEST_HOST_NAME).collect();
        let enter = || -> io::Result<()> {
            let network = File::open(self.file())?;
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            #[expect(unsafe_code, reason = "unsafe only for file descriptor tables, which stay shared")]
            // SAFETY: the flags do not contain FILES.
            unsafe {
                unshare_unsafe(UnshareFlags::NEWUTS)?;
            }
            fs::write("/proc/sys/kernel/hostname", name)
        };
        // The namespaces of a thread are its own, and those of what it starts.
        let done = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter()?;
                work()
            });
            inside.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside ended")))
        });
        done.with_context(|| format!("enter the network namespace {}", self.name))
    }

    /// Removes it with its links and routes; nothing may run in it any more.
    pub(super) fn remove(&self) -> Result<()> {
        // The kernel takes the links of a namespace away some time after the namespace.
        if has_link(&self.link) {
            ip(&["link", "delete", "dev", &self.link])?;
        }
        if self.file().exists() {
            ip(&["netns", "delete", &self.name])?;
        }
        Ok(())
    }
}

/// Name of the table of a cluster.
fn table(cluster: &str) -> String {
    format!("{}.nodes", instance(cluster))
}

/// Lets nodes reach what is outside the machine: their addresses are known on it only.
pub(super) fn open_to_outside(cluster: &str, links: Network, pods: Network) -> Result<()> {
    let table = table(cluster);
    nft(&format!(
        "add table ip {table}\n\
         delete table ip {table}\n\
         add table ip {table}\n\
         add chain ip {table} sources {{ type nat hook postrouting priority 100 ; policy accept ; }}\n\
         add rule ip {table} sources ip saddr {links} ip daddr != {{ {links}, {pods} }} masquerade\n"
    ))
}

/// Takes the table of a cluster away; one that is not there is no error.
pub(super) fn close_to_outside(cluster: &str) -> Result<()> {
    let table = table(cluster);
    nft(&format!("add table ip {table}\ndelete table ip {table}\n"))
}

fn has_link(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

fn works(args: &[&str]) -> Result<bool> {
    let output = Command::new("ip").args(args).output();
    Ok(output.context("run ip; is the package iproute2 installed?")?.status.success())
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output();
    let output = output.context("run ip; is the package iproute2 installed?")?;
    if !output.status.success() {
        bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn nft(script: &str) -> Result<()> {
    let missing = "run nft; is the package nftables installed?";
    let mut nft = Command::new("nft");
    nft.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut nft = nft.spawn().context(missing)?;
    // It reads all before it writes.
    nft.stdin.take().context(missing)?.write_all(script.as_bytes()).context(missing)?;
    let output = nft.wait_with_output().context(missing)?;
    if !output.status.success() {
        bail!("nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostname() -> io::Result<String> {
        fs::read_to_string("/proc/sys/kernel/hostname")
    }

    #[test]
    fn a_network_is_made_entered_and_removed() {
        let name = format!("nettest-{}", std::process::id());
        let namespace = Namespace::of(&Footprint::of(&name, 2));
        let addresses = Addresses {
            machine: Ipv4Addr::new(10, 254, 7, 1),
            node: Ipv4Addr::new(10, 254, 7, 2),
            pods: Network { address: Ipv4Addr::new(10, 254, 8, 0), bits: 24 },
        };
        namespace.ensure(&addresses).expect("it is made");
        namespace.ensure(&addresses).expect("it is there");
        let listener = std::net::TcpListener::bind((addresses.machine, 0)).expect("the machine's address");
        let to = listener.local_addr().expect("an address");
        let before = hostname().expect("a name");
        let (from, inside) = namespace
            .enter("elsewhere", || Ok((std::net::TcpStream::connect(to)?.local_addr()?, hostname()?)))
            .expect("the machine is reached");
        assert_eq!((from.ip().to_string().as_str(), inside.trim()), ("10.254.7.2", "elsewhere"));
        assert_eq!(hostname().expect("a name"), before);
        namespace.remove().expect("it is removed");
        namespace.remove().expect("it is gone");
        assert!(!namespace.exists());
    }

    #[test]
    fn a_table_can_be_made_and_removed_again_and_again() {
        let name = format!("nettest-table-{}", std::process::id());
        let network = |third| Network { address: Ipv4Addr::new(10, 254, third, 0), bits: 24 };
        for _ in 0..2 {
            open_to_outside(&name, network(9), network(10)).expect("it is made");
        }
        for _ in 0..2 {
            close_to_outside(&name).expect("it is removed");
        }
    }
}
