//! What sandboxes and containers left that containerd no longer knows: it was killed while it made or removed them.
//!
//! Before containerd is started again everything of sandboxes that is on the machine is written down; once it answers,
//! whatever belongs to nothing that it lists is removed: shims with their processes, bundles, network namespaces (their
//! links go with them) and addresses (N4). What is made meanwhile was not written down, so it is safe.

use super::{
    DaemonConfig, Result, blocking, cgroups,
    leases::{self, Lease},
    mounts, namespace,
    process::{self, Handle},
};
use crate::{Containerd, containerd};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long killed processes may take to go.
const WITHIN: Duration = Duration::from_secs(5);
/// Below the state directory.
const NAMESPACES: &str = "io.containerd.grpc.v1.cri/netns";
/// Below the state directory and below containerd's root.
const BUNDLES: &str = "io.containerd.runtime.v2.task/k8s.io";

/// What was there before containerd was started.
#[derive(Debug)]
pub(super) struct Found {
    shims: Vec<(String, Handle)>,
    bundles: Vec<PathBuf>,
    namespaces: Vec<PathBuf>,
    leases: Vec<Lease>,
}

impl Found {
    /// Writes down what is there. No containerd of this node may run.
    pub(super) fn now(config: &DaemonConfig) -> Self {
        let mut bundles = entries(&config.state.join(BUNDLES));
        bundles.extend(entries(&config.root.join("containerd").join(BUNDLES)));
        Self {
            shims: process::shims_by_id(&config.socket()).collect(),
            bundles,
            namespaces: entries(&config.state.join(NAMESPACES)),
            leases: leases::all(&config.addresses),
        }
    }

    fn is_empty(&self) -> bool {
        let Self { shims, bundles, namespaces, leases } = self;
        shims.is_empty() && bundles.is_empty() && namespaces.is_empty() && leases.is_empty()
    }

    /// Removes what belongs to nothing that containerd, which answers by now, knows.
    ///
    /// # Errors
    /// containerd does not say what it knows. What cannot be removed is logged.
    pub(super) async fn remove_orphans(self, config: &DaemonConfig) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let connection = Containerd::connect(&config.socket()).await?;
        let known = containerd::known(&connection).await?;
        let orphans = self.without(&known.ids, &known.namespaces);
        if orphans.is_empty() {
            return Ok(());
        }
        tracing::info!(
            shims = orphans.shims.len(),
            bundles = orphans.bundles.len(),
            networks = orphans.namespaces.len(),
            addresses = orphans.leases.len(),
            "removing what containerd lost"
        );
        let config = config.clone();
        blocking(move || {
            orphans.remove(&config);
            Ok(())
        })
        .await
    }

    /// What belongs to none of these.
    fn without(mut self, ids: &HashSet<String>, namespaces: &HashSet<PathBuf>) -> Self {
        self.shims.retain(|(id, _)| !ids.contains(id));
        self.bundles.retain(|bundle| !ids.contains(name(bundle)));
        self.namespaces.retain(|namespace| !namespaces.contains(namespace));
        self.leases.retain(|lease| !ids.contains(&lease.sandbox));
        self
    }

    fn remove(self, config: &DaemonConfig) {
        let mut ids: HashSet<String> = self.bundles.iter().map(|bundle| name(bundle).to_owned()).collect();
        for (id, shim) in self.shims {
            if !shim.kill_and_wait(WITHIN) {
                tracing::warn!(id, "a shim does not end");
            }
            ids.insert(id);
        }
        for left in ids.iter().filter_map(|id| cgroups::remove_named(&config.cgroup_parent, id, WITHIN)) {
            tracing::warn!(left, "not removed");
        }
        let mounts: Vec<&Path> = self.bundles.iter().chain(&self.namespaces).map(PathBuf::as_path).collect();
        let removed = namespace::within(config, || {
            mounts::remove_below(&mounts)?;
            // Empty by now, and nothing is mounted on them.
            self.bundles.iter().for_each(|bundle| drop(fs::remove_dir_all(bundle)));
            self.namespaces.iter().for_each(|namespace| drop(fs::remove_file(namespace)));
            Ok(())
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "mounts of lost containers stay");
        }
        self.leases.iter().for_each(Lease::release);
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The id that a bundle is named after.
fn name(bundle: &Path) -> &str {
    bundle.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containerd_knows_is_kept() {
        let lease = |sandbox: &str| Lease { file: sandbox.into(), sandbox: sandbox.into() };
        let found = Found {
            shims: vec![],
            bundles: vec!["/s/known".into(), "/s/lost".into()],
            namespaces: vec!["/n/known".into(), "/n/lost".into()],
            leases: vec![lease("known"), lease("lost")],
        };
        let orphans = found.without(&HashSet::from(["known".into()]), &HashSet::from(["/n/known".into()]));
        assert_eq!(orphans.bundles, [PathBuf::from("/s/lost")]);
        assert_eq!(orphans.namespaces, [PathBuf::from("/n/lost")]);
        assert_eq!(orphans.leases, [lease("lost")]);
        let rest = orphans.without(&HashSet::from(["lost".into()]), &HashSet::from(["/n/lost".into()]));
        assert!(rest.is_empty());
    }

    #[test]
    fn a_new_node_has_nothing_to_lose() {
        assert_eq!(entries(Path::new("/nowhere/at/all")), Vec::<PathBuf>::new());
    }
}
