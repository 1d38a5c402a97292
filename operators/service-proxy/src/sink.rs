//! The table in the kernel, and what the kernel needs around it.
//!
//! Flow of a change: one nft transaction; then UDP flows of endpoints that are gone are forgotten, so that the next
//! datagram of a client is sent anew. A first change keeps the sets of an earlier run (session affinity) and removes what
//! is not wanted any more; if the kernel does not take that, say because another version made the table, the table is
//! made anew, in one transaction as well.

mod conntrack;
mod host;
mod nft;
pub mod table;

use crate::{
    ProxyConfig,
    index::Subject,
    render::{Rules, part::Part},
    status::{Health, HealthChecks},
};
pub use nft::Listed;
use proa_kit::{Key, Result, project};
use std::{collections::BTreeMap, sync::Arc};
use table::Table;

/// What can go wrong with the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be run.
    #[error("run {program}: {source}; is the package {package} installed?")]
    Run {
        /// The program.
        program: &'static str,
        /// Package that has it in most distributions.
        package: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A program failed.
    #[error("{program} failed: {message}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it said.
        message: String,
    },
    /// A kernel setting could not be changed.
    #[error("set {path} to 1: {source}")]
    Setting {
        /// File of the setting.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The kernel's table of connections could not be read or changed.
    #[error("forget UDP flows of endpoints that are gone: {0}")]
    Connections(#[source] std::io::Error),
}

impl From<Error> for proa_kit::Error {
    fn from(error: Error) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// The table of one cluster in the network namespace of the process.
#[derive(Debug)]
pub struct Kernel {
    config: Arc<ProxyConfig>,
    table: Table,
    bridge_is_filtered: bool,
    health: HealthChecks,
}

impl Kernel {
    /// The table of a cluster; nothing is done to the kernel yet.
    pub fn new(config: Arc<ProxyConfig>) -> Self {
        let table = Table::new(config.clone());
        Self { config, table, bridge_is_filtered: true, health: HealthChecks::default() }
    }

    async fn rebuild(&mut self, rules: Rules) -> Result<(), Error> {
        let listed = nft::list(&self.config.table()).await?;
        let kept = self.table.rebuild(rules, &listed, self.bridge_is_filtered);
        match nft::run(&kept).await {
            Err(Error::Failed { message, .. }) if listed.exists => {
                tracing::warn!(%message, "table of an earlier run cannot be kept; it is made anew");
                nft::run(&self.table.anew(self.bridge_is_filtered)).await
            }
            done => done,
        }
    }

    async fn apply_table(&mut self, rules: Rules) -> Result<(), Error> {
        if rules.complete {
            self.rebuild(rules).await?;
        } else {
            let script = self.table.change(rules.parts);
            if !script.is_empty() {
                nft::run(&script).await?;
            }
        }
        let datagrams = self.table.take_datagrams();
        // The table is right all the same, so this is no reason to write it again.
        if !datagrams.is_empty()
            && let Err(error) = conntrack::forget(datagrams).await
        {
            tracing::warn!(%error, "UDP clients of endpoints that are gone wait until their flows expire");
        }
        Ok(())
    }
}

impl project::Sink<Rules> for Kernel {
    /// What the table holds is read with each complete change, so that a failed one is mended too.
    async fn read_back(&mut self) -> Result<()> {
        self.bridge_is_filtered = host::prepare(&self.config).await?;
        Ok(())
    }

    async fn apply(&mut self, rules: Rules) -> Result<()> {
        let (complete, checks) = (rules.complete, checks(&rules.parts));
        let applied = self.apply_table(rules).await;
        self.health.table_is_current(applied.is_ok());
        if complete {
            self.health.retain(|service| checks.contains_key(service));
        }
        for (service, health) in checks {
            self.health.set(&service, health).await;
        }
        Ok(applied?)
    }
}

fn checks(parts: &[(Subject, Part)]) -> BTreeMap<Key, Option<Health>> {
    let of_service = |(subject, part): &(Subject, Part)| match subject {
        Subject::Service(key) => Some((key.clone(), part.health)),
        Subject::Pod(_) => None,
    };
    parts.iter().filter_map(of_service).collect()
}

/// Removes a table; one that is not there is no error.
pub(crate) async fn remove(table: &str) -> Result<(), Error> {
    nft::run(&format!("add table ip {table}\ndelete table ip {table}\n")).await
}
