//! `proa kubeconfig`, and clients made from kubeconfig files.

use crate::{certificates::Pki, cli, settings};
use anyhow::{Context, Result};
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::path::Path;

/// A client of the file's current context.
///
/// # Errors
/// The file cannot be read or used.
pub(crate) async fn client(path: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("read {}", path.display()))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("use {}", path.display()))?;
    Client::try_from(config).with_context(|| format!("connect as {} says", path.display()))
}

/// Prints a kubeconfig for a user of any name and groups, signed by the cluster's authority.
pub(crate) fn print(args: &cli::Kubeconfig) -> Result<()> {
    let dir = settings::data_dir(&args.cluster)?;
    let pki = Pki::load(&dir.join("pki")).context("the cluster has not been started yet")?;
    let admin = dir.join("admin.kubeconfig");
    let admin = Kubeconfig::read_from(&admin).with_context(|| format!("read {}", admin.display()))?;
    let cluster = admin.clusters.first().and_then(|c| c.cluster.as_ref());
    let server = cluster.and_then(|c| c.server.clone()).context("the admin kubeconfig names no server")?;
    let mut groups = args.group.clone();
    if groups.is_empty() && args.user == "kubernetes-admin" {
        groups.push(proa_meta::identity::MASTERS.to_owned());
    }
    let text = pki.kubeconfig(&server, &args.cluster.name, &args.user, &groups, args.days)?;
    crate::print(text.trim_end())
}
