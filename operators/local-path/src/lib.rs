//! The local-path provisioner: volumes that are directories of a node.
//!
//! Owns: the class `local-path`, the volumes of the provisioner `proa.dev/local-path`, their directories. Every node runs
//! one: it makes the volumes of claims for which the scheduler chose this node, and clears those of this node whose claim
//! is gone. So the one who makes and removes a directory sits where the directory is, needs no pod for it, and the volume
//! is there (source `local`, bound to the node) only when its directory is. A volume keeps a finalizer until its directory
//! is removed; with the policy Retain it has none, and the directory stays.
//! Guarantees: only a directory of the volume's own name, below the provisioner's root, is ever removed; symbolic links in
//! it are removed, not followed. A volume of a node that never comes back stays `Released`.
//! Deliberately absent: sizes are not enforced (the node's disk is shared), as with upstream's host paths; claims that
//! cannot be had (block devices, shared access, selectors, copies) get the event `ProvisioningFailed`.
//! Upstream: kubernetes-sigs/sig-storage-lib-external-provisioner, rancher/local-path-provisioner.

pub mod index;
pub mod render;
mod sink;

use index::{Index, Row};
use proa_kit::{
    Change, Client, RunConfig, Typed, Watch, Write,
    project::{Dirty, Feed, Projection, feed, project},
    rbac::rbac_rules,
    views::{PersistentVolumeClaimView, PersistentVolumeView, StorageClassView},
};
use serde_json::Value;
use sink::Directories;
use std::path::PathBuf;

/// Name of the provisioner in classes and volumes.
pub const PROVISIONER: &str = "proa.dev/local-path";

/// What a node's provisioner is told.
#[derive(Clone, Debug)]
pub struct LocalPathConfig {
    /// Name of the node.
    pub node: String,
    /// Where the directories are.
    pub root: PathBuf,
}

/// The projection of claims and volumes into directories.
#[derive(Clone, Debug)]
struct Projector(LocalPathConfig);

impl Projection for Projector {
    const NAME: &'static str = PROVISIONER;
    const ROWS_STAND_ALONE: bool = true;
    type Index = Index;
    type Key = Row;
    type Change = render::Change;

    fn index(&self) -> Index {
        Index::new(&self.0.node)
    }
    fn feeds(&self) -> Vec<Watch<Feed<Index, Row>>> {
        let claim =
            |index: &mut Index, change: &Change<PersistentVolumeClaimView>, dirty: &mut Dirty<Row>| {
                index.claim(change, dirty);
            };
        let volume = |index: &mut Index, change: &Change<PersistentVolumeView>, dirty: &mut Dirty<Row>| {
            index.volume(change, dirty);
        };
        let class = |index: &mut Index, change: &Change<StorageClassView>, dirty: &mut Dirty<Row>| {
            index.class(change, dirty);
        };
        vec![
            feed(PersistentVolumeClaimView::KIND, claim).into(),
            feed(PersistentVolumeView::KIND, volume).into(),
            feed(StorageClassView::KIND, class).into(),
        ]
    }
    fn render(&self, index: &Index, dirty: &Dirty<Row>) -> render::Change {
        render::change(index, dirty, &self.0)
    }
}

fn writes() -> Vec<Write> {
    vec![
        Write::to(&PersistentVolumeView::KIND, &["create", "delete", "patch"]),
        Write::to(&StorageClassView::KIND, &["create"]),
    ]
}

/// RBAC rules that follow from what it watches and writes.
pub fn rules() -> Value {
    let feeds = Projector(LocalPathConfig { node: String::new(), root: PathBuf::new() }).feeds();
    rbac_rules(feeds.iter().map(Watch::watched), &[], &writes())
}

/// Runs a node's provisioner until shutdown.
pub async fn run(client: Client, config: RunConfig, settings: LocalPathConfig) {
    let writer = proa_kit::Writer::start(
        client.clone(),
        PROVISIONER,
        writes(),
        &config.identity,
        config.clock.clone(),
    );
    project(Projector(settings), Directories::new(writer), client, config).await;
}
