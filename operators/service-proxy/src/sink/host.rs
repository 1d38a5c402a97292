//! What the kernel needs around the table: forwarding, loopback addresses on the bridge, a route to the services.

use super::Error;
use crate::ProxyConfig;
use std::{io, path::Path};
use tokio::process::Command;

const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// Sets it all. Tells whether packets inside the bridge pass the table.
pub(super) async fn prepare(config: &ProxyConfig) -> Result<bool, Error> {
    switch_on("/proc/sys/net/ipv4/ip_forward")?;
    switch_on(&format!("/proc/sys/net/ipv4/conf/{}/route_localnet", config.bridge))?;
    route(config).await?;
    filter_bridge().await
}

async fn filter_bridge() -> Result<bool, Error> {
    if !Path::new(BRIDGE_FILTER).exists() {
        // The module may be there and not loaded. A failure shows in the setting's absence.
        let loaded = Command::new("modprobe").arg("br_netfilter").output().await;
        tracing::debug!(?loaded, "br_netfilter");
    }
    if !Path::new(BRIDGE_FILTER).exists() {
        tracing::warn!("kernel has no br_netfilter: services hide the addresses of clients on the same node");
        return Ok(false);
    }
    switch_on(BRIDGE_FILTER)?;
    Ok(true)
}

fn switch_on(path: &str) -> Result<(), Error> {
    let set = || -> io::Result<()> {
        if std::fs::read_to_string(path)?.trim() == "1" { Ok(()) } else { std::fs::write(path, "1") }
    };
    set().map_err(|source| Error::Setting { path: path.to_owned(), source })
}

/// The node finds services without a default route, and with its address on the bridge as the source.
async fn route(config: &ProxyConfig) -> Result<(), Error> {
    let services = config.service_cidr.trunc().to_string();
    let output = Command::new("ip")
        .args(["-4", "route", "replace", &services, "dev", &config.bridge])
        .output()
        .await
        .map_err(|source| Error::Run { program: "ip", package: "iproute2", source })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { program: "ip", message: format!("route of {services}: {message}") })
}
